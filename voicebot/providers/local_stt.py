"""Speech to text by the embedded engine: Whisper in the worker processes.

Whisper hears a whole turn at a time, so this keeps the caller's audio of the turn, from a little
before speech began, and at each pause asks a worker for all of it. Nothing here computes and
nothing waits; audio kept is bounded to the last 28 s of a turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from voicebot.audio.pcm import seconds
from voicebot.providers.interfaces import Expectation, ProviderError, Stage, Transcript
from voicebot.providers.turn_audio import TurnAudio
from voicebot.workers.jobs import TRANSCRIBE, Call, Heard, Hints, Priority
from voicebot.workers.pool import WorkerError, WorkerPool


def warm_call(model: Path) -> Call:
    """What a worker must run beforehand, so that the first turn finds the engine loaded."""
    return Call("voicebot.providers.whisper:load", (str(model),))


class LocalSpeechToText:
    """A :class:`~voicebot.providers.interfaces.SpeechToText`.

    *model* is the directory of Whisper's files, *prompt* holds words that callers are likely to
    use, and *yes_words* and *no_words* what an answer to a yes/no question begins with, each one
    token of the model as it is spelled.
    """

    name = "local"

    def __init__(
        self,
        pool: WorkerPool,
        model: Path,
        *,
        language: str,
        prompt: str = "",
        yes_words: Sequence[str] = (),
        no_words: Sequence[str] = (),
    ) -> None:
        self._pool = pool
        self._model = str(model)
        self._hints = Hints(language, prompt)
        self._yes_no_hints = Hints(language, prompt, tuple(yes_words), tuple(no_words))

    def open(
        self,
        call_id: str,
        on_transcript: Callable[[Transcript], None],
        on_error: Callable[[ProviderError], None],
    ) -> LocalSpeechStream:
        return LocalSpeechStream(self._transcribe, on_transcript, on_error)

    async def _transcribe(self, pcm: bytes, expectation: Expectation) -> Heard:
        # Numbers need no prompt of their own: 13 of 32 right with either, 7 without any.
        hints = self._yes_no_hints if expectation is Expectation.YES_NO else self._hints
        heard = await self._pool.run(TRANSCRIBE, self._model, pcm, hints, priority=Priority.TURN)
        assert isinstance(heard, Heard), "what the job returns"
        return heard


class LocalSpeechStream:
    """One call's :class:`~voicebot.providers.interfaces.SpeechStream`."""

    def __init__(
        self,
        transcribe: Callable[[bytes, Expectation], Coroutine[Any, Any, Heard]],
        on_transcript: Callable[[Transcript], None],
        on_error: Callable[[ProviderError], None],
    ) -> None:
        self._transcribe = transcribe
        self._on_transcript = on_transcript
        self._on_error = on_error
        self._expectation = Expectation.ANYTHING
        self._audio = TurnAudio()
        self._request: asyncio.Task[Heard] | None = None

    def push(self, pcm: bytes) -> None:
        self._audio.push(pcm)

    def expect(self, expectation: Expectation) -> None:
        self._expectation = expectation

    def speech_started(self) -> None:
        self._audio.begin()

    def speech_paused(self, pause: int) -> None:
        self._supersede()
        pcm = self._audio.pcm
        work = self._transcribe(pcm, self._expectation)
        self._request = asyncio.get_running_loop().create_task(work, name=f"pause {pause}")
        self._request.add_done_callback(lambda task: self._finished(task, pause, seconds(pcm)))

    def turn_ended(self) -> None:
        self._supersede()
        self._audio.end()

    async def close(self) -> None:
        request = self._request
        self._supersede()
        if request is not None:
            await asyncio.wait((request,))
        self._audio.end()

    def _supersede(self) -> None:
        if self._request is not None:
            self._request.cancel()
            self._request = None

    def _finished(self, task: asyncio.Task[Heard], pause: int, duration: float) -> None:
        """Deliver. The task may have finished just before it was superseded: then it is old."""
        if task.cancelled():
            return
        error = task.exception()
        if task is not self._request:
            return
        self._request = None
        if isinstance(error, WorkerError):
            self._on_error(ProviderError(Stage.STT, "local", str(error), retryable=True))
        elif error is not None:
            raise error
        else:
            heard = task.result()
            self._on_transcript(
                Transcript(
                    text=heard.text,
                    pause=pause,
                    confidence=heard.confidence,
                    yes=heard.yes,
                    audio_seconds=duration,
                    compute_seconds=heard.seconds,
                )
            )
