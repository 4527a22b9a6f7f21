"""Telephone keys: a number typed digit by digit, or one key that answers the question."""

from __future__ import annotations

from dataclasses import dataclass

from voicebot.dialogue.commands import Answer
from voicebot.dialogue.numbers import HeardNumber
from voicebot.dialogue.questions import (
    ASKING,
    END_KEY,
    NO_KEY,
    REPEAT_KEY,
    TECHNICIAN_KEY,
    YES_KEY,
    Question,
)
from voicebot.dialogue.script import Script
from voicebot.dialogue.understanding import Meaning


@dataclass(frozen=True, slots=True)
class Pressed:
    """What a key led to; nothing set means that more keys are awaited, or that it means nothing."""

    meaning: Meaning | None = None
    technician: bool = False
    repeat: bool = False
    wrong: bool = False


class Keypad:
    """Collects digits while a number is asked for. ``*`` starts the number afresh."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._digits = ""
        self._deadline: float | None = None

    def deadline(self) -> float | None:
        """When a number that was begun counts as abandoned."""
        return self._deadline

    def clear(self) -> None:
        self._digits = ""
        self._deadline = None

    def press(self, digit: str, question: Question, now: float) -> Pressed:
        if ASKING[question].answer is Answer.NUMBER:
            return self._number(digit, now)
        if digit == TECHNICIAN_KEY:
            return Pressed(technician=True)
        if digit == REPEAT_KEY:
            return Pressed(repeat=True)
        if ASKING[question].answer is Answer.YES_NO:
            if digit in (YES_KEY, NO_KEY):
                return Pressed(meaning=_meaning(yes=digit == YES_KEY))
        elif question in (Question.REASON, Question.PROBLEM):
            for problem in self._script.problems.values():
                if problem.key == digit:
                    return Pressed(meaning=_meaning(problem=problem.name))
        return Pressed(wrong=digit != END_KEY)

    def _number(self, digit: str, now: float) -> Pressed:
        if digit == REPEAT_KEY:
            self.clear()
            return Pressed()
        if digit != END_KEY:
            self._digits += digit
            self._deadline = now + self._script.timings.between_keys
        plan = self._script.phone
        if digit != END_KEY and len(self._digits) < plan.digits:
            return Pressed()
        digits = self._digits
        self.clear()
        number = plan.national(digits)
        if number is None:
            return Pressed(wrong=True)
        return Pressed(meaning=_meaning(number=HeardNumber(number, digits, 0, 0)))


def _meaning(
    *, yes: bool | None = None, problem: str | None = None, number: HeardNumber | None = None
) -> Meaning:
    return Meaning((), frozenset(), yes, problem, number, None)
