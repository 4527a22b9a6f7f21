"""Which words belong to the caller's turn, and when all of them are known.

Pure. Deepgram answers in segments of the audio it was sent, timed in seconds from the start of the
connection; a segment is partial until it is final. A wish for finals is answered by a final that
says so (``from_finalize``), "but it is not guaranteed if there is no significant amount of audio"
(their documentation), so a final that reaches to where we asked is an answer as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

TAIL = 0.15
"""Seconds before a pause that hold no words for certain: the hangover of our VAD is longer."""


class TurnWords(Protocol):
    """What is known of the caller's turn, on one connection. Times are seconds of audio sent on it.

    One for each of Deepgram's two protocols.
    """

    def sent(self, seconds: float) -> None:
        """So much more audio has been sent, or will be before anything asked for later."""

    def begin_turn(self) -> None: ...

    def ask(self) -> None:
        """Everything sent so far has been asked for."""

    def take(self, message: Any) -> str | None:
        """A message of the kit has come; text if it says that the turn may well be over, with the
        words so far, and none ("") if it takes that back. Anything may come: what is not known, or
        lacks a part, is passed over."""

    @property
    def answered(self) -> bool:
        """Whether everything up to the latest wish is known."""

    @property
    def text(self) -> str:
        """What was said in this turn."""

    @property
    def confidence(self) -> float:
        """0 to 1; 0 if there are no words."""


def confidence_of(words: Sequence[Any]) -> float:
    """The mean of what is said of each word; 0 if nothing is."""
    values = [getattr(word, "confidence", None) for word in words]
    known = [float(value) for value in values if isinstance(value, int | float)]
    return sum(known) / len(known) if known else 0.0


@dataclass(frozen=True, slots=True)
class Segment:
    """A final piece of transcript."""

    start: float
    end: float
    text: str
    confidence: float
    asked_for: bool

    @staticmethod
    def of(message: Any) -> Segment | None:
        """The segment in a message of the kit; None if it holds none, or not a whole one.

        The kit does not validate: a field that is missing on the wire is None here.
        """
        if getattr(message, "type", None) != "Results" or message.is_final is not True:
            return None
        start, duration = message.start, message.duration
        alternatives = getattr(message.channel, "alternatives", None)
        if not _numbers(start, duration) or not isinstance(alternatives, list):
            return None
        best = alternatives[0] if alternatives else None
        text = getattr(best, "transcript", None)
        confidence: Any = getattr(best, "confidence", None)
        return Segment(
            start,
            start + duration,
            text.strip() if isinstance(text, str) else "",
            float(confidence) if _numbers(confidence) else 0.0,
            message.from_finalize is True,
        )


def _numbers(*values: Any) -> bool:
    return all(isinstance(value, int | float) for value in values)


class FinalWords:
    """One connection's :class:`TurnWords`, for the protocol with segments (nova)."""

    def __init__(self) -> None:
        self._sent = 0.0
        self._turn_began = 0.0
        self._asked_at: float | None = None
        self._asked = 0
        self._answers = 0
        self._covered = 0.0
        self._segments: list[Segment] = []

    def sent(self, seconds: float) -> None:
        self._sent += seconds

    def begin_turn(self) -> None:
        self._turn_began = self._sent
        self._asked_at = None
        self._segments.clear()

    def ask(self) -> None:
        self._asked_at = self._sent
        self._asked += 1

    def take(self, message: Any) -> str | None:
        segment = Segment.of(message)
        if segment is not None:
            self.take_final(segment)
        return None

    def take_final(self, segment: Segment) -> None:
        """A final segment has come; one of an earlier turn only counts as an answer."""
        # One more than was asked for would answer the next wish before its words have come.
        self._answers = min(self._answers + segment.asked_for, self._asked)
        self._covered = max(self._covered, segment.end)
        if segment.text and (segment.start + segment.end) / 2 >= self._turn_began:
            self._segments.append(segment)

    @property
    def answered(self) -> bool:
        if self._asked_at is None:
            return False
        return self._answers >= self._asked or self._covered >= self._asked_at - TAIL

    @property
    def text(self) -> str:
        return " ".join(segment.text for segment in self._segments)

    @property
    def confidence(self) -> float:
        """By the length of the segments."""
        length = sum(len(segment.text) for segment in self._segments)
        weighted = sum(len(segment.text) * segment.confidence for segment in self._segments)
        return weighted / length if length else 0.0
