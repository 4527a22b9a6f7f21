"""Words with the times at which they were said, as a recogniser hands them on. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_MARKS = re.compile(r"^[^\w]+|[^\w]+$")


@dataclass(frozen=True, slots=True)
class Word:
    """One word."""

    text: str
    """With its capital and its punctuation."""
    start: float
    """Seconds from the beginning of whatever was recognised."""
    end: float
    confidence: float = 0.98

    @property
    def plain(self) -> str:
        return _MARKS.sub("", self.text).lower() or self.text

    def later(self, seconds: float) -> Word:
        return Word(self.text, self.start + seconds, self.end + seconds, self.confidence)


Words = tuple[Word, ...]


def spread(text: str, start: float, end: float, confidence: float = 0.98) -> Words:
    """The words of *text* over that time, each as long as it is written."""
    parts = text.split()
    total = sum(len(part) + 1 for part in parts)
    words, before = [], 0
    for part in parts:
        after = before + len(part) + 1
        span = end - start
        words.append(
            Word(part, start + span * before / total, start + span * after / total, confidence)
        )
        before = after
    return tuple(words)


def joined(words: Sequence[Word], *, punctuate: bool = True) -> str:
    return " ".join(word.text if punctuate else word.plain for word in words)


def confidence(words: Sequence[Word]) -> float:
    """Of all of them together; 0 when there are none."""
    return round(sum(w.confidence for w in words) / len(words), 4) if words else 0.0


def v1_words(words: Sequence[Word], *, punctuate: bool) -> list[dict[str, Any]]:
    """In the shape of Deepgram's ``alternatives[].words``."""
    shaped: list[dict[str, Any]] = []
    for word in words:
        entry: dict[str, Any] = {
            "word": word.plain,
            "start": round(word.start, 3),
            "end": round(word.end, 3),
            "confidence": round(word.confidence, 4),
        }
        if punctuate:
            entry["punctuated_word"] = word.text
        shaped.append(entry)
    return shaped
