"""Matching words and phrases in what somebody said: whole words, without case or accents."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

_NOT_A_WORD = re.compile(r"[^0-9a-z]+")


def tokens(text: str) -> tuple[str, ...]:
    """*text* as plain lower-case words without accents; apostrophes and hyphens separate words."""
    folded = unicodedata.normalize("NFKD", text.casefold()).replace("œ", "oe")
    plain = "".join(c for c in folded if not unicodedata.combining(c))
    return tuple(word for word in _NOT_A_WORD.split(plain) if word)


@dataclass(frozen=True, slots=True)
class Written:
    """One word as it was written, which keeps a name's accents and capitals."""

    text: str
    plain: str
    """Its token."""
    ends_clause: bool
    """A comma, full stop or the like follows."""


_WRITTEN = re.compile(r"([^\s'’,.;:!?…-]+)([\s'’,.;:!?…-]*)")


def written(text: str) -> tuple[Written, ...]:
    """The words of *text*, one for each of its :func:`tokens` (as far as they are words)."""
    words = []
    for raw, after in _WRITTEN.findall(text):
        plain = "".join(tokens(raw))
        if plain:
            words.append(Written(raw, plain, any(c in ",.;:!?…" for c in after)))
    return tuple(words)


@dataclass(frozen=True, slots=True)
class Phrase:
    """One pattern: its words, the last of which may stand for any ending."""

    words: tuple[str, ...]
    open_ended: bool

    @classmethod
    def parse(cls, text: str) -> Phrase:
        """Raises ValueError if no word is left of *text*."""
        words = tokens(text)
        if not words:
            raise ValueError(f"{text!r} holds no word")
        return cls(words, text.rstrip().endswith("*"))

    @property
    def first(self) -> str | None:
        """The word it starts with; None if that may have any ending."""
        return None if self.open_ended and len(self.words) == 1 else self.words[0]

    def at(self, said: tuple[str, ...], start: int) -> bool:
        end = start + len(self.words)
        if end > len(said):
            return False
        *head, last = self.words
        if said[start : end - 1] != tuple(head):
            return False
        return said[end - 1].startswith(last) if self.open_ended else said[end - 1] == last


@dataclass(frozen=True, slots=True)
class Match:
    """Where a phrase of *label* was found."""

    label: str
    start: int
    length: int


class PhraseBook:
    """Finds every labelled phrase in an utterance; where two overlap the longer one counts.

    That is what tells "ça marche" from "ça marche pas". A phrase may carry several labels.
    """

    def __init__(self, phrases: Iterable[tuple[str, Phrase]]) -> None:
        longest_first = sorted(phrases, key=lambda item: -len(item[1].words))
        self._phrases = [(label, phrase, phrase.first) for label, phrase in longest_first]

    def find(self, said: tuple[str, ...]) -> list[Match]:
        found: list[Match] = []
        taken: dict[int, int] = {}
        words = {None, *said}
        for label, phrase, first in self._phrases:
            if first not in words:
                continue
            size = len(phrase.words)
            for start in range(len(said) - size + 1):
                span = range(start, start + size)
                if any(taken.get(i, 0) > size for i in span) or not phrase.at(said, start):
                    continue
                found.append(Match(label, start, size))
                for i in span:
                    taken[i] = size
        return sorted(found, key=lambda match: (match.start, -match.length))
