"""Where a conversation goes: what each answer leads to.

Two functions for each question, each given the conversation and what was understood. One says
whether that is an answer at all, and changes nothing; the other does what the answer leads to,
through the conversation's verbs (``ask``, ``move``, ``want_human``, …). :data:`ANSWERS` lists them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from voicebot.dialogue.questions import Question
from voicebot.dialogue.script import Intent, Prompt
from voicebot.dialogue.states import State, Trigger

if TYPE_CHECKING:
    from voicebot.dialogue.conversation import Conversation
    from voicebot.dialogue.understanding import Meaning

MOST_ACKNOWLEDGEMENTS = 2
"""A solution that has been said is not waited over for longer: each one begins the pause anew."""
MOST_REJECTED_READBACKS = 3
"""After so many "no, that is not my number" a person takes over."""


def on_reason(talk: Conversation, meaning: Meaning) -> None:
    """Anything the caller says first is welcome; what is known already is not asked again."""
    slots = talk.slots
    slots.problem = meaning.problem
    slots.number = meaning.number
    if meaning.number or Intent.NAME in meaning.intents:
        slots.name = meaning.name
    talk.move(Trigger.CALLER_SPOKE)
    ask_what_is_missing(talk, *([Prompt.UNDERSTOOD] if slots.problem else []))


def on_identity(talk: Conversation, meaning: Meaning) -> None:
    talk.slots.name = meaning.name or talk.slots.name
    talk.slots.number = meaning.number or talk.slots.number
    ask_what_is_missing(talk)


def on_name(talk: Conversation, meaning: Meaning) -> None:
    talk.slots.name = meaning.name
    talk.slots.name_settled = True
    talk.slots.number = meaning.number or talk.slots.number
    ask_what_is_missing(talk)


def on_number(talk: Conversation, meaning: Meaning) -> None:
    talk.slots.number = meaning.number
    ask_what_is_missing(talk)


def ask_what_is_missing(talk: Conversation, *lead: Prompt) -> None:
    """Ask for whatever of name and number is not known yet, or read both back."""
    slots = talk.slots
    if slots.name is None and slots.number is None and not slots.name_settled:
        talk.ask(Question.IDENTITY, *lead)
    elif slots.number is None:
        talk.ask(Question.NUMBER, *lead)
    elif slots.name is None and not slots.name_settled:
        talk.ask(Question.NAME, *lead)
    else:
        prompt = Prompt.CONFIRM_IDENTITY if slots.name else Prompt.CONFIRM_NUMBER
        talk.ask(Question.CONFIRM_IDENTITY, *lead, prompt=prompt)


def on_confirm_identity(talk: Conversation, meaning: Meaning) -> None:
    slots = talk.slots
    if is_other_number(talk, meaning):
        slots.number = meaning.number  # "Non, c'est le 06 …"
        ask_what_is_missing(talk)
    elif meaning.yes is True:
        slots.confirmed = True
        talk.move(Trigger.IDENTIFIED)
        diagnose(talk)
    else:
        slots.rejected += 1
        if slots.rejected >= MOST_REJECTED_READBACKS:
            talk.give_up()
        elif Intent.NAME in meaning.intents:
            slots.name, slots.name_settled = None, False
            talk.ask(Question.NAME)
        else:
            slots.number = None
            again = Prompt.ASK_NUMBER_AGAIN if slots.rejected == 1 else Prompt.KEYPAD_NUMBER
            talk.ask(Question.NUMBER, prompt=again)


def diagnose(talk: Conversation) -> None:
    if talk.slots.problem is None:
        talk.ask(Question.PROBLEM)
    else:
        give_solution(talk)


def on_problem(talk: Conversation, meaning: Meaning) -> None:
    talk.slots.problem = meaning.problem
    give_solution(talk)


def give_solution(talk: Conversation) -> None:
    talk.move(Trigger.PROBLEM_KNOWN)
    talk.say_solution()


def on_works(talk: Conversation, meaning: Meaning) -> None:
    """Also heard while the solution is still being said, or in the pause after it."""
    if Intent.WAIT in meaning.intents:
        be_patient(talk)
    elif meaning.yes is False:
        talk.want_human(why="not_solved")
    elif talk.state is State.SOLUTION:
        # "D'accord", "oui": an acknowledgement; nobody has been asked whether it works yet.
        if talk.floor.may_resume:
            talk.carry_on()
        elif talk.tries < MOST_ACKNOWLEDGEMENTS:
            talk.tries += 1
        else:
            talk.move(Trigger.SOLUTION_GIVEN)
            talk.ask(Question.WORKS)
    elif Intent.DONE in meaning.intents:
        talk.ask(Question.WORKS)
    else:
        talk.move(Trigger.WORKS)
        talk.say_goodbye(Prompt.SOLVED, Prompt.GOODBYE)


def be_patient(talk: Conversation) -> None:
    if talk.state is State.SOLUTION:
        talk.move(Trigger.SOLUTION_GIVEN)
    talk.ask(Question.WORKS, prompt=Prompt.TAKE_YOUR_TIME)
    talk.be_patient()


def on_callback(talk: Conversation, meaning: Meaning) -> None:
    if meaning.number is not None:
        talk.slots.number, talk.slots.confirmed = meaning.number, False
    elif meaning.yes is False:
        talk.move(Trigger.ARRANGED)
        talk.say_goodbye(Prompt.GOODBYE)
        return
    arrange_callback(talk)


def arrange_callback(talk: Conversation) -> None:
    slots = talk.slots
    if slots.number is None:
        talk.ask(Question.CALLBACK_NUMBER)
    elif not slots.confirmed:
        talk.ask(Question.CONFIRM_CALLBACK)
    else:
        talk.store_callback()


def on_callback_number(talk: Conversation, meaning: Meaning) -> None:
    talk.slots.number = meaning.number
    arrange_callback(talk)


def on_confirm_callback(talk: Conversation, meaning: Meaning) -> None:
    slots = talk.slots
    if is_other_number(talk, meaning):
        slots.number = meaning.number
    elif meaning.yes is True:
        slots.confirmed = True
    else:
        slots.number = None
    arrange_callback(talk)


def says_why(talk: Conversation, meaning: Meaning) -> bool:
    return Intent.GOODBYE not in meaning.intents or meaning.problem is not None


def is_name(talk: Conversation, meaning: Meaning) -> bool:
    """A name that cannot be understood twice is not worth losing the caller for."""
    return meaning.name is not None or talk.tries >= 2


def is_number(talk: Conversation, meaning: Meaning) -> bool:
    return meaning.number is not None


def is_name_or_number(talk: Conversation, meaning: Meaning) -> bool:
    return meaning.name is not None or meaning.number is not None


def is_other_number(talk: Conversation, meaning: Meaning) -> bool:
    return meaning.number is not None and meaning.number != talk.slots.number


def is_right_or_other_number(talk: Conversation, meaning: Meaning) -> bool:
    return meaning.yes is not None or is_other_number(talk, meaning)


def is_problem(talk: Conversation, meaning: Meaning) -> bool:
    return meaning.problem is not None


def is_about_the_solution(talk: Conversation, meaning: Meaning) -> bool:
    """While the solution is still being said, anything is."""
    known = meaning.yes is not None or meaning.intents & {Intent.WAIT, Intent.DONE}
    return bool(known) or talk.state is State.SOLUTION


def takes_up_callback(talk: Conversation, meaning: Meaning) -> bool:
    return meaning.number is not None or meaning.yes is not None


@dataclass(frozen=True, slots=True)
class AnswerTo:
    """One question's two functions."""

    fits: Callable[[Conversation, Meaning], bool]
    then: Callable[[Conversation, Meaning], None]


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
