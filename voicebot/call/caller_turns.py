"""What the caller says, turn by turn: what was heard, and the words for it, put together.

Turn-taking knows when the caller paused and finished, the recogniser what was said; a turn goes to
the dialogue with the words of its last pause. Words for a pause that is over come to nothing, and
words that do not come end the turn as a failure, for the caller waits for an answer.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from contextvars import Context

import structlog

from voicebot.call.hearing import Hearing
from voicebot.call.ledger import CallLedger
from voicebot.call.services import Services
from voicebot.dialogue import events as ev
from voicebot.providers.interfaces import Expectation, ProviderError, Transcript
from voicebot.turns.endpointing import Completeness
from voicebot.turns.events import EndOfTurn, Paused, SpeechLasted, SpeechStarted, TurnEvent

log = structlog.get_logger(__name__)

TRANSCRIPT_DEADLINE = 4.0
"""Seconds from a pause to its words; beyond it the caller would hear nothing for too long."""


class CallerTurns:
    """One call's. The owner owes a :meth:`close`, and a :meth:`release` after it."""

    def __init__(
        self,
        call_id: uuid.UUID,
        services: Services,
        loop: asyncio.AbstractEventLoop,
        context: Context,
        ledger: CallLedger,
        completeness: Callable[[str, bool | None], Completeness],
        tell: Callable[[ev.Event], None],
        on_failure: Callable[[Exception], None],
    ) -> None:
        """*tell* is given what the dialogue is to know; *completeness* says whether words answer
        what was asked; *on_failure* is told of a bug. *context* is the call's."""
        self._loop = loop
        self._ledger = ledger
        self._completeness = completeness
        self._tell = tell
        self._log = log.bind(call_id=str(call_id))
        self._transcript: Transcript | None = None
        """The words of the current pause, once they are known."""
        self._paused_at: float | None = None
        """When a pause was noticed whose words are still to come."""
        self._closed = False
        self._stream = context.run(
            services.stt.open, str(call_id), self._on_transcript, self._on_stt_error
        )
        self._hearing = Hearing(
            services.detector, self._stream, loop.time(), self._on_turn_event, on_failure,
            services.turn_ends, str(call_id),
        )  # fmt: skip

    def audio(self, pcm: bytes, now: float) -> None:
        """Take caller audio that arrived at *now*."""
        self._hearing.audio(pcm, now)

    def expect(self, expectation: Expectation) -> None:
        """Say what the next answers are likely to be."""
        self._stream.expect(expectation)

    def poll(self, now: float) -> None:
        """Time has passed: a turn may be over, or its words overdue."""
        self._hearing.poll(now)
        if self._paused_at is not None and now - self._paused_at > TRANSCRIPT_DEADLINE:
            self._log.warning("no transcript in time", deadline_s=TRANSCRIPT_DEADLINE)
            self._give_up_on_transcript()

    def wait_less(self) -> None:
        """The words so far can be answered: the turn is over the sooner, unless more come."""
        if self._transcript is not None:
            self._hearing.turns.transcript(self._transcript.pause, Completeness.ANSWERABLE)

    def close(self) -> None:
        """Nothing more is told. Idempotent."""
        self._closed = True
        self._hearing.close()

    async def release(self) -> None:
        """Wait until nothing of the recogniser is left running."""
        await self._stream.close()

    # -- what was heard, and the words for it

    def _on_turn_event(self, event: TurnEvent) -> None:
        match event:
            case SpeechStarted():
                self._paused_at = None
                self._transcript = None
                self._tell(event)
            case SpeechLasted():
                self._tell(event)
            case Paused():
                self._paused_at = self._loop.time()
                self._tell(event)
            case EndOfTurn():
                self._on_end_of_turn(event)

    def _on_transcript(self, transcript: Transcript) -> None:
        if self._closed:
            return
        if transcript.early:
            if self._hearing.turns.in_turn:
                self._tell(ev.WordsSoFar(transcript.text, transcript.yes, early=True))
            return
        completeness = self._completeness(transcript.text, transcript.yes)
        if self._hearing.turns.transcript(transcript.pause, completeness):
            self._transcript = transcript
            self._paused_at = None
            self._tell(ev.WordsSoFar(transcript.text, transcript.yes))

    def _on_end_of_turn(self, event: EndOfTurn) -> None:
        transcript, self._transcript = self._transcript, None
        self._paused_at = None
        text = transcript.text if transcript is not None else ""
        if text.strip() and transcript is not None:
            self._ledger.caller_said(transcript, event.at, self._loop.time())
        yes = transcript.yes if transcript is not None else None
        self._tell(ev.CallerSaid(text, yes, event.speech_seconds, event.at))

    def _on_stt_error(self, error: ProviderError) -> None:
        if self._closed:
            return
        self._log.warning("provider failed", stage="stt", provider=error.provider, error=str(error))
        self._give_up_on_transcript()

    def _give_up_on_transcript(self) -> None:
        self._paused_at = None
        self._transcript = None
        for _ in self._hearing.give_up_on_transcript():
            self._tell(ev.ProviderFailed("stt"))
