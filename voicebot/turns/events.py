"""What turn-taking tells the conversation. Times are when it *happened*, not when decided."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The caller began to make speech sounds."""

    at: float


@dataclass(frozen=True, slots=True)
class SpeechLasted:
    """The speech that started at *at* is long enough to be meant (see ``BARGE_IN_SECONDS``)."""

    at: float


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """The caller fell silent; *at* is the end of the last speech sound."""

    at: float


@dataclass(frozen=True, slots=True)
class Paused:
    """A transcript of the turn so far is wanted: the caller may have finished."""

    pause: int
    at: float


@dataclass(frozen=True, slots=True)
class EndOfTurn:
    """The caller has finished; the transcript of *pause* is what was said."""

    pause: int
    at: float
    """End of the caller's last speech sound."""
    speech_seconds: float
    """How long the caller spoke, pauses left out."""


TurnEvent = SpeechStarted | SpeechLasted | SpeechStopped | Paused | EndOfTurn
