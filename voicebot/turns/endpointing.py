r"""When has the caller finished? Silence alone is a poor answer; silence plus words is a good one.

At each pause the words so far are fetched at once, while the silence goes on::

    speech ----|  pause  ..transcript..  | turn over
               at        +STT            at + wait(completeness)

How long the silence must last depends on what was said: an answer that is complete ("oui", ten
digits) ends the turn as soon as its words are known; half a phone number gets time to go on. What
only a language model understands is open until its reply has begun: that it can be answered is the
best sign that it was all. People also hear it, by how somebody stopped: so whoever
listens for that may confirm that a turn is over whose words may be all, and its wait is that of an
answer. It never makes a wait longer, and half a phone number stays half a phone number, however
finished it sounds. Speech
before the end starts the wait afresh. Waits are counted from the true end of speech, so a slow
transcript costs nothing that the wait had not already spent.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from voicebot.turns.events import EndOfTurn, Paused

FINISHED = 0.7
"""Probability from which a caller sounds finished. Of whole sentences of telephone French four in
five reach it 0.3 s after the last sound, of sentences cut off anywhere one in four (0047)."""


class Completeness(Enum):
    """What the words so far say about whether more will come."""

    COMPLETE = "complete"
    ANSWERABLE = "answerable"
    OPEN = "open"
    INCOMPLETE = "incomplete"


@dataclass(frozen=True, slots=True)
class Waits:
    """Silence, in seconds from the end of speech, that ends a turn.

    People leave about 0.2 s between two turns (Stivers et al., PNAS 2009, ten languages); peers
    wait 0.5 s (LiveKit's minimum) to 1.0 s (AVA) whatever was said. A pause is noticed 0.2 s after
    the last sound, so whoever is complete is answered when the words are known (0049).
    """

    complete: float = 0.20
    answerable: float = 0.5
    open: float = 0.65
    incomplete: float = 1.3

    def of(self, completeness: Completeness, *, sounds_finished: bool = False) -> float:
        match completeness:
            case Completeness.COMPLETE:
                return self.complete
            case Completeness.ANSWERABLE | Completeness.OPEN if sounds_finished:
                return self.complete
            case Completeness.ANSWERABLE:
                return self.answerable
            case Completeness.OPEN:
                return self.open
            case Completeness.INCOMPLETE:
                return self.incomplete


class Endpointer:
    """One caller's turns, one after the other. Pauses are numbered from 1 and never reused."""

    def __init__(self, waits: Waits | None = None) -> None:
        self._waits = waits or Waits()
        self._pause = 0
        self._in_turn = False
        self._speech_began: float | None = None
        self._spoken = 0.0
        self._paused_at: float | None = None
        self._completeness: Completeness | None = None
        self._sounds_finished = False

    @property
    def in_turn(self) -> bool:
        """Whether the caller has spoken and the turn is not over."""
        return self._in_turn

    def speech_started(self, at: float) -> None:
        self._in_turn = True
        self._speech_began = at
        self._paused_at = None
        self._completeness = None

    def speech_stopped(self, at: float) -> Paused:
        """A transcript for the returned pause is now owed by :meth:`transcript`."""
        if self._speech_began is not None:
            self._spoken += at - self._speech_began
            self._speech_began = None
        self._pause += 1
        self._paused_at = at
        self._sounds_finished = False
        return Paused(self._pause, at)

    def transcript(self, pause: int, completeness: Completeness) -> bool:
        """Words for *pause* are known. False if the caller went on speaking meanwhile."""
        if pause != self._pause or self._paused_at is None:
            return False
        self._completeness = completeness
        return True

    def sounded(self, pause: int, probability: float) -> bool:
        """How likely the caller has finished, by the sound of *pause*; it may be told repeatedly,
        and the highest counts. False if it comes too late to matter."""
        if pause != self._pause or self._paused_at is None:
            return False
        self._sounds_finished = self._sounds_finished or probability >= FINISHED
        return True

    def deadline(self) -> float | None:
        """When :meth:`poll` will say that the turn is over, as things stand."""
        if self._paused_at is None or self._completeness is None:
            return None
        wait = self._waits.of(self._completeness, sounds_finished=self._sounds_finished)
        return self._paused_at + wait

    def poll(self, now: float) -> EndOfTurn | None:
        deadline = self.deadline()
        if deadline is None or now < deadline:
            return None
        return self._end()

    def abandon(self) -> EndOfTurn | None:
        """The transcript will not come: end the turn as it is."""
        return self._end() if self._paused_at is not None else None

    def _end(self) -> EndOfTurn:
        assert self._paused_at is not None
        event = EndOfTurn(self._pause, self._paused_at, self._spoken)
        self._in_turn = False
        self._spoken = 0.0
        self._paused_at = None
        self._completeness = None
        return event
