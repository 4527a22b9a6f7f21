"""What the bot can have asked last: how to ask, how to ask again, what kind of answer it takes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from voicebot.dialogue.commands import Answer
from voicebot.dialogue.script import Intent, Prompt
from voicebot.dialogue.understanding import Meaning
from voicebot.turns.endpointing import Completeness


class Question(Enum):
    """Several questions belong to one state; the value is what the log and the journal show."""

    REASON = "reason for the call"
    IDENTITY = "name and number"
    NAME = "name"
    NUMBER = "number"
    CONFIRM_IDENTITY = "is that right"
    PROBLEM = "kind of problem"
    WORKS = "does it work"
    CALLBACK = "call back"
    CALLBACK_NUMBER = "number to call back"
    CONFIRM_CALLBACK = "is that number right"


@dataclass(frozen=True, slots=True)
class Asking:
    """One question; ``retries`` are the second and the third way to put it."""

    prompt: Prompt
    answer: Answer
    retries: tuple[tuple[Prompt, ...], tuple[Prompt, ...]]
    leads_to: Prompt | None = None
    """What a "yes" is answered with, where that has to be synthesised."""


_Q, _P = Question, Prompt
_YES_NO_RETRY = (_P.PARDON, _P.RETRY_YES_NO)

ASKING: dict[Question, Asking] = {
    _Q.REASON: Asking(
        _P.WELCOME, Answer.ANYTHING, ((_P.PARDON, _P.ASK_PROBLEM), (_P.RETRY_PROBLEM,))
    ),
    _Q.IDENTITY: Asking(
        _P.ASK_IDENTITY, Answer.NUMBER, ((_P.PARDON, _P.ASK_IDENTITY), (_P.KEYPAD_NUMBER,))
    ),
    _Q.NAME: Asking(_P.ASK_NAME, Answer.ANYTHING, ((_P.PARDON, _P.RETRY_IDENTITY),) * 2),
    _Q.NUMBER: Asking(
        _P.ASK_NUMBER, Answer.NUMBER, ((_P.PARDON, _P.RETRY_NUMBER), (_P.KEYPAD_NUMBER,))
    ),
    _Q.CONFIRM_IDENTITY: Asking(
        _P.CONFIRM_IDENTITY, Answer.YES_NO, (_YES_NO_RETRY, (_P.RETRY_YES_NO,))
    ),
    _Q.PROBLEM: Asking(
        _P.ASK_PROBLEM, Answer.ANYTHING, ((_P.PARDON, _P.ASK_PROBLEM), (_P.RETRY_PROBLEM,))
    ),
    _Q.WORKS: Asking(_P.ASK_WORKS, Answer.YES_NO, ((_P.PARDON, _P.ASK_WORKS), (_P.RETRY_YES_NO,))),
    _Q.CALLBACK: Asking(
        _P.OFFER_CALLBACK,
        Answer.YES_NO,
        ((_P.PARDON, _P.OFFER_CALLBACK), (_P.RETRY_YES_NO,)),
        leads_to=_P.CALLBACK_STORED,
    ),
    _Q.CALLBACK_NUMBER: Asking(
        _P.ASK_CALLBACK_NUMBER, Answer.NUMBER, ((_P.PARDON, _P.RETRY_NUMBER), (_P.KEYPAD_NUMBER,))
    ),
    _Q.CONFIRM_CALLBACK: Asking(
        _P.CONFIRM_NUMBER,
        Answer.YES_NO,
        (_YES_NO_RETRY, (_P.RETRY_YES_NO,)),
        leads_to=_P.CALLBACK_STORED,
    ),
}

YES_KEY, NO_KEY = "1", "2"
TECHNICIAN_KEY, REPEAT_KEY, END_KEY = "0", "*", "#"

_SAID_IN_FULL = {
    Intent.NO_RECORDING,
    Intent.TECHNICIAN,
    Intent.REPEAT,
    Intent.GOODBYE,
    Intent.WAIT,
    Intent.DONE,
}


def completeness(question: Question, meaning: Meaning) -> Completeness:
    """Whether *meaning* answers *question* in full; decides how long to wait for more words."""
    if meaning.intents & _SAID_IN_FULL:
        return Completeness.COMPLETE
    match ASKING[question].answer:
        case Answer.YES_NO if meaning.yes is not None and meaning.heard_number is None:
            return Completeness.COMPLETE
        case Answer.NUMBER if meaning.number is not None:
            return Completeness.COMPLETE
        case Answer.NUMBER if meaning.heard_number or meaning.name:
            return Completeness.INCOMPLETE
        case Answer.ANYTHING if question is Question.PROBLEM and meaning.problem:
            return Completeness.COMPLETE
        case Answer.ANYTHING if question is Question.NAME and " " in (meaning.name or ""):
            return Completeness.COMPLETE  # a first name and a last
    return Completeness.OPEN
