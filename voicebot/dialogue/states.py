"""The nine states of a call and every way from one to the next.

Two rules. All that moves a call between states is in :data:`TRANSITIONS`; and the table says
what may happen, not why: reasons (a word understood, a timer that ran out) are the machine's and
reach this table only as one of the :class:`Trigger` values. A trigger that a state does not list
cannot happen there; asking for it is a bug and raises AssertionError. The diagram in
``docs/explanation/dialogue.md`` is drawn from this table.

A state says how far the call has come. What exactly was asked last (the name, the number, "is that
right?") is the machine's *question*; several questions belong to one state.
"""

from __future__ import annotations

from enum import Enum


class State(Enum):
    """How far a call has come."""

    INIT = "init"
    WELCOME = "welcome"
    IDENTIFICATION = "identification"
    DIAGNOSTIC = "diagnostic"
    SOLUTION = "solution"
    VERIFICATION = "verification"
    TRANSFER = "transfer"
    GOODBYE = "goodbye"
    ERROR = "error"


class Trigger(Enum):
    """Why a call moves on."""

    ANSWERED = "answered"
    CAME_BACK = "came back, no technician answered"
    CALLER_SPOKE = "the caller said why they call"
    IDENTIFIED = "name and number confirmed"
    PROBLEM_KNOWN = "the kind of problem is known"
    SOLUTION_GIVEN = "solution said, and a pause"
    WORKS = "it works"
    HUMAN_WANTED = "a technician is needed or wanted"
    ARRANGED = "callback stored or declined"
    CALLER_DONE = "the caller says goodbye"
    NOBODY_THERE = "nobody has spoken for too long"
    TOO_LONG = "the longest call time is reached"
    TROUBLE = "three provider errors in a row"


_S, _T = State, Trigger

# What can happen in any state in which the bot talks with the caller.
_ALWAYS = {
    _T.CALLER_DONE: _S.GOODBYE,
    _T.NOBODY_THERE: _S.GOODBYE,
    _T.TOO_LONG: _S.GOODBYE,
    _T.TROUBLE: _S.ERROR,
}

TRANSITIONS: dict[State, dict[Trigger, State]] = {
    _S.INIT: {
        _T.ANSWERED: _S.WELCOME,
        _T.CAME_BACK: _S.TRANSFER,
    },
    _S.WELCOME: {
        _T.CALLER_SPOKE: _S.IDENTIFICATION,
        _T.HUMAN_WANTED: _S.TRANSFER,
        **_ALWAYS,
    },
    _S.IDENTIFICATION: {
        _T.IDENTIFIED: _S.DIAGNOSTIC,
        _T.HUMAN_WANTED: _S.TRANSFER,
        **_ALWAYS,
    },
    _S.DIAGNOSTIC: {
        _T.PROBLEM_KNOWN: _S.SOLUTION,
        _T.HUMAN_WANTED: _S.TRANSFER,
        **_ALWAYS,
    },
    _S.SOLUTION: {
        _T.SOLUTION_GIVEN: _S.VERIFICATION,
        _T.HUMAN_WANTED: _S.TRANSFER,
        **_ALWAYS,
    },
    _S.VERIFICATION: {
        _T.WORKS: _S.GOODBYE,
        _T.HUMAN_WANTED: _S.TRANSFER,
        **_ALWAYS,
    },
    # The technician check, the transfer itself, or the callback that takes its place.
    _S.TRANSFER: {
        _T.ARRANGED: _S.GOODBYE,
        **_ALWAYS,
    },
    # The last words are being said; nothing changes what comes after them.
    _S.GOODBYE: {},
    _S.ERROR: {},
}


def after(state: State, trigger: Trigger) -> State:
    """The state that *trigger* leads to. Raises AssertionError where it cannot happen: a bug."""
    following = TRANSITIONS[state].get(trigger)
    if following is None:
        raise AssertionError(f"{trigger.name} cannot happen in {state.name}")
    return following


def mermaid() -> str:
    """The table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", "    [*] --> INIT"]
    for state, row in TRANSITIONS.items():
        lines += [f"    {state.name} --> {to.name}: {why.value}" for why, to in row.items()]
    lines += [f"    {state.name} --> [*]" for state, row in TRANSITIONS.items() if not row]
    return "\n".join(lines) + "\n"
