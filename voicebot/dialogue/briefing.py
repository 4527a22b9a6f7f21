"""What a language model is told: who it is, what was heard of what was said, what is asked now.

The first message is the same in every call and every turn, so that the provider need not read it
again; what changes comes last.
"""

from __future__ import annotations

from collections.abc import Sequence

from voicebot.dialogue.history import Line, Speaker
from voicebot.dialogue.questions import Question
from voicebot.dialogue.script import ModelScript

MOST_LINES = 12
"""Lines of the conversation that it is told: the latest."""

Messages = tuple[tuple[str, str], ...]
"""Pairs of role (``system``, ``user``, ``assistant``, as chat services say) and text."""


def said_last(lines: Sequence[Line]) -> str:
    """What the caller has said since the bot was last heard."""
    start = len(lines)
    while start and lines[start - 1].speaker is Speaker.CALLER:
        start -= 1
    return " ".join(line.text for line in lines[start:])


def messages(model: ModelScript, question: Question, lines: Sequence[Line]) -> Messages:
    """For the caller's words at the end of *lines*, which were said to *question*."""
    said = said_last(lines)
    told: list[tuple[str, str]] = []
    for line in lines:
        role = "assistant" if line.speaker is Speaker.BOT else "user"
        if told and told[-1][0] == role:
            told[-1] = (role, f"{told[-1][1]} {line.text}")
        else:
            told.append((role, line.text))
    if said:
        told.pop()
    now = ("system", model.questions[question.name.lower()])
    return (("system", model.system), *told[-MOST_LINES:], now, ("user", said))
