"""Calls with a language model, whose replies the tests write."""

from __future__ import annotations

import pytest

from tests.support.playbook import Playbook, answered, caller, moves, says
from voicebot.dialogue.script import Script

QUESTION = '{"intent": "question"}\n'
"""The head of a reply that answers the caller's question."""


@pytest.fixture
def play(script: Script) -> Playbook:
    """A call in which the caller has been greeted, with a model."""
    playbook = Playbook(script, ask_model=True)
    playbook >> answered()
    playbook << says("Bonjour")
    return playbook


def identify(play: Playbook) -> None:
    """Up to the question for the kind of problem."""
    play >> caller("Bonjour, je m'appelle Pierre Dupont, mon numéro c'est le 06 12 34 56 78.")
    play << says("C'est bien ça")
    play >> caller("Oui, c'est ça.")
    play << moves("diagnostic") << says("internet ou le mobile")
