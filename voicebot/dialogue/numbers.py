"""Spoken numbers to digits, by a table of the language's number words.

A telephone number reaches us as digits ("06 12"), as words ("zéro six douze") or as a mixture, and
recognisers split compounds ("60 19" for soixante-dix-neuf). The reader turns every run of number
words into digit groups and leaves judging them to the caller. No language is known here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from voicebot.dialogue.words import tokens


@dataclass(frozen=True, slots=True)
class NumberWords:
    """The number words of one language; keys are tuples of plain words, values are digits."""

    words: Mapping[tuple[str, ...], str]
    joiner: str = ""
    tens: frozenset[str] = frozenset()
    teens_after: frozenset[str] = frozenset()
    repairs: Mapping[tuple[str, ...], str] = field(default_factory=dict)
    longest: int = 1

    def groups(self, said: Sequence[str]) -> list[tuple[list[str], int, int]]:
        """Runs of number words in *said*: their digit groups, first word, word after the last."""
        runs: list[tuple[list[str], int, int]] = []
        i = 0
        while i < len(said):
            groups, end = self._run(said, i)
            if groups:
                runs.append((groups, i, end))
                i = end
            else:
                i += 1
        return runs

    def _run(self, said: Sequence[str], start: int) -> tuple[list[str], int]:
        groups: list[str] = []
        i = start
        while i < len(said):
            value, size = self._word(said, i)
            if not size:
                break
            i += size
            if value in self.tens:
                unit, used = self._unit_after(value, said, i)
                value, i = unit or value, i + used
            groups.append(value)
        return groups, i

    def _word(self, said: Sequence[str], at: int) -> tuple[str, int]:
        if said[at].isdigit():
            return said[at], 1
        for size in range(min(self.longest, len(said) - at), 0, -1):
            value = self.words.get(tuple(said[at : at + size]))
            if value is not None:
                return value, size
        return "", 0

    def _unit_after(self, ten: str, said: Sequence[str], at: int) -> tuple[str | None, int]:
        """The compound of a ten and the unit that may follow it, and the words that took."""
        joined = 1 if self.joiner and at < len(said) and said[at] == self.joiner else 0
        if at + joined >= len(said) or said[at + joined].isdigit():
            return None, 0
        unit, size = self._word(said, at + joined)
        if len(unit) == 1 and unit != "0":
            return ten[0] + unit, joined + size
        if len(unit) == 2 and unit < "20" and ten in self.teens_after:
            return str(int(ten) + int(unit)), joined + size
        return None, 0

    def repaired(self, groups: Sequence[str]) -> list[str]:
        """*groups* with the recogniser's split compounds joined again."""
        result: list[str] = []
        i = 0
        while i < len(groups):
            joined = self.repairs.get(tuple(groups[i : i + 2]))
            result.append(groups[i] if joined is None else joined)
            i += 1 if joined is None else 2
        return result


@dataclass(frozen=True, slots=True)
class PhonePlan:
    """What a telephone number looks like where the script is used."""

    digits: int
    starts_with: str
    groups: tuple[int, ...]
    prefixes: Mapping[str, str] = field(default_factory=dict)

    def national(self, digits: str) -> str | None:
        """*digits* as a national number, or None if they are not one."""
        for prefix, replacement in self.prefixes.items():
            if digits.startswith(prefix) and len(digits) > self.digits:
                digits = replacement + digits[len(prefix) :]
                break
        if len(digits) == self.digits and digits.startswith(self.starts_with):
            return digits
        return None

    def spoken(self, number: str) -> str:
        """*number* in the groups in which it is read aloud: "06 12 34 56 78"."""
        parts, at = [], 0
        for size in self.groups:
            parts.append(number[at : at + size])
            at += size
        return " ".join([*parts, number[at:]]).strip()


@dataclass(frozen=True, slots=True)
class HeardNumber:
    """A telephone number in an utterance, or as much of one as there was."""

    number: str | None
    digits: str
    start: int
    end: int


def find_phone(said: Sequence[str], words: NumberWords, plan: PhonePlan) -> HeardNumber | None:
    """The first telephone number in *said*, else its longest piece of two digits or more."""
    best: HeardNumber | None = None
    for heard in heard_numbers(said, words, plan):
        if heard.number is not None:
            return heard
        if len(heard.digits) >= 2 and (best is None or len(heard.digits) > len(best.digits)):
            best = heard
    return best


def heard_numbers(
    said: Sequence[str], words: NumberWords, plan: PhonePlan
) -> Iterator[HeardNumber]:
    """Every run of digits in *said*, as a telephone number if it is one."""
    for groups, start, end in words.groups(said):
        for reading in (groups, words.repaired(groups)):
            number = plan.national("".join(reading))
            if number is not None:
                yield HeardNumber(number, "".join(reading), start, end)
                break
        else:
            yield HeardNumber(None, "".join(groups), start, end)


def number_words(
    table: Mapping[str, str],
    joiner: str,
    tens: Sequence[str],
    teens_after: Sequence[str],
    repairs: Mapping[str, str],
) -> NumberWords:
    """Build from a script's plain text tables."""
    words = {tokens(key): value for key, value in table.items()}
    return NumberWords(
        words=words,
        joiner="".join(tokens(joiner)),
        tens=frozenset(tens),
        teens_after=frozenset(teens_after),
        repairs={tuple(key.split()): value for key, value in repairs.items()},
        longest=max((len(key) for key in words), default=1),
    )
