"""Text to speech by the embedded engine: Kokoro in the worker processes.

A sentence goes to the workers clause by clause, each a job of its own: the first is heard while
the next are made, on as many cores as are free, and on a machine with one worker a caller's turn
gets in between.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from voicebot.models import ModelPaths
from voicebot.providers import clauses
from voicebot.providers.interfaces import ProviderError, Stage
from voicebot.workers.jobs import RENDER, SYNTHESIZE, Call, Priority, Voice
from voicebot.workers.pool import WorkerError, WorkerPool


def make_voice(
    models: ModelPaths, name: str, *, language: str, pronunciations: Mapping[str, str]
) -> Voice:
    """The voice called *name*. Raises ModelError if it is not one of those shipped."""
    return Voice(
        model=str(models.kokoro),
        styles=str(models.styles(name)),
        symbols=str(models.symbols),
        language=language,
        respellings=tuple(pronunciations.items()),
    )


def warm_call(voice: Voice) -> Call:
    """What a worker must run beforehand, so that the first sentence finds the engine loaded."""
    return Call("voicebot.providers.kokoro:load", (voice,))


class LocalTextToSpeech:
    """A :class:`~voicebot.providers.interfaces.TextToSpeech`.

    With *whole* a sentence is made in one piece, which sounds better and starts later: for
    prompts, which nobody waits for.
    """

    name = "local"

    def __init__(self, pool: WorkerPool, voice: Voice, *, whole: bool = False) -> None:
        self._pool = pool
        self._voice = voice
        self._whole = whole
        self.voice = identity(voice)

    async def synthesize(self, text: str) -> AsyncIterator[bytes]:
        """Yield slin, a clause at a time. Raises ProviderError."""
        job = RENDER if self._whole else SYNTHESIZE
        priority = Priority.BATCH if self._whole else Priority.SPEAK
        jobs = [
            asyncio.ensure_future(self._pool.run(job, self._voice, clause, priority=priority))
            for clause in ([text] if self._whole else clauses.split(text))
        ]
        try:
            for one in jobs:
                pcm = await one
                assert isinstance(pcm, bytes), "what the job returns"
                if pcm:
                    yield pcm
        except WorkerError as error:
            raise ProviderError(Stage.TTS, self.name, str(error), retryable=True) from error
        finally:
            for one in jobs:
                one.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)


def identity(voice: Voice) -> str:
    """Changes whenever the same text would sound different, wherever the files are."""
    said_how = repr((voice.language, voice.respellings, voice.speed)).encode()
    names = f"{Path(voice.model).stem} {Path(voice.styles).stem}"
    return f"{names} {hashlib.sha256(said_how).hexdigest()[:12]}"
