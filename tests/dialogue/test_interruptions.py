"""Barge-in: the bot falls silent, keeps what was heard, and goes on when nothing was meant."""

from __future__ import annotations

import pytest

from tests.support.playbook import (
    Playbook,
    answered,
    caller,
    checks_technician,
    heard,
    interrupts,
    moves,
    notes,
    says,
    seconds,
    stops,
)
from voicebot.dialogue import events as ev
from voicebot.dialogue.history import Line, Speaker
from voicebot.dialogue.machine import DialogueMachine
from voicebot.dialogue.script import Script
from voicebot.dialogue.slots import Limits
from voicebot.turns.events import SpeechLasted


def test_the_bot_stops_and_answers_what_was_said(play: Playbook) -> None:
    play >> answered()
    play << says("Bonjour")
    play >> interrupts("Ma box ne marche plus.")
    play << stops() << notes("barge_in", outcome="accepted") << says("j'ai compris", "votre nom")


def test_an_mm_hm_does_not_cost_the_caller_the_rest(until) -> None:
    play = until("solution")
    play >> interrupts("Mm-hm.", unheard=1)
    play << stops() << notes("barge_in", outcome="backchannel") << says("Essayez de débrancher")


@pytest.mark.parametrize("rest", ["C'est ça.", "Exactement.", "Oui, c'est bien ça."])
def test_the_rest_of_an_answer_that_was_taken_for_all_of_it_costs_nothing(until, rest) -> None:
    """ "Oui... c'est ça": the bot has begun to speak in between."""
    play = until("solution")
    play >> interrupts(rest)
    play << stops() << notes("barge_in", outcome="backchannel") << says("débrancher votre box")


@pytest.mark.parametrize(
    ("left", "heard"), [(2, "Très bien, j'ai"), (1, "Très bien, j'ai compris. Puis-je avoir")]
)
def test_words_over_a_question_that_was_hardly_put_are_no_name(
    play: Playbook, left: int, heard: str
) -> None:
    """They are the rest of the problem, after a breath that was taken for its end."""
    play >> answered()
    play << says("Bonjour")
    play >> caller("J'ai un problème avec mon internet.")
    play << says("j'ai compris", "votre nom")
    play >> interrupts("Depuis hier soir.", unheard=left, heard=heard)
    play << stops() << notes("barge_in", outcome="backchannel") << says("votre nom et votre numéro")
    assert play.machine.slots.name is None


@pytest.mark.parametrize(
    ("words", "heard"),
    [
        ("Pierre Dupont.", "Très bien, j'ai compris. Puis-je avoir votre nom et"),
        ("Je m'appelle Pierre Dupont.", "Très bien, j'ai compris. Puis-je"),
        ("Pierre Dupont, 06 12 34 56 78.", "Très bien, j'ai compris. Puis-je"),
    ],
)
def test_a_name_over_a_question_that_is_understood_already_is_one(
    play: Playbook, words: str, heard: str
) -> None:
    play >> answered()
    play << says("Bonjour")
    play >> caller("J'ai un problème avec mon internet.")
    play << says("j'ai compris", "votre nom")
    play >> interrupts(words, unheard=1, heard=heard)
    play << stops() << notes("barge_in", outcome="accepted")
    play << says("C'est bien ça" if "06" in words else "Et votre numéro")
    assert play.machine.slots.name == "Pierre Dupont"


def test_nor_does_a_yes_to_a_question_that_takes_none(until) -> None:
    play = until("identification")
    play >> interrupts("C'est ça.", unheard=1)
    play << notes("barge_in", outcome="backchannel") << says("votre nom et votre numéro")


def test_a_yes_to_a_question_that_was_heard_is_an_answer(until) -> None:
    play = until("verification")
    play >> interrupts("C'est ça.", unheard=1)
    play << notes("barge_in", outcome="accepted") << says("Au revoir")


def test_a_cough_does_not_either(until) -> None:
    play = until("solution")
    play >> interrupts("", unheard=1, speech=0.3)
    play << notes("barge_in", outcome="false") << says("Essayez de débrancher")
    play >> heard()
    play >> seconds(2)
    play << moves("verification") << says("Est-ce que ça marche")


def test_agreeing_with_the_advice_is_not_saying_that_it_works(until) -> None:
    play = until("solution")
    play >> interrupts("D'accord.", unheard=1)
    play << says("débrancher")
    play >> caller("Oui.", yes=True)  # in the pause after it
    play >> seconds(2)
    play << moves("verification") << says("Est-ce que ça marche")


def test_asking_for_a_technician_over_the_greeting(play: Playbook) -> None:
    play >> answered()
    play << says("Bonjour")
    play >> interrupts("Je voudrais parler à un technicien.")
    play << stops() << moves("transfer") << checks_technician()


def test_the_last_words_are_not_interrupted(until) -> None:
    play = until("verification")
    play >> caller("Oui, ça marche.")
    play << says("Au revoir")
    play >> interrupts("Merci !")


def test_history_holds_what_was_heard(script: Script) -> None:
    machine = DialogueMachine(script, Limits(8, 15, 600))
    machine.handle(ev.CallStarted(), 0.0)
    machine.handle(SpeechLasted(1.0), 1.2)
    machine.handle(ev.PlayoutStopped(1, "Bonjour, bienvenue au", ("…",)), 1.2)
    machine.handle(ev.CallerSaid("Ma box est en panne", None, 1.0), 3.0)
    assert machine.talk.history.lines == (
        Line(Speaker.BOT, "Bonjour, bienvenue au"),
        Line(Speaker.CALLER, "Ma box est en panne"),
    )
