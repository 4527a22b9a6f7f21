"""What was said in a call, by both, as it was *heard*.

Speech that the bot was going to say and did not is not part of the conversation: the caller cannot
refer to it, and a language model that believes it was said goes wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Speaker(Enum):
    BOT = "bot"
    CALLER = "caller"


@dataclass(frozen=True, slots=True)
class Line:
    speaker: Speaker
    text: str


class History:
    """The lines of a call, oldest first. Empty lines are not kept."""

    def __init__(self) -> None:
        self._lines: list[Line] = []

    @property
    def lines(self) -> tuple[Line, ...]:
        return tuple(self._lines)

    def bot(self, heard: str) -> None:
        self._add(Speaker.BOT, heard)

    def caller(self, text: str) -> None:
        self._add(Speaker.CALLER, text)

    def _add(self, speaker: Speaker, text: str) -> None:
        if text.strip():
            self._lines.append(Line(speaker, text.strip()))


def words_heard(text: str, fraction: float) -> str:
    """The words of *text* that fit into *fraction* (0 to 1) of its duration.

    Speech time is taken to be spread over the characters: within a word or so of the truth for one
    sentence. A word that was begun but not finished was not heard.
    """
    if fraction >= 1.0:
        return text
    budget = len(text) * max(0.0, fraction)
    heard: list[str] = []
    used = 0
    for word in text.split(" "):
        used += len(word) + 1
        if used > budget + 1:
            break
        heard.append(word)
    return " ".join(heard)
