"""The bot's fixed sentences, rendered once, made equally loud and played from memory.

A sentence is a file of raw slin in ``CACHE_DIR``, named after a hash of everything that makes
it sound as it does (the text, the voice's identity, the format), so a changed script or voice
simply misses and is rendered anew. A note beside it holds what the hash was made of, the length
and the SHA-256 of the audio: a damaged file counts as missing. Both are written under another name
and renamed, the note last, so a crash leaves nothing that could be mistaken for a prompt, and
several processes may render at once.

Must not know what a script is, nor which engine speaks.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog
import yaml

from voicebot.audio.pcm import SAMPLE_WIDTH, seconds
from voicebot.prompts.studio import Studio
from voicebot.providers.interfaces import TextToSpeech
from voicebot.workers.pool import WorkerError

log = structlog.get_logger(__name__)

FORMAT = 2  #: raise it when the audio of the same text and voice must be made anew
_UNLEVELLED = 1
"""A format of before: the same audio, not made equally loud. It need not be spoken again."""
_NAME = re.compile(r"[0-9a-f]{32}")
SHORTEST = 0.06  #: seconds; less is no sentence, but an engine that failed


class PromptError(Exception):
    """A prompt could not be rendered or kept. The message says which file and what to do."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """One sentence that has just been made."""

    text: str
    seconds: float
    """Duration of the audio."""
    size: int
    """Bytes."""
    took: float
    """Seconds it took to make."""
    done: int
    """How many are made now, of ``total``."""
    total: int


class PromptCache:
    """The rendered sentences of one voice. Everything but ``get`` may touch the disk.

    *shipped* is a second directory of such files, which is only read: what an image brings.
    *recorded* are sound files of sentences that a person has spoken (see :func:`recorded_in`): they
    take the place of the voice's.
    """

    def __init__(
        self,
        directory: Path,
        voice: str,
        *,
        shipped: Path | None = None,
        recorded: Mapping[str, bytes] | None = None,
    ) -> None:
        self._directory = directory
        self._recorded = recorded or {}
        self._shipped = shipped
        self._voice = voice
        self._audio: dict[str, bytes] = {}

    def get(self, text: str) -> bytes | None:
        """Slin of *text*, or None: then it is not loaded. From memory; free on the event loop."""
        return self._audio.get(text)

    def missing(self, texts: Iterable[str]) -> list[str]:
        """Those of *texts* that ``get`` would not find, each once. Call ``load`` first."""
        return [text for text in dict.fromkeys(texts) if text not in self._audio]

    def load(self, texts: Iterable[str]) -> list[str]:
        """Read *texts* into memory. Returns the ones that must be rendered."""
        for text in self.missing(texts):
            audio = self._read(self._directory, text)
            if audio is None and self._shipped is not None:
                audio = self._read(self._shipped, text)
            if audio is not None:
                self._audio[text] = audio
        return self.missing(texts)

    async def render(
        self,
        tts: TextToSpeech,
        texts: Iterable[str],
        progress: Callable[[Rendered], None] = lambda _: None,
        *,
        at_once: int = 1,
        studio: Studio | None = None,
    ) -> None:
        """Make those of *texts* that are neither in memory nor on disk, and keep them.

        *at_once* are made at a time; *studio* makes them equally loud. It touches the disk: for
        start-up and set-up only. Raises PromptError if one cannot be kept, the studio's
        WorkerError, the engine's ProviderError; what was finished by then is kept.
        """
        todo = self.load(texts)
        free = asyncio.Semaphore(at_once)
        done = 0

        async def make(text: str) -> None:
            nonlocal done
            async with free:
                started = time.perf_counter()
                audio = await self._make(tts, text, studio)
                self._write(text, audio)
            self._audio[text] = audio
            done += 1
            took = time.perf_counter() - started
            progress(Rendered(text, seconds(audio), len(audio), took, done, len(todo)))

        tasks = [asyncio.ensure_future(make(text)) for text in todo]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _make(self, tts: TextToSpeech, text: str, studio: Studio | None) -> bytes:
        if text in self._recorded:
            assert studio is not None, "recordings need one"
            try:
                return await studio.clip(self._recorded[text])
            except WorkerError as error:
                raise PromptError(
                    f"the recording of {text!r} cannot be used: {error} (RECORDED_PROMPTS)"
                ) from error
        spoken = self._read(self._directory, text, _UNLEVELLED)
        if spoken is None or studio is None:
            return await say(tts, text, studio)
        return await studio.level(spoken)

    async def add(self, text: str, audio: bytes) -> None:
        """Keep *audio* of *text* beside calls: the disk is a thread's. Raises PromptError."""
        await asyncio.to_thread(self._write, text, audio)
        self._audio[text] = audio

    def kept(self) -> list[str]:
        """The sentences of this voice in the directory, the one used longest ago first."""
        found = []
        for path in self._directory.glob("*.slin"):
            with suppress(OSError, ValueError, KeyError, TypeError):
                note = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
                if note["voice"] == self._voice and path == self._file(note["text"]):
                    found.append((path.stat().st_mtime, str(note["text"])))
        return [text for _, text in sorted(found)]

    def used(self, texts: Iterable[str]) -> None:
        """Note on disk that these were wanted today. Raises nothing: it is only for cleaning up."""
        for text in texts:
            with suppress(OSError):
                os.utime(self._file(text))

    def drop(self, text: str) -> None:
        """Forget *text*, in memory and on disk."""
        self._audio.pop(text, None)
        for suffix in (".json", ".slin"):  # the note first: without it the rest counts for nothing
            with suppress(OSError):
                self._file(text).with_suffix(suffix).unlink()

    def gone(self) -> list[str]:
        """The sentences in memory whose files are not there any more."""
        return [text for text in list(self._audio) if not self._file(text).exists()]

    def release(self, texts: Iterable[str]) -> None:
        """Forget them in memory. Free on the event loop."""
        for text in texts:
            self._audio.pop(text, None)

    def sweep(self, days: float) -> int:
        """Remove the files that no start has used for *days*, of any voice and script; how many."""
        before = time.time() - 86_400 * days
        removed = 0
        for path in self._directory.glob("*.slin"):
            with suppress(OSError):
                if _NAME.fullmatch(path.stem) and path.stat().st_mtime < before:
                    path.with_suffix(".json").unlink(missing_ok=True)
                    path.unlink()
                    removed += 1
        return removed

    def prune(self, texts: Iterable[str]) -> int:
        """Remove the files of every sentence and voice but *texts* in this one; how many."""
        keep = {self._key(text) for text in texts}
        removed = 0
        for path in [*self._directory.glob("*.slin"), *self._directory.glob("*.json")]:
            if _NAME.fullmatch(path.stem) and path.stem not in keep:
                path.unlink(missing_ok=True)
                removed += path.suffix == ".slin"
        return removed

    def _file(self, text: str) -> Path:
        return self._directory / f"{self._key(text)}.slin"

    def _key(self, text: str, form: int = FORMAT) -> str:
        by: str = self._voice
        if text in self._recorded:
            by = f"recorded {hashlib.sha256(self._recorded[text]).hexdigest()}"
        made_of = json.dumps([form, by, text], ensure_ascii=False)
        return hashlib.sha256(made_of.encode()).hexdigest()[:32]

    def _read(self, directory: Path, text: str, form: int = FORMAT) -> bytes | None:
        path = directory / f"{self._key(text, form)}.slin"
        try:
            audio = path.read_bytes()
            note = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
            if note["sha256"] == hashlib.sha256(audio).hexdigest() and _sound(audio):
                return audio
            reason = "its audio is not what was written"
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = str(error)
        log.warning("damaged prompt is rendered again", file=str(path), reason=reason)
        return None

    def _write(self, text: str, audio: bytes) -> None:
        path = self._file(text)
        note = {
            "text": text,
            "voice": self._voice,
            "seconds": round(seconds(audio), 3),
            "sha256": hashlib.sha256(audio).hexdigest(),
        }
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            _replace(path, audio)
            _replace(path.with_suffix(".json"), json.dumps(note, ensure_ascii=False).encode())
        except OSError as error:
            raise PromptError(f"{path}: cannot be written: {error.strerror} (CACHE_DIR)") from error


def recorded_in(folder: Path | None) -> dict[str, bytes]:
    """Sentences that a person has recorded, and their sound files: ``prompts.yaml`` in *folder* has
    a line ``sentence: file`` for each. None for no folder. Raises PromptError."""
    if folder is None:
        return {}
    index = folder / "prompts.yaml"
    try:
        listed = yaml.safe_load(index.read_text(encoding="utf-8"))
    except OSError as error:
        raise PromptError(f"{index}: {error.strerror} (RECORDED_PROMPTS)") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise PromptError(f"{index}: is no YAML: {error}") from error
    if not isinstance(listed, dict) or not all(
        isinstance(part, str) for pair in listed.items() for part in pair
    ):
        raise PromptError(f'{index}: must have lines like: "Bonjour.": welcome.mp3')
    try:
        return {text: (folder / name).read_bytes() for text, name in listed.items()}
    except OSError as error:
        raise PromptError(f"{error.filename}: {error.strerror} (named in {index})") from error


async def say(tts: TextToSpeech, text: str, studio: Studio | None = None) -> bytes:
    """Slin of *text*, whole. Raises PromptError, ProviderError, WorkerError."""
    audio = b"".join([piece async for piece in tts.synthesize(text)])
    if not _sound(audio):
        raise PromptError(f"the voice {tts.voice} made no audio of {text!r}")
    return await studio.level(audio) if studio is not None else audio


def _sound(audio: bytes) -> bool:
    return len(audio) % SAMPLE_WIDTH == 0 and seconds(audio) >= SHORTEST


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
