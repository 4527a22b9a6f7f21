"""A language model's reply, read while it is written: what the caller meant, then words to say.

The form is one line of JSON, the *head*, and after it, only when the caller asked something, one or
two sentences::

    {"intent": "question"}
    Cela prend deux minutes. Vous gardez votre numéro.

The head comes first because it decides whether there is anything to say; then each sentence can be
spoken as soon as it is whole. How the text is cut into pieces makes no difference. What does not
fit raises :class:`MisfitError`, with a reason that can be counted.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from voicebot.dialogue.sentences import SentenceCutter

MOST_HEAD = 300
"""Characters of the head; a longer one is no head."""
MOST_SENTENCES = 2
MOST_CHARACTERS = 240
"""Of all sentences: 15 s of speech. What goes beyond is not said."""
CHARACTERS_PER_SECOND = 16.0
"""Of speech, about."""
MOST_DIGITS = 3
"""More digits in a row are a telephone number, a price, a year: nothing a model may make up."""


class ModelIntent(Enum):
    """What a model can say that the caller meant; the value is its name in the head.

    There is no "goodbye": a model that is mistaken must not be able to hang up on a caller.
    """

    ANSWER = "answer"
    YES = "yes"
    NO = "no"
    QUESTION = "question"
    TECHNICIAN = "technician"
    NO_RECORDING = "no_recording"
    REPEAT = "repeat"
    WAIT = "wait"
    DONE = "done"
    UNCLEAR = "unclear"


class MisfitError(ValueError):
    """The reply is not one. ``reason`` is one of a closed set of words."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Head:
    """What the model understood; nothing of it is checked against what the caller said."""

    intent: ModelIntent
    problem: str | None = None
    name: str | None = None
    number: str | None = None


class ReplyReader:
    """Reads one reply. *forbids* says whether a sentence must not be spoken."""

    def __init__(self, abbreviations: frozenset[str], forbids: Callable[[str], bool]) -> None:
        self.head: Head | None = None
        self.sentences: list[str] = []
        """Those that may be spoken, as far as they are whole."""
        self.full = False
        """Nothing that follows will be spoken."""
        self._beginning = ""
        self._cutter = SentenceCutter(abbreviations)
        self._forbids = forbids
        self._characters = 0

    def push(self, text: str) -> None:
        """Take the next piece. Raises MisfitError."""
        if self.head is None:
            text = self._read_head(text)
        if self.head is not None and not self.full:
            for sentence in self._cutter.push(text):
                self._take(sentence)

    def end(self) -> None:
        """The reply is over. Raises MisfitError."""
        if self.head is None:
            raise MisfitError("no head" if self._beginning.strip() else "empty")
        if not self.full:
            self._take(self._cutter.end())
        self.full = True
        if self.head.intent is ModelIntent.QUESTION and not self.sentences:
            raise MisfitError("nothing said")

    def _read_head(self, text: str) -> str:
        """What follows the head, once it is there."""
        self._beginning = (self._beginning + text).lstrip()
        if not self._beginning:
            return ""
        if self._beginning[0] != "{":
            raise MisfitError("no head")
        try:
            head, end = json.JSONDecoder().raw_decode(self._beginning)
        except ValueError:
            if len(self._beginning) > MOST_HEAD:
                raise MisfitError("no head") from None
            return ""
        if end > MOST_HEAD:
            raise MisfitError("no head")
        self.head = _head(head)
        return self._beginning[end:].lstrip()

    def _take(self, sentence: str) -> None:
        text = _speakable(sentence)
        if self.full or not text:
            return
        self._characters += len(text)
        too_long = self._characters > MOST_CHARACTERS
        if too_long or self._forbids(text) or re.search(rf"\d{{{MOST_DIGITS + 1}}}", text):
            self.full = True
            if not self.sentences:
                raise MisfitError("too long" if too_long else "forbidden")
            return
        self.sentences.append(text)
        self.full = len(self.sentences) == MOST_SENTENCES


class ReplyJudge:
    """Says what a reply is worth to the caller while it is written.

    Told each piece, it says for how many seconds the caller is served by all that has come: as long
    as its whole sentences take to say; for ever, if nobody waits for more of it. None: nothing can
    be done with it yet. What does not fit is of use, too: no more of it need be waited for.
    """

    def __init__(self, abbreviations: frozenset[str]) -> None:
        self._reader = ReplyReader(abbreviations, lambda sentence: False)
        self._over = False

    def __call__(self, piece: str) -> float | None:
        reader = self._reader
        if not self._over:
            try:
                reader.push(piece)
            except MisfitError:
                self._over = True
        if self._over or reader.full:
            return math.inf
        if reader.head is None:
            return None
        if reader.head.intent is not ModelIntent.QUESTION:
            self._over = True
            return math.inf
        return sum(map(len, reader.sentences)) / CHARACTERS_PER_SECOND or None


def _head(data: dict[str, object]) -> Head:
    try:
        intent = ModelIntent(data.get("intent"))
    except ValueError:
        raise MisfitError("unknown intent") from None
    slots: dict[str, str | None] = {}
    for key in ("problem", "name", "number"):
        value = data.get(key)
        if not isinstance(value, str | None):
            raise MisfitError("wrong slot")
        slots[key] = value.strip() or None if value is not None else None
    return Head(intent, **slots)


def _speakable(text: str) -> str:
    """*text* without what a voice would stumble over: marks of emphasis and of lists, pictures."""
    kept = "".join(
        " " if c in "*_#`|<>[]{}~^\\" or unicodedata.category(c) in ("So", "Cn", "Co", "Cs") else c
        for c in text
    )
    kept = re.sub(r"^\s*[-–—•]+\s+", "", " ".join(kept.split()))
    return kept if any(c.isalnum() for c in kept) else ""
