"""The conversation itself: what each answer leads to.

Two functions for each question, each given the machine and what was understood. One says whether
that is an answer at all, and changes nothing; the other does what the answer leads to, through the
machine's verbs (``ask``, ``move``, ``want_human``, …). :data:`ANSWERS` lists them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from voicebot.dialogue.questions import Question
from voicebot.dialogue.script import Intent, Prompt
from voicebot.dialogue.states import State, Trigger

if TYPE_CHECKING:
    from voicebot.dialogue.machine import DialogueMachine
    from voicebot.dialogue.understanding import Meaning

MOST_ACKNOWLEDGEMENTS = 2
"""A solution that has been said is not waited over for longer: each one begins the pause anew."""
MOST_REJECTED_READBACKS = 3
"""After so many "no, that is not my number" a person takes over."""


def on_reason(machine: DialogueMachine, meaning: Meaning) -> None:
    """Anything the caller says first is welcome; what is known already is not asked again."""
    slots = machine.slots
    slots.problem = meaning.problem
    slots.number = meaning.number
    if meaning.number or Intent.NAME in meaning.intents:
        slots.name = meaning.name
    machine.move(Trigger.CALLER_SPOKE)
    ask_what_is_missing(machine, *([Prompt.UNDERSTOOD] if slots.problem else []))


def on_identity(machine: DialogueMachine, meaning: Meaning) -> None:
    machine.slots.name = meaning.name or machine.slots.name
    machine.slots.number = meaning.number or machine.slots.number
    ask_what_is_missing(machine)


def on_name(machine: DialogueMachine, meaning: Meaning) -> None:
    machine.slots.name = meaning.name
    machine.slots.name_settled = True
    machine.slots.number = meaning.number or machine.slots.number
    ask_what_is_missing(machine)


def on_number(machine: DialogueMachine, meaning: Meaning) -> None:
    machine.slots.number = meaning.number
    ask_what_is_missing(machine)


def ask_what_is_missing(machine: DialogueMachine, *lead: Prompt) -> None:
    """Ask for whatever of name and number is not known yet, or read both back."""
    slots = machine.slots
    if slots.name is None and slots.number is None and not slots.name_settled:
        machine.ask(Question.IDENTITY, *lead)
    elif slots.number is None:
        machine.ask(Question.NUMBER, *lead)
    elif slots.name is None and not slots.name_settled:
        machine.ask(Question.NAME, *lead)
    else:
        prompt = Prompt.CONFIRM_IDENTITY if slots.name else Prompt.CONFIRM_NUMBER
        machine.ask(Question.CONFIRM_IDENTITY, *lead, prompt=prompt)


def on_confirm_identity(machine: DialogueMachine, meaning: Meaning) -> None:
    slots = machine.slots
    if is_other_number(machine, meaning):
        slots.number = meaning.number  # "Non, c'est le 06 …"
        ask_what_is_missing(machine)
    elif meaning.yes is True:
        slots.confirmed = True
        machine.move(Trigger.IDENTIFIED)
        diagnose(machine)
    else:
        slots.rejected += 1
        if slots.rejected >= MOST_REJECTED_READBACKS:
            machine.give_up()
        elif Intent.NAME in meaning.intents:
            slots.name, slots.name_settled = None, False
            machine.ask(Question.NAME)
        else:
            slots.number = None
            again = Prompt.ASK_NUMBER_AGAIN if slots.rejected == 1 else Prompt.KEYPAD_NUMBER
            machine.ask(Question.NUMBER, prompt=again)


def diagnose(machine: DialogueMachine) -> None:
    if machine.slots.problem is None:
        machine.ask(Question.PROBLEM)
    else:
        give_solution(machine)


def on_problem(machine: DialogueMachine, meaning: Meaning) -> None:
    machine.slots.problem = meaning.problem
    give_solution(machine)


def give_solution(machine: DialogueMachine) -> None:
    machine.move(Trigger.PROBLEM_KNOWN)
    machine.say_solution()


def on_works(machine: DialogueMachine, meaning: Meaning) -> None:
    """Also heard while the solution is still being said, or in the pause after it."""
    if Intent.WAIT in meaning.intents:
        be_patient(machine)
    elif meaning.yes is False:
        machine.want_human(why="not_solved")
    elif machine.state is State.SOLUTION:
        # "D'accord", "oui": an acknowledgement; nobody has been asked whether it works yet.
        if machine.floor.may_resume:
            machine.carry_on()
        elif machine.tries < MOST_ACKNOWLEDGEMENTS:
            machine.tries += 1
        else:
            machine.move(Trigger.SOLUTION_GIVEN)
            machine.ask(Question.WORKS)
    elif Intent.DONE in meaning.intents:
        machine.ask(Question.WORKS)
    else:
        machine.move(Trigger.WORKS)
        machine.say_goodbye(Prompt.SOLVED, Prompt.GOODBYE)


def be_patient(machine: DialogueMachine) -> None:
    if machine.state is State.SOLUTION:
        machine.move(Trigger.SOLUTION_GIVEN)
    machine.ask(Question.WORKS, prompt=Prompt.TAKE_YOUR_TIME)
    machine.be_patient()


def on_callback(machine: DialogueMachine, meaning: Meaning) -> None:
    if meaning.number is not None:
        machine.slots.number, machine.slots.confirmed = meaning.number, False
    elif meaning.yes is False:
        machine.move(Trigger.ARRANGED)
        machine.say_goodbye(Prompt.GOODBYE)
        return
    arrange_callback(machine)


def arrange_callback(machine: DialogueMachine) -> None:
    slots = machine.slots
    if slots.number is None:
        machine.ask(Question.CALLBACK_NUMBER)
    elif not slots.confirmed:
        machine.ask(Question.CONFIRM_CALLBACK)
    else:
        machine.store_callback()


def on_callback_number(machine: DialogueMachine, meaning: Meaning) -> None:
    machine.slots.number = meaning.number
    arrange_callback(machine)


def on_confirm_callback(machine: DialogueMachine, meaning: Meaning) -> None:
    slots = machine.slots
    if is_other_number(machine, meaning):
        slots.number = meaning.number
    elif meaning.yes is True:
        slots.confirmed = True
    else:
        slots.number = None
    arrange_callback(machine)


def says_why(machine: DialogueMachine, meaning: Meaning) -> bool:
    return Intent.GOODBYE not in meaning.intents or meaning.problem is not None


def is_name(machine: DialogueMachine, meaning: Meaning) -> bool:
    """A name that cannot be understood twice is not worth losing the caller for."""
    return meaning.name is not None or machine.tries >= 2


def is_number(machine: DialogueMachine, meaning: Meaning) -> bool:
    return meaning.number is not None


def is_name_or_number(machine: DialogueMachine, meaning: Meaning) -> bool:
    return meaning.name is not None or meaning.number is not None


def is_other_number(machine: DialogueMachine, meaning: Meaning) -> bool:
    return meaning.number is not None and meaning.number != machine.slots.number


def is_right_or_other_number(machine: DialogueMachine, meaning: Meaning) -> bool:
    return meaning.yes is not None or is_other_number(machine, meaning)


def is_problem(machine: DialogueMachine, meaning: Meaning) -> bool:
    return meaning.problem is not None


def is_about_the_solution(machine: DialogueMachine, meaning: Meaning) -> bool:
    """While the solution is still being said, anything is."""
    known = meaning.yes is not None or meaning.intents & {Intent.WAIT, Intent.DONE}
    return bool(known) or machine.state is State.SOLUTION


def takes_up_callback(machine: DialogueMachine, meaning: Meaning) -> bool:
    return meaning.number is not None or meaning.yes is not None


@dataclass(frozen=True, slots=True)
class AnswerTo:
    """One question's two functions."""

    fits: Callable[[DialogueMachine, Meaning], bool]
    then: Callable[[DialogueMachine, Meaning], None]


ANSWERS: dict[Question, AnswerTo] = {
    Question.REASON: AnswerTo(says_why, on_reason),
    Question.IDENTITY: AnswerTo(is_name_or_number, on_identity),
    Question.NAME: AnswerTo(is_name, on_name),
    Question.NUMBER: AnswerTo(is_number, on_number),
    Question.CONFIRM_IDENTITY: AnswerTo(is_right_or_other_number, on_confirm_identity),
    Question.PROBLEM: AnswerTo(is_problem, on_problem),
    Question.WORKS: AnswerTo(is_about_the_solution, on_works),
    Question.CALLBACK: AnswerTo(takes_up_callback, on_callback),
    Question.CALLBACK_NUMBER: AnswerTo(is_number, on_callback_number),
    Question.CONFIRM_CALLBACK: AnswerTo(is_right_or_other_number, on_confirm_callback),
}
