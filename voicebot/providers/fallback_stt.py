"""Ears that are several: when one recogniser fails, another hears the same turn again.

The chain keeps a copy of the turn under way. When the provider in use fails, the next one gets all
of it, and the pause that waits for its words if there is one; so the very turn that broke one
provider is answered by another, some tenths of a second late. While nobody waits for words, the
failed provider itself is opened anew first, a few times. At the end of each turn a call goes back
to the best provider whose gate is open.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextvars import copy_context
from dataclasses import dataclass

import structlog

from voicebot.providers.fallback import Gate, backoff
from voicebot.providers.interfaces import (
    Expectation,
    ProviderError,
    SpeechStream,
    SpeechToText,
    Transcript,
)
from voicebot.providers.turn_audio import TurnAudio

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class EarLink:
    """One provider of the chain."""

    stt: SpeechToText
    gate: Gate


class FallbackSpeechToText:
    """A :class:`~voicebot.providers.interfaces.SpeechToText`.

    *attempts*: how often one provider is opened for one turn. *patience*: seconds after a pause in
    which the only provider there is may still be opened anew.
    """

    name = "chain"

    def __init__(self, links: Sequence[EarLink], *, attempts: int, patience: float) -> None:
        self._links = list(links)
        self._attempts = attempts
        self._patience = patience

    def open(
        self,
        call_id: str,
        on_transcript: Callable[[Transcript], None],
        on_error: Callable[[ProviderError], None],
    ) -> FallbackSpeechStream:
        return FallbackSpeechStream(
            self._links, call_id, on_transcript, on_error, self._attempts, self._patience
        )


class FallbackSpeechStream:
    """One call's :class:`~voicebot.providers.interfaces.SpeechStream`."""

    def __init__(
        self,
        links: Sequence[EarLink],
        call_id: str,
        on_transcript: Callable[[Transcript], None],
        on_error: Callable[[ProviderError], None],
        attempts: int,
        patience: float,
    ) -> None:
        self._links = links
        self._call_id = call_id
        self._on_transcript = on_transcript
        self._on_error = on_error
        self._attempts = attempts
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._log = log.bind(call_id=call_id)
        self._context = copy_context()  # of the call: what is opened later is charged to it, too
        self._audio = TurnAudio()
        self._expectation = Expectation.ANYTHING
        self._pause: int | None = None
        self._paused_at = 0.0
        self._position = 0
        self._stream: SpeechStream | None = None
        self._owes_report = False
        self._opened = 0  # times in a row without an answer, the provider in use
        self._again: asyncio.TimerHandle | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._over = False
        self._open(self._best(len(links) - 1))

    # -- SpeechStream

    def push(self, pcm: bytes) -> None:
        self._audio.push(pcm)
        if self._stream is not None:
            self._stream.push(pcm)

    def expect(self, expectation: Expectation) -> None:
        self._expectation = expectation
        if self._stream is not None:
            self._stream.expect(expectation)

    def speech_started(self) -> None:
        self._pause = None
        self._audio.begin()
        if self._stream is not None:
            self._stream.speech_started()
        elif self._again is None:
            self._open(self._best(len(self._links) - 1))

    def speech_paused(self, pause: int) -> None:
        self._pause = pause
        self._paused_at = self._loop.time()
        if self._stream is not None:
            self._stream.speech_paused(pause)
        elif self._again is None:  # given up in this turn already: again for these words
            self._open(self._best(len(self._links) - 1))

    def turn_ended(self) -> None:
        self._pause = None
        self._audio.end()
        if self._stream is not None:
            self._stream.turn_ended()
        self._opened = min(self._opened, 1)
        better = self._best(self._position - 1) if self._position else None
        if better is not None and better < self._position:
            self._log.info("back to the better ears", provider=self._links[better].gate.provider)
            self._let_go()
            self._open(better)

    async def close(self) -> None:
        self._over = True
        self._pause = None
        self._let_go()
        while self._closing:
            await asyncio.gather(*self._closing)

    # -- which provider

    def _best(self, last: int) -> int:
        """The first whose gate is open, up to *last*; if none is, one past that, or the last."""
        for position in range(last + 1):
            if self._links[position].gate.allows():
                return position
        return min(last + 1, len(self._links) - 1)

    def _open(self, position: int) -> None:
        """Hear the turn so far, and everything from now on, with the provider at *position*."""
        if position != self._position:
            self._opened = 0
        self._position = position
        self._opened += 1
        self._owes_report = True
        link = self._links[position]
        stream: SpeechStream

        def transcript(result: Transcript) -> None:
            if self._stream is stream:
                self._take(result)

        def error(failure: ProviderError) -> None:
            if self._stream is stream:
                self._fail(failure)

        context = self._context.copy()  # one that is entered already cannot be entered again
        stream = self._stream = context.run(link.stt.open, self._call_id, transcript, error)
        stream.expect(self._expectation)
        if self._audio.in_turn:
            stream.speech_started()
        if self._audio.pcm:
            stream.push(self._audio.pcm)
        if self._pause is not None:
            stream.speech_paused(self._pause)

    def _take(self, result: Transcript) -> None:
        if result.early:
            if not self._over:
                self._on_transcript(result)
            return
        self._links[self._position].gate.answered()
        self._owes_report = False
        self._opened = 1
        if result.pause == self._pause:
            self._pause = None
        if not self._over:
            self._on_transcript(result)

    def _fail(self, error: ProviderError) -> None:
        link = self._links[self._position]
        link.gate.failed(error)
        self._owes_report = False
        self._let_go()
        if self._over:
            return
        if self._may_try_again(error) and link.gate.allows():
            self._owes_report = True
            self._again = self._loop.call_later(backoff(self._opened), self._open_again)
            return
        following = self._next()
        if following is not None:
            self._log.warning(
                "turn goes to other ears",
                provider=link.gate.provider,
                next=self._links[following].gate.provider,
                reason=str(error),
            )
            self._open(following)
        elif self._pause is not None:
            self._pause = None
            self._on_error(error)

    def _may_try_again(self, error: ProviderError) -> bool:
        if not error.retryable or self._opened >= self._attempts:
            return False
        if self._pause is None:
            return True
        waited = self._loop.time() - self._paused_at
        is_last = self._position == len(self._links) - 1
        return is_last and waited + backoff(self._opened) < self._patience / 2

    def _next(self) -> int | None:
        """The next provider of the chain to ask for this turn; None if that was the last."""
        for position in range(self._position + 1, len(self._links)):
            is_last = position == len(self._links) - 1
            if self._links[position].gate.allows() or is_last:
                return position
        return None

    def _open_again(self) -> None:
        self._again = None
        self._open(self._position)

    def _let_go(self) -> None:
        """Leave the provider in use; it closes on its own, :meth:`close` waits for it."""
        if self._again is not None:
            self._again.cancel()
            self._again = None
        stream, self._stream = self._stream, None
        if self._owes_report:
            self._owes_report = False
            self._links[self._position].gate.abandoned()
        if stream is not None:
            task = self._loop.create_task(stream.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
