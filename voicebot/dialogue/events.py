"""Everything the dialogue can learn of the world; the counterpart of :mod:`commands`.

An event is named for what has happened (``PlayoutStopped``), a command for what is to be done
(``StopPlayout``).
"""

from __future__ import annotations

from dataclasses import dataclass

from voicebot.turns.events import Paused, SpeechLasted, SpeechStarted


@dataclass(frozen=True, slots=True)
class CallStarted:
    """The caller is on the line."""

    came_back: bool = False
    """A transfer was tried and nobody answered."""
    name: str | None = None
    number: str | None = None
    confirmed: bool = False
    """The caller has said that the number is right."""
    problem: str | None = None
    """What is known from before the transfer."""


@dataclass(frozen=True, slots=True)
class WordsSoFar:
    """The caller has paused, and may go on: what was said until now."""

    text: str
    yes: bool | None = None
    early: bool = False
    """The recogniser's guess, before it was asked: other words may still come for the pause. No
    words: it takes the guess back."""


@dataclass(frozen=True, slots=True)
class CallerSaid:
    """The caller has finished speaking."""

    text: str
    """Empty when no words were recognised."""
    yes: bool | None = None
    """The recogniser's own verdict on a yes/no question, if it gave one."""
    speech_seconds: float = 0.0
    speech_ended: float | None = None
    """When the last speech sound was, if that is known."""


@dataclass(frozen=True, slots=True)
class DigitPressed:
    """A telephone key: one of ``0123456789*#ABCD``."""

    digit: str


@dataclass(frozen=True, slots=True)
class PlayoutBegan:
    """The caller begins to hear *utterance*."""

    utterance: int


@dataclass(frozen=True, slots=True)
class PlayoutEnded:
    """The caller has heard all of *utterance*."""

    utterance: int
    text: str


@dataclass(frozen=True, slots=True)
class PlayoutStopped:
    """*utterance* was cut; the answer to ``StopPlayout`` while something was playing."""

    utterance: int
    heard: str
    """What of it the caller heard, to the word."""
    unheard: tuple[str, ...]
    """Its sentences from the one that was cut on."""


@dataclass(frozen=True, slots=True)
class TechnicianChecked:
    """The answer to ``CheckTechnician``."""

    available: bool


@dataclass(frozen=True, slots=True)
class CallbackStored:
    """The answer to ``StoreCallback``."""

    stored: bool


@dataclass(frozen=True, slots=True)
class ModelWrote:
    """The next piece of the reply to *request*."""

    request: int
    text: str


@dataclass(frozen=True, slots=True)
class ModelEnded:
    """The reply to *request* is complete."""

    request: int


@dataclass(frozen=True, slots=True)
class ModelFailed:
    """The reply to *request* will not come, or not to its end."""

    request: int


@dataclass(frozen=True, slots=True)
class ProviderFailed:
    """A speech provider could not do its work for this turn; ``stage`` is stt, llm or tts."""

    stage: str


@dataclass(frozen=True, slots=True)
class Tick:
    """The machine's deadline has come."""


Event = (
    CallStarted
    | SpeechStarted
    | SpeechLasted
    | Paused
    | WordsSoFar
    | CallerSaid
    | DigitPressed
    | PlayoutBegan
    | PlayoutEnded
    | PlayoutStopped
    | TechnicianChecked
    | CallbackStored
    | ModelWrote
    | ModelEnded
    | ModelFailed
    | ProviderFailed
    | Tick
)
