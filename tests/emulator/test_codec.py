"""G.711 µ-law, judged by another implementation, and containers."""

from __future__ import annotations

import hashlib
import io
import wave

from hypothesis import given
from hypothesis import strategies as st

from voicebot.emulator import codec, wrong
from voicebot.emulator.faults import Kind

EVERY_CODE = bytes(range(256))
NEGATIVE_ZERO = 0x7F


def test_every_code_is_decoded_as_by_cpythons_audioop() -> None:
    # audioop.ulaw2lin(EVERY_CODE, 2), Python 3.11; gone from 3.13
    assert hashlib.sha256(codec.decode(EVERY_CODE, "mulaw")).hexdigest() == (
        "3dab54339e520bb2c924826e3b72a917a2b612e9fd12fc867500f1d983a75827"
    )


def test_a_second_round_trip_loses_nothing() -> None:
    again = codec.encode(codec.decode(EVERY_CODE, "mulaw"), "mulaw")
    assert again == EVERY_CODE.replace(bytes([NEGATIVE_ZERO]), b"\xff")


@given(st.binary(max_size=400))
def test_every_encoding_takes_any_bytes(data: bytes) -> None:
    for encoding, width in codec.WIDTHS.items():
        pcm = codec.decode(data, encoding)
        assert len(pcm) == 2 * (len(data) // width)
        assert len(codec.encode(pcm, encoding)) == len(data) // width * width


def test_a_wav_file_of_known_length_is_one() -> None:
    with wave.open(io.BytesIO(codec.wav(bytes(480), 24_000, streamed=False))) as file:
        assert (file.getframerate(), file.getnframes()) == (24_000, 240)


@given(st.binary(max_size=20_000).map(lambda data: data * 2))
def test_wrong_audio_is_wrong_in_one_way(audio: bytes) -> None:
    def sent(kind: Kind | None) -> bytes:
        return b"".join(wrong.pieces(audio, 4800, kind))

    assert sent(None) == audio
    assert sent(Kind.SILENCE) == bytes(len(audio))
    assert audio.startswith(sent(Kind.HALF))
    assert len(sent(Kind.HALF)) % 2 == 0
    assert sent(Kind.EMPTY) == b""
    if audio:
        assert len(sent(Kind.ODD)) == len(audio) - 1
    assert len(sent(Kind.MALFORMED)) % 2 == 1
