"""From the head of a model's reply to a :class:`Meaning`, if it agrees with what the caller said.

A model may find in an utterance what the rules miss; it must not add anything to it. So a number
has to be made of groups of digits that were said, in their order; a name, of words that were said;
a problem has to be one of the script's.
"""

from __future__ import annotations

from collections.abc import Sequence

from voicebot.dialogue.numbers import HeardNumber
from voicebot.dialogue.reply import Head, MisfitError, ModelIntent
from voicebot.dialogue.script import Intent, Script
from voicebot.dialogue.understanding import Meaning
from voicebot.dialogue.words import tokens

_INTENTS = {
    ModelIntent.YES: Intent.YES,
    ModelIntent.NO: Intent.NO,
    ModelIntent.TECHNICIAN: Intent.TECHNICIAN,
    ModelIntent.NO_RECORDING: Intent.NO_RECORDING,
    ModelIntent.REPEAT: Intent.REPEAT,
    ModelIntent.WAIT: Intent.WAIT,
    ModelIntent.DONE: Intent.DONE,
}


def meaning_of(head: Head, said: str, script: Script) -> Meaning:
    """What *head* says that the caller meant by *said*. Raises MisfitError."""
    words = tokens(said)
    intents = {_INTENTS[head.intent]} if head.intent in _INTENTS else set()
    if head.problem is not None and head.problem not in script.problems:
        raise MisfitError("unknown problem")
    if head.name is not None:
        if not _was_said(head.name, words, script.name_most_words):
            raise MisfitError("name not said")
        intents.add(Intent.NAME)
    return Meaning(
        words=words,
        intents=frozenset(intents),
        yes={ModelIntent.YES: True, ModelIntent.NO: False}.get(head.intent),
        problem=head.problem,
        heard_number=_number(head.number, words, script) if head.number is not None else None,
        name=head.name,
    )


def _was_said(name: str, words: Sequence[str], most: int) -> bool:
    parts = tokens(name)
    letters = all(part.isalpha() for part in parts)
    return letters and 1 <= len(parts) <= most and all(part in words for part in parts)


def _number(text: str, words: Sequence[str], script: Script) -> HeardNumber:
    digits = "".join(c for c in text if c.isdigit())
    number = script.phone.national(digits)
    if number is None:
        raise MisfitError("no number")
    groups = [group for found, _, _ in script.numbers.groups(words) for group in found]
    readings = (groups, script.numbers.repaired(groups))
    if not any(_made_of(form, said) for said in readings for form in {digits, number}):
        raise MisfitError("number not said")
    return HeardNumber(number, number, 0, len(words))


def _made_of(digits: str, groups: Sequence[str]) -> bool:
    """Whether *digits* are some of *groups*, whole and in their order, one after the other."""
    reached = {0}
    for group in groups:
        reached |= {at + len(group) for at in reached if digits.startswith(group, at)}
    return len(digits) in reached
