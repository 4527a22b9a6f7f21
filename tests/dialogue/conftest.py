"""The shipped French script, and callers who have come some way already."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.support.playbook import Playbook, answered, caller, heard, moves, says, seconds
from voicebot import script_file
from voicebot.dialogue.script import Script


@pytest.fixture(scope="session")
def script() -> Script:
    return script_file.load()


@pytest.fixture
def play(script: Script) -> Iterator[Playbook]:
    with Playbook(script) as playbook:
        yield playbook


@pytest.fixture
def until(play: Playbook) -> Callable[[str], Playbook]:
    """``until("verification")``: a caller with an internet problem, as far as that state."""

    def advance(state: str) -> Playbook:
        play >> answered()
        play << moves("welcome") << says("Bonjour")
        if state == "welcome":
            return play
        play >> caller("J'ai un problème avec mon internet.")
        play << moves("identification") << says("votre nom et votre numéro")
        if state == "identification":
            return play
        play >> caller("Pierre Dupont, 06 12 34 56 78.")
        play << says("Pierre Dupont", "06 12 34 56 78", "C'est bien ça")
        if state == "confirmation":
            return play
        play >> caller("Oui, c'est ça.", yes=True)
        play << moves("diagnostic") << moves("solution") << says("débrancher votre box")
        if state == "solution":
            return play
        play >> heard()
        play >> seconds(2)
        play << moves("verification") << says("Est-ce que ça marche")
        assert state == "verification", state
        return play

    return advance
