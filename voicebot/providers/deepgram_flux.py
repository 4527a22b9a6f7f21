"""Which words belong to the caller's turn, for Flux: Deepgram's model that hears turns by itself.

Pure. Flux tells of turns, not of segments. Our VAD and endpointer decide when a turn is over, so
theirs is held off (``eot_threshold=1.0``) and each of our pauses forces an end, which "ends the
turn on the audio transcribed so far"; one of our turns is then one or more of theirs. Without a
turn in progress that wish "is ignored", so an update that reaches to the pause and knows of no turn
is an answer too: no words. (Both quotes: their documentation, "Force End Turn".)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from voicebot.providers.deepgram_turn import TAIL, confidence_of

THRESHOLD = 1.0
"""``eot_threshold`` that leaves the end of turns to us."""
EAGER_THRESHOLD = 0.4
"""``eager_eot_threshold``: how sure Flux must be for a guess that the turn is over. Their advice is
0.3 to 0.5 for speed; a wrong guess costs a speculation, never words."""
TIMEOUT_MS = 10_000
"""Silence after which they end a turn for all that; ours has ended long before."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What one message tells of their current turn."""

    event: str
    end: float
    """Seconds of audio up to which it has been heard."""
    text: str
    confidence: float

    @staticmethod
    def of(message: Any) -> Turn | None:
        """What is in a message of the kit, which does not validate; None if it holds no turn."""
        if getattr(message, "type", None) != "TurnInfo":
            return None
        event, end, text = message.event, message.audio_window_end, message.transcript
        if not isinstance(event, str) or not isinstance(end, int | float):
            return None
        words = message.words if isinstance(message.words, list) else []
        return Turn(event, end, text.strip() if isinstance(text, str) else "", confidence_of(words))


class FluxWords:
    """One connection's :class:`~voicebot.providers.deepgram_turn.TurnWords`."""

    def __init__(self) -> None:
        self._sent = 0.0
        self._turn_began = 0.0
        self._asked_at: float | None = None
        self._forced = False  # our latest wish has been answered by an end
        self._covered = 0.0
        self._under_way: Turn | None = None
        self._over: list[Turn] = []

    def sent(self, seconds: float) -> None:
        self._sent += seconds

    def begin_turn(self) -> None:
        self._turn_began = self._sent
        self._asked_at = None
        self._over.clear()
        self._under_way = None

    def ask(self) -> None:
        self._asked_at = self._sent
        self._forced = False

    def take(self, message: Any) -> str | None:
        turn = Turn.of(message)
        if turn is None:
            return None
        self._covered = max(self._covered, turn.end)
        if turn.end <= self._turn_began:
            return None  # of an earlier turn of ours
        if turn.event == "EndOfTurn":
            self._under_way = None
            self._forced = True
            if turn.text:
                self._over.append(turn)
            return None
        if turn.text or turn.event != "Update":
            self._under_way = turn  # only an end ends it, so one that gets lost is missed
        if turn.event == "TurnResumed":
            return ""
        return self.text if turn.event == "EagerEndOfTurn" else None

    @property
    def answered(self) -> bool:
        if self._asked_at is None:
            return False
        covered = self._covered >= self._asked_at - TAIL
        return self._forced or (covered and self._under_way is None)

    @property
    def text(self) -> str:
        turns = [*self._over, *([self._under_way] if self._under_way else [])]
        return " ".join(turn.text for turn in turns if turn.text)

    @property
    def confidence(self) -> float:
        length = sum(len(turn.text) for turn in self._over)
        weighted = sum(len(turn.text) * turn.confidence for turn in self._over)
        return weighted / length if length else 0.0
