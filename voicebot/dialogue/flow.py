"""The conversation itself: what each answer leads to.

One function for each question. It is given the machine and what was understood, acts through the
machine's verbs (``ask``, ``move``, ``want_human``, …), and returns whether the answer was one: on
False the machine goes down the no-match ladder. :data:`ANSWERS` lists them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from voicebot.dialogue.questions import Question
from voicebot.dialogue.script import Intent, Prompt
from voicebot.dialogue.states import State, Trigger

if TYPE_CHECKING:
    from voicebot.dialogue.machine import DialogueMachine
    from voicebot.dialogue.understanding import Meaning

MOST_REJECTED_READBACKS = 3
"""After so many "no, that is not my number" a person takes over."""


def on_reason(machine: DialogueMachine, meaning: Meaning) -> bool:
    """Anything the caller says first is welcome; what is known already is not asked again."""
    if Intent.GOODBYE in meaning.intents and meaning.problem is None:
        return False
    slots = machine.slots
    slots.problem = meaning.problem
    slots.number = meaning.number
    if meaning.number or Intent.NAME in meaning.intents:
        slots.name = meaning.name
    machine.move(Trigger.CALLER_SPOKE)
    ask_what_is_missing(machine, *([Prompt.UNDERSTOOD] if slots.problem else []))
    return True


def on_identity(machine: DialogueMachine, meaning: Meaning) -> bool:
    if meaning.name is None and meaning.number is None:
        return False
    machine.slots.name = meaning.name or machine.slots.name
    machine.slots.number = meaning.number or machine.slots.number
    ask_what_is_missing(machine)
    return True


def on_name(machine: DialogueMachine, meaning: Meaning) -> bool:
    if meaning.name is None and machine.tries < 2:
        return False
    # A name that cannot be understood twice is not worth losing the caller for.
    machine.slots.name = meaning.name
    machine.slots.name_settled = True
    machine.slots.number = meaning.number or machine.slots.number
    ask_what_is_missing(machine)
    return True


def on_number(machine: DialogueMachine, meaning: Meaning) -> bool:
    if meaning.number is None:
        return False
    machine.slots.number = meaning.number
    ask_what_is_missing(machine)
    return True


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


def on_confirm_identity(machine: DialogueMachine, meaning: Meaning) -> bool:
    slots = machine.slots
    if meaning.number is not None and meaning.number != slots.number:
        slots.number = meaning.number  # "Non, c'est le 06 …"
        ask_what_is_missing(machine)
    elif meaning.yes is True:
        slots.confirmed = True
        machine.move(Trigger.IDENTIFIED)
        diagnose(machine)
    elif meaning.yes is False:
        slots.rejected += 1
        if slots.rejected >= MOST_REJECTED_READBACKS:
            machine.want_human(gave_up=True)
        elif Intent.NAME in meaning.intents:
            slots.name, slots.name_settled = None, False
            machine.ask(Question.NAME)
        else:
            slots.number = None
            again = Prompt.ASK_NUMBER_AGAIN if slots.rejected == 1 else Prompt.KEYPAD_NUMBER
            machine.ask(Question.NUMBER, prompt=again)
    else:
        return False
    return True


def diagnose(machine: DialogueMachine) -> None:
    if machine.slots.problem is None:
        machine.ask(Question.PROBLEM)
    else:
        give_solution(machine)


def on_problem(machine: DialogueMachine, meaning: Meaning) -> bool:
    if meaning.problem is None:
        return False
    machine.slots.problem = meaning.problem
    give_solution(machine)
    return True


def give_solution(machine: DialogueMachine) -> None:
    machine.move(Trigger.PROBLEM_KNOWN)
    machine.say_solution()


def on_works(machine: DialogueMachine, meaning: Meaning) -> bool:
    """Also heard while the solution is still being said, or in the pause after it."""
    if Intent.WAIT in meaning.intents:
        be_patient(machine)
    elif meaning.yes is False:
        machine.want_human(why="not_solved")
    elif machine.state is State.SOLUTION:
        # "D'accord", "oui": an acknowledgement; nobody has been asked whether it works yet.
        return machine.carry_on()
    elif Intent.DONE in meaning.intents:
        machine.ask(Question.WORKS)
    elif meaning.yes is True:
        machine.move(Trigger.WORKS)
        machine.say_goodbye(Prompt.SOLVED, Prompt.GOODBYE)
    else:
        return False
    return True


def be_patient(machine: DialogueMachine) -> None:
    if machine.state is State.SOLUTION:
        machine.move(Trigger.SOLUTION_GIVEN)
    machine.ask(Question.WORKS, prompt=Prompt.TAKE_YOUR_TIME)
    machine.be_patient()


def on_callback(machine: DialogueMachine, meaning: Meaning) -> bool:
    if meaning.number is not None:
        machine.slots.number, machine.slots.confirmed = meaning.number, False
    elif meaning.yes is False:
        machine.move(Trigger.ARRANGED)
        machine.say_goodbye(Prompt.GOODBYE)
        return True
    elif meaning.yes is None:
        return False
    arrange_callback(machine)
    return True


def arrange_callback(machine: DialogueMachine) -> None:
    slots = machine.slots
    if slots.number is None:
        machine.ask(Question.CALLBACK_NUMBER)
    elif not slots.confirmed:
        machine.ask(Question.CONFIRM_CALLBACK)
    else:
        machine.store_callback()


def on_callback_number(machine: DialogueMachine, meaning: Meaning) -> bool:
    if meaning.number is None:
        return False
    machine.slots.number = meaning.number
    arrange_callback(machine)
    return True


def on_confirm_callback(machine: DialogueMachine, meaning: Meaning) -> bool:
    slots = machine.slots
    if meaning.number is not None and meaning.number != slots.number:
        slots.number = meaning.number
    elif meaning.yes is True:
        slots.confirmed = True
    elif meaning.yes is False:
        slots.number = None
    else:
        return False
    arrange_callback(machine)
    return True


ANSWERS: dict[Question, Callable[[DialogueMachine, Meaning], bool]] = {
    Question.REASON: on_reason,
    Question.IDENTITY: on_identity,
    Question.NAME: on_name,
    Question.NUMBER: on_number,
    Question.CONFIRM_IDENTITY: on_confirm_identity,
    Question.PROBLEM: on_problem,
    Question.WORKS: on_works,
    Question.CALLBACK: on_callback,
    Question.CALLBACK_NUMBER: on_callback_number,
    Question.CONFIRM_CALLBACK: on_confirm_callback,
}
