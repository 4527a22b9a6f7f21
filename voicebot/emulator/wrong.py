"""Audio and messages that are wrong on purpose. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from typing import Final

from voicebot.audio import alaw
from voicebot.emulator.chat import event
from voicebot.emulator.faults import Kind

_ODD_SIZES: Final = (1, 333, 2_401, 4_799)
NOT_JSON: Final = '{"type":"Results","channel":{"alternatives":[{"transcr'
UNKNOWN_MESSAGE: Final = '{"type":"FutureEvent","payload":{"of":["a","later","version"]}}'
REFUSAL: Final = "Je suis désolée, mais je ne peux pas répondre à cette demande."
#: Of an odd length, and not even noise that could pass for speech.
NOT_AUDIO: Final = b"\x00\xff\x7f<html>502 Bad Gateway</html>"


_SILENCE = {"linear16": b"\0", "mulaw": b"\xff", "alaw": bytes([alaw.SILENCE])}


def pieces(
    audio: bytes, size: int, kind: Kind | None = None, encoding: str = "linear16"
) -> list[bytes]:
    """*audio* in pieces of *size* bytes, spoiled as *kind* says."""
    match kind:
        case Kind.SILENCE:
            audio = _SILENCE[encoding] * len(audio)
        case Kind.HALF:
            audio = audio[: len(audio) // 4 * 2]
        case Kind.EMPTY:
            audio = b""
        case Kind.ODD:
            return list(_odd(audio[: len(audio) - 1 | 1]))
        case Kind.MALFORMED:
            return [NOT_AUDIO]
    return [audio[at : at + size] for at in range(0, len(audio), size)]


def _odd(audio: bytes) -> Iterator[bytes]:
    at = 0
    for size in cycle(_ODD_SIZES):
        if at >= len(audio):
            return
        yield audio[at : at + size]
        at += size


def events(chunks: list[bytes], kind: Kind | None) -> list[bytes]:
    """A stream of server-sent events, spoiled as *kind* says."""
    match kind:
        case Kind.MALFORMED:
            return [
                *chunks[: len(chunks) // 2],
                b'data: {"choices": [{"delta": {"cont\n\n',
                *chunks[-1:],
            ]
        case Kind.UNKNOWN:
            surprise = event({"object": "future.chunk", "choices": [], "model": "", "id": "?"})
            return [chunks[0], b": comment\n\n", b"event: telemetry\n" + surprise, *chunks[1:]]
        case Kind.EMPTY:
            return [chunks[0], *chunks[-2:]]
        case Kind.HALF:
            return chunks[: len(chunks) // 2]
    return chunks
