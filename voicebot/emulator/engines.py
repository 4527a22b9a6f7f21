"""What the emulator hears and speaks with, and the processes behind it.

It must really understand what is said to it, and there are two ways, which it names at start and on
its front page: the embedded Whisper, or known recordings (:mod:`voicebot.emulator.clips`). Its
voice is the embedded Kokoro or the espeak-ng program. Sentences are kept once spoken, in memory and
on disk, so that twenty calls that hear the same ones cost nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import wave
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Coroutine, Hashable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import numpy as np
import structlog
import yaml

from voicebot import models, script_file
from voicebot.audio.pcm import SAMPLE_RATE, seconds
from voicebot.emulator import codec
from voicebot.emulator.clips import Clips
from voicebot.emulator.words import Words, spread
from voicebot.providers import local_stt, local_tts
from voicebot.providers.interfaces import ProviderError, TextToSpeech
from voicebot.telemetry.metrics import Metrics
from voicebot.workers.jobs import TRANSCRIBE, Heard, Hints, Priority
from voicebot.workers.layout import layout
from voicebot.workers.pool import WorkerError, WorkerPool

log = structlog.get_logger(__name__)

T = TypeVar("T")

SHIPPED_CLIPS: Final = Path(__file__).parent.parent / "data" / "clips" / "clips.yaml"
HISS: Final = 20.0  #: standard deviation, in steps of 16 bits: 64 dB below full scale
MEMORY_BYTES: Final = 64 << 20  #: of spoken sentences; the least recently used is forgotten


class EngineError(Exception):
    """The emulator cannot hear or speak. ``str()`` says what to install or which file to mend."""


class Recogniser(Protocol):
    """Understands stretches of speech."""

    about: str
    """For people: what it really is."""

    async def recognise(self, pcm: bytes, *, final: bool) -> tuple[Words, int]:
        """The words of slin *pcm*, timed from its beginning, and how many stretches of speech in
        it are not known. One that is not *final* may be answered with nothing."""


class Speaker(Protocol):
    """Makes sentences audible."""

    about: str

    async def speak(self, text: str) -> tuple[bytes, int]:
        """Signed 16-bit *text*, and its rate. Raises EngineError."""


class KnownClips:
    """Understands recordings whose words are written down."""

    def __init__(self, recordings: Mapping[str, bytes], where: str = "given") -> None:
        self._clips = Clips(recordings)
        self.about = f"script: {len(recordings)} known recordings ({where}), nothing else"

    @classmethod
    def load(cls, index: Path = SHIPPED_CLIPS) -> KnownClips:
        """Those that *index* lists: a YAML mapping of file name to words. Raises EngineError."""
        try:
            entries = yaml.safe_load(index.read_text(encoding="utf-8"))
            recordings = {str(text): _slin(index.parent / name) for name, text in entries.items()}
        except (OSError, EOFError, UnicodeDecodeError, wave.Error, yaml.YAMLError) as error:
            raise EngineError(f"{index}: cannot be read: {error}") from error
        except (AttributeError, TypeError):
            raise EngineError(f"{index}: must be a mapping of file name to words") from None
        return cls(recordings, str(index))

    async def recognise(self, pcm: bytes, *, final: bool) -> tuple[Words, int]:
        return self._clips.recognise(pcm)


def _slin(file: Path) -> bytes:
    with wave.open(str(file), "rb") as clip:
        if (clip.getsampwidth(), clip.getnchannels()) != (2, 1):
            raise EngineError(f"{file}: must be 16 bit, mono")
        pcm, rate = clip.readframes(clip.getnframes()), clip.getframerate()
    return codec.resample(pcm, rate, SAMPLE_RATE)


class Whisper:
    """The embedded recogniser, in a worker process."""

    about = "whisper: the embedded Whisper base really listens (its time is part of the delays)"

    def __init__(self, pool: WorkerPool, model: Path, hints: Hints) -> None:
        self._pool = pool
        self._model = str(model)
        self._hints = hints
        self._busy = False

    async def recognise(self, pcm: bytes, *, final: bool) -> tuple[Words, int]:
        if self._busy and not final:
            return (), 0  # interim results are a luxury
        priority = Priority.TURN if final else Priority.BATCH
        self._busy = True
        try:
            heard = await self._pool.run(
                TRANSCRIBE, self._model, pcm, self._hints, priority=priority
            )
        except WorkerError as error:
            log.warning("emulator could not recognise", reason=str(error))
            return (), 0
        finally:
            self._busy = False
        assert isinstance(heard, Heard), "what the job returns"
        return spread(heard.text, 0.0, seconds(pcm), max(heard.confidence, 0.01)), 0


class Espeak:
    """The espeak-ng program: robotic, at once, no models."""

    about = "espeak-ng (robotic, a faint hiss; the embedded voice is `--voice kokoro`)"

    def __init__(self, language: str = "fr") -> None:
        self._language = language

    async def speak(self, text: str) -> tuple[bytes, int]:
        try:
            process = await asyncio.create_subprocess_exec(
                "espeak-ng", "-v", self._language, "--stdout",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
        except FileNotFoundError:
            raise EngineError("espeak-ng is not installed: apt-get install espeak-ng") from None
        made, _ = await process.communicate(text.encode())
        # The sizes in the header are those of a stream, so the rest of the file is the audio.
        try:
            with wave.open(io.BytesIO(made), "rb") as header:
                rate = header.getframerate()
        except (EOFError, wave.Error) as error:
            raise EngineError(f"espeak-ng made no audio for language {self._language!r}") from error
        pcm = made[made.index(b"data") + 8 :]
        return _hissing(pcm[: len(pcm) & ~1]), rate


def _hissing(pcm: bytes) -> bytes:
    """espeak-ng is silent to the last bit between two words, as no vendor's voice is: whoever
    listens for drop-outs of the line would find one at each comma."""
    samples = np.frombuffer(pcm, "<i2")
    noise = np.random.default_rng(0).normal(0.0, HISS, samples.size)
    return np.clip(samples + noise.round(), -32768, 32767).astype("<i2").tobytes()


class Kokoro:
    """The embedded voice, in a worker process."""

    about = "kokoro: the embedded voice (8 kHz inside; a first time takes as long as it takes)"

    def __init__(self, voice: TextToSpeech) -> None:
        self._voice = voice

    async def speak(self, text: str) -> tuple[bytes, int]:
        try:
            return b"".join([pcm async for pcm in self._voice.synthesize(text)]), SAMPLE_RATE
        except ProviderError as error:
            raise EngineError(f"the embedded voice failed: {error}") from error


@dataclass(slots=True)
class Sentences:
    """A speaker that remembers. Two who ask for one new sentence wait for the same work."""

    speaker: Speaker
    directory: Path | None = None
    """Where sentences outlive the process; None: nowhere."""
    _kept: OrderedDict[tuple[str, str, int], bytes] = field(default_factory=OrderedDict)
    _size: int = 0
    _coming: dict[Hashable, asyncio.Task[Any]] = field(default_factory=dict)

    async def speak(self, text: str, encoding: str, rate: int) -> bytes:
        """*text* in *encoding* (of :data:`codec.WIDTHS`, or a format of ffmpeg) at *rate*.

        Raises EngineError.
        """
        key = (text, encoding, rate)
        if key not in self._kept:
            return await self._once(key, lambda: self._convert(key))
        self._kept.move_to_end(key)
        return self._kept[key]

    async def _once(self, key: Hashable, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What *work* makes; whoever asks for *key* meanwhile waits for the same. It is not
        interrupted when they go away: a program that was started is seen to its end."""
        if key not in self._coming:
            task = asyncio.get_running_loop().create_task(work(), name="emulator voice")
            self._coming[key] = task
            task.add_done_callback(lambda _: self._coming.pop(key, None))
        made: T = await asyncio.shield(self._coming[key])
        return made

    async def _convert(self, key: tuple[str, str, int]) -> bytes:
        text, encoding, rate = key
        pcm, own_rate = await self._once(text, lambda: self._make(text))
        pcm = codec.resample(pcm, own_rate, rate)
        raw = encoding in codec.WIDTHS
        audio = codec.encode(pcm, encoding) if raw else await _ffmpeg(pcm, rate, encoding)
        self._keep(key, audio)
        return audio

    def _keep(self, key: tuple[str, str, int], audio: bytes) -> None:
        if key not in self._kept:
            self._kept[key] = audio
            self._size += len(audio)
        while self._size > MEMORY_BYTES and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            self._size -= len(oldest)

    async def _make(self, text: str) -> tuple[bytes, int]:
        if self.directory is None:
            return await self.speaker.speak(text)
        name = hashlib.sha256(f"{self.speaker.about}\0{text}".encode()).hexdigest()[:32]
        file = self.directory / f"{name}.wav"
        with suppress(OSError, EOFError, wave.Error), wave.open(str(file), "rb") as kept:
            return kept.readframes(kept.getnframes()), kept.getframerate()
        pcm, rate = await self.speaker.speak(text)
        part = file.with_suffix(f".{os.getpid()}.part")
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(codec.wav(pcm, rate, streamed=False))
        part.replace(file)
        return pcm, rate

    async def close(self) -> None:
        """Wait until nothing is being made."""
        while self._coming:
            await asyncio.wait(self._coming.values())


async def _ffmpeg(pcm: bytes, rate: int, form: str) -> bytes:
    muxer = {"aac": "adts", "opus": "ogg"}.get(form, form)
    try:
        process = await asyncio.create_subprocess_exec(
            "ffmpeg", "-loglevel", "error", "-f", "s16le", "-ar", str(rate), "-ac", "1", "-i", "-",
            *(("-c:a", "libopus") if form == "opus" else ()), "-f", muxer, "-",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
    except FileNotFoundError:
        raise EngineError("ffmpeg is not installed: apt-get install ffmpeg") from None
    made, _ = await process.communicate(pcm)
    if process.returncode:
        raise EngineError(f"ffmpeg cannot make {form}")
    return made


@asynccontextmanager
async def embedded(
    models_dir: Path, script: Path | None, *, listens: bool, speaks: bool
) -> AsyncIterator[tuple[Whisper | None, Kokoro | None]]:
    """The embedded engines, in one worker process a core that is not the first.

    Raises ScriptError, ModelError and WorkerError, each of which says what to do.
    """
    if not listens and not speaks:
        yield None, None
        return
    spoken = script_file.load(script)
    paths = await asyncio.to_thread(models.ensure, models_dir, turns=False)
    voice = local_tts.make_voice(
        paths, spoken.voice, language=spoken.language, pronunciations=spoken.pronunciations
    )
    warm = [local_stt.warm_call(paths.whisper)] if listens else []
    warm += [local_tts.warm_call(voice)] if speaks else []
    pool = WorkerPool(layout(os.sched_getaffinity(0)).workers, Metrics(), warm=warm)
    await pool.start()
    try:
        hints = Hints(spoken.language, spoken.recognition.prompt)
        yield (
            Whisper(pool, paths.whisper, hints) if listens else None,
            Kokoro(local_tts.LocalTextToSpeech(pool, voice)) if speaks else None,
        )
    finally:
        await pool.close()
