"""Silence: "allô" after 8 s, goodbye 15 s after the caller's last words, patience when busy."""

from __future__ import annotations

from tests.support.playbook import (
    Playbook,
    answered,
    caller,
    ends,
    heard,
    moves,
    notes,
    says,
    seconds,
)
from voicebot.dialogue.commands import NextStep
from voicebot.turns.events import SpeechStarted


def test_allo_at_8_s_and_goodbye_at_15_s_of_listening(play: Playbook) -> None:
    play >> answered()
    play << says("Bonjour")
    play >> heard()
    began = play.now
    play >> seconds(30)
    play << notes("no_input") << says("toujours là")
    assert play.now - began == 8
    play.now += 1.5  # the bot speaks: that is not the caller's silence
    play >> heard()
    play >> seconds(30)
    play << moves("goodbye") << says("Je ne vous entends plus")
    assert play.now - began == 15 + 1.5
    play >> heard()
    play << ends(NextStep.HANGUP, "no_input")


def test_words_start_the_clock_afresh(until) -> None:
    play = until("identification")
    play >> heard()
    play >> seconds(7)
    play >> caller("Pierre Dupont")
    play << says("votre numéro")
    play >> heard()
    play >> seconds(7.9)
    play >> seconds(0.2)
    play << says("toujours là")


def test_a_noise_only_holds_the_clock(until) -> None:
    play = until("identification")
    play >> heard()
    began = play.now
    play >> seconds(5)
    play >> caller("", speech=0.2)
    play >> seconds(30)
    play << says("toujours là")
    assert play.now - began == 8


def test_speaking_caller_is_never_told_allo(until) -> None:
    play = until("identification")
    play >> heard()
    play.machine.handle(SpeechStarted(play.now), play.now)
    assert play.machine.deadline() == 100.0 + 600  # nothing but the longest call


def test_yes_i_am_here_repeats_the_question_and_answers_nothing(until) -> None:
    play = until("confirmation")
    play >> heard()
    play >> seconds(8)
    play << says("toujours là")
    play >> caller("Oui, je suis là.", yes=True)
    play << says("06 12 34 56 78", "C'est bien ça")


def test_an_answer_to_the_question_counts_after_an_allo(until) -> None:
    play = until("verification")
    play >> heard()
    play >> seconds(8)
    play << says("toujours là")
    play >> caller("Oui, ça marche !", yes=True)
    play << moves("goodbye") << says("Au revoir")


def test_a_busy_caller_is_left_in_peace(until) -> None:
    play = until("verification")
    play >> caller("Attendez, je suis en train de le faire.")
    play << says("Prenez votre temps")
    play >> heard()
    began = play.now
    play >> seconds(100)
    play << says("Alors, est-ce que ça marche")
    assert play.now - began == play.machine.talk.script.timings.patience
    play >> caller("Oui", yes=True)
    play << moves("goodbye") << says("Au revoir")


def test_waiting_can_be_asked_for_while_the_advice_is_given(until) -> None:
    play = until("solution")
    play >> caller("Attendez, je le fais.")
    play << moves("verification") << says("Prenez votre temps")
    play >> caller("C'est fait.")
    play << says("Est-ce que ça marche")


def test_the_longest_call(until) -> None:
    play = until("verification")
    play >> caller("Attendez.")
    play << says("Prenez votre temps")
    play.now = 100.0 + 590
    play >> heard()
    play >> seconds(60)
    play << moves("goodbye") << says("durée maximale")
    assert play.now == 100.0 + 600
    play >> heard()
    play << ends(NextStep.HANGUP, "completed")
