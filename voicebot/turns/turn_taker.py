"""One caller's turn-taking: VAD windows and transcripts in, turn events out.

It joins the speech detector and the endpointer, and says when speech has lasted long enough to
count as an interruption. It does not know whether the bot is speaking: what an interruption means
is the dialogue's decision.
"""

from __future__ import annotations

from voicebot.turns.endpointing import Completeness, Endpointer, Waits
from voicebot.turns.events import EndOfTurn, Paused, SpeechLasted, SpeechStarted, TurnEvent
from voicebot.turns.speech import SpeechDetector

BARGE_IN_SECONDS = 0.12
"""Speech shorter than this interrupts nobody: a click, a breath. Pipecat takes 0.2 s, LiveKit
0.5 s, AVA 0.12 to 0.25 s. We can afford the short side because a false interruption is mended:
the dialogue goes on where it was cut when no words come of it."""


class TurnTaker:
    """Call :meth:`window` for each VAD window and :meth:`poll` when :meth:`deadline` is reached."""

    def __init__(self, waits: Waits | None = None) -> None:
        self._detector = SpeechDetector()
        self._endpointer = Endpointer(waits)
        self._speech_at: float | None = None

    @property
    def speaking(self) -> bool:
        """Whether the caller is making speech sounds now."""
        return self._detector.speaking

    @property
    def in_turn(self) -> bool:
        """Whether a turn of the caller is under way, pauses included."""
        return self._endpointer.in_turn

    def window(
        self, probability: float, start: float, end: float, quiet: float = 0.0
    ) -> list[TurnEvent]:
        """Take a window's probability of speech, and how long (s) it was *quiet* at its end."""
        events: list[TurnEvent] = []
        change = self._detector.window(probability, start, end, quiet)
        if isinstance(change, SpeechStarted):
            self._speech_at = start
            self._endpointer.speech_started(start)
            events.append(change)
        elif change is not None:
            events += [change, self._endpointer.speech_stopped(change.at)]
            self._speech_at = None
        # Counted to the last sound, not to now: a click does not grow during the hangover.
        lasted = self._detector.last_speech_end - (self._speech_at or 0.0)
        if self._speech_at is not None and lasted >= BARGE_IN_SECONDS:
            events.append(SpeechLasted(self._speech_at))
            self._speech_at = None
        return events

    def no_audio(self, now: float) -> list[TurnEvent]:
        """No caller audio has come until *now*: the same as silence."""
        change = self._detector.silent_until(now)
        if change is None:
            return []
        self._speech_at = None
        return [change, self._endpointer.speech_stopped(change.at)]

    def transcript(self, pause: int, completeness: Completeness) -> bool:
        """False if it is out of date: the caller went on, or the turn is over."""
        return self._endpointer.transcript(pause, completeness)

    def sounded(self, pause: int, probability: float) -> bool:
        """How likely the caller has finished, by how *pause* sounds. False if it is out of date."""
        return self._endpointer.sounded(pause, probability)

    def deadline(self) -> float | None:
        return self._endpointer.deadline()

    def poll(self, now: float) -> EndOfTurn | None:
        return self._endpointer.poll(now)

    def abandon(self) -> EndOfTurn | None:
        """No transcript will come for this pause; ``None`` if there is no pause."""
        return self._endpointer.abandon()


__all__ = ["BARGE_IN_SECONDS", "EndOfTurn", "Paused", "TurnTaker"]
