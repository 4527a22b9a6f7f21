"""The customer's voice: audio for each line of a scenario.

A line that is among the recorded clips (``data/clips/clips.yaml``) is taken from there; any other
is synthesised once by the local engine and kept in the cache directory. Either way it goes
through an A-law round trip, because that is how a caller reaches the service: a bot that only
understands clean audio understands nobody.
"""

from __future__ import annotations

import hashlib
import unicodedata
import wave
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from voicebot.audio import alaw
from voicebot.audio.pcm import FRAME_BYTES, SAMPLE_RATE, SAMPLE_WIDTH
from voicebot.simulator.activity import audible_span

CLIPS = Path(__file__).parent.parent / "data" / "clips"
#: Raised when the way a line is synthesised or stored changes.
_CACHE_FORMAT = "1"

Synthesize = Callable[[str], Awaitable[bytes]]


class LineError(Exception):
    """A line has no usable audio. ``str()`` names the file or setting at fault."""


@dataclass(frozen=True, slots=True)
class Line:
    """Something the customer can say."""

    text: str
    pcm: bytes
    speech_start: float
    """Seconds from the beginning of ``pcm`` to its first audible sample."""
    speech_end: float
    """Seconds from the beginning of ``pcm`` to the end of its last audible sample."""


def make_line(text: str, pcm: bytes) -> Line:
    """A line of *pcm* as it is. Raises LineError if it holds nothing audible."""
    span = audible_span(np.frombuffer(pcm, "<i2"))
    if span is None:
        raise LineError(f"the audio of {text!r} is silent")
    return Line(text, pcm, *span)


def same_words(text: str) -> str:
    """*text* without differences that nobody hears: case, spaces, typographic apostrophes."""
    plain = unicodedata.normalize("NFC", text).replace("\u2019", "'")
    return " ".join(plain.casefold().split())


class Voice:
    """Finds or makes the audio of lines; see :meth:`prepare`."""

    def __init__(
        self,
        cache: Path,
        synthesize: Synthesize | None = None,
        *,
        name: str = "",
        clips: Path = CLIPS,
    ) -> None:
        """*name* tells one synthesiser's audio from another's in the cache."""
        self._cache = cache / "lines"
        self._synthesize = synthesize
        self._name = name
        self._clips = clips
        self._index = _read_index(clips)

    def without_clip(self, texts: Iterable[str]) -> list[str]:
        """Those of *texts* that are not recorded."""
        return [text for text in texts if same_words(text) not in self._index]

    def missing(self, texts: Iterable[str]) -> list[str]:
        """Those of *texts* that must be synthesised first."""
        return [text for text in texts if not self._file(text).exists()]

    async def prepare(self, texts: Iterable[str]) -> dict[str, Line]:
        """The audio of each of *texts*. Raises LineError, and what the synthesiser raises."""
        lines = {}
        for text in texts:
            file = self._file(text)
            if not file.exists():
                await self._make(text, file)
            lines[text] = make_line(text, alaw.decode(alaw.encode(read_clip(file))))
        return lines

    def _file(self, text: str) -> Path:
        clip = self._index.get(same_words(text))
        if clip is not None:
            return clip
        key = "\0".join((_CACHE_FORMAT, self._name, same_words(text)))
        return self._cache / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.wav"

    async def _make(self, text: str, file: Path) -> None:
        if file.parent == self._clips:
            raise LineError(f"{file}: no such file, but {self._clips / 'clips.yaml'} lists it")
        if self._synthesize is None:
            raise LineError(f"no clip for {text!r}, and no engine to synthesise it")
        pcm = await self._synthesize(text)
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part")
        with wave.open(str(part), "wb") as out:
            out.setnchannels(1)
            out.setsampwidth(SAMPLE_WIDTH)
            out.setframerate(SAMPLE_RATE)
            out.writeframes(pcm)
        part.replace(file)


def read_clip(file: Path) -> bytes:
    """The samples of an 8 kHz, 16-bit, mono WAV file. Raises LineError."""
    try:
        with wave.open(str(file), "rb") as clip:
            form = (clip.getframerate(), clip.getsampwidth(), clip.getnchannels())
            pcm = clip.readframes(clip.getnframes())
    except (OSError, EOFError, wave.Error) as error:
        raise LineError(f"{file}: not a readable WAV file: {error}") from error
    if form != (SAMPLE_RATE, SAMPLE_WIDTH, 1):
        raise LineError(f"{file}: must be 8000 Hz, 16 bit, mono; it is {form}")
    return pcm


def _read_index(clips: Path) -> dict[str, Path]:
    index = clips / "clips.yaml"
    try:
        entries = yaml.safe_load(index.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise LineError(f"{index}: cannot be read: {error}") from error
    if not isinstance(entries, dict):
        raise LineError(f"{index}: must be a mapping of file name to words")
    return {same_words(str(text)): clips / str(name) for name, text in entries.items()}


def noise_frames(level: float, seed: int) -> list[bytes]:
    """Two seconds of white noise at *level* dBFS RMS, as a loop of frames."""
    samples = np.random.default_rng(seed).normal(0.0, 32768 * 10 ** (level / 20), 2 * SAMPLE_RATE)
    pcm = np.clip(samples, -32768, 32767).astype("<i2").tobytes()
    return [pcm[i : i + FRAME_BYTES] for i in range(0, len(pcm), FRAME_BYTES)]


def mix(pcm: bytes, noise: Sequence[bytes]) -> bytes:
    """*pcm* with the loop *noise* under it."""
    speech = np.frombuffer(pcm, "<i2").astype(np.int32)
    loop = np.frombuffer(b"".join(noise), "<i2")
    mixed = speech + np.resize(loop, speech.size)
    return np.clip(mixed, -32768, 32767).astype("<i2").tobytes()
