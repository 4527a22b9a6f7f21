"""No-match ladders, requests at any time, and provider trouble."""

from __future__ import annotations

from tests.support.playbook import (
    Playbook,
    answered,
    caller,
    came_back,
    checks_technician,
    ends,
    fails,
    heard,
    moves,
    notes,
    says,
    stores_callback,
    technician,
)
from voicebot.dialogue.commands import NextStep


def test_the_ladder_ends_at_a_person(until) -> None:
    play = until("verification")
    play >> caller("Il fait beau aujourd'hui, n'est-ce pas, madame ?")
    play << notes("no_match", tries=1) << says("n'ai pas bien compris", "Est-ce que ça marche")
    play >> caller("Quel est le prix de l'abonnement ?")
    play << notes("no_match", tries=2) << says("tapez 1 pour oui")
    play >> caller("Vous vendez aussi des téléviseurs ?")
    play << notes("no_match", tries=3) << moves("transfer") << checks_technician()
    play >> technician(available=True)
    play << says("passer quelqu'un", "transfère")


def test_the_kind_of_problem_has_its_own_ladder(play: Playbook) -> None:
    play >> answered()
    play << says("Bonjour")
    play >> caller("Bonjour madame.")
    play << says("votre nom")
    play >> caller("Pierre Dupont, 06 12 34 56 78")
    play << says("C'est bien ça")
    play >> caller("Oui.", yes=True)
    play << moves("diagnostic") << says("internet ou le mobile")
    play >> caller("Je ne sais pas.")
    play << says("n'ai pas bien compris", "internet ou le mobile")
    play >> caller("Je ne sais vraiment pas.")
    play << says("tapez 1 pour internet")


def test_long_speech_without_words_counts_as_not_understood(until) -> None:
    play = until("verification")
    play >> caller("", speech=2.5)
    play << notes("no_match") << says("n'ai pas bien compris")


def test_repeat_says_the_same_again(until) -> None:
    play = until("confirmation")
    play >> caller("Vous pouvez répéter ?")
    play << says("Pierre Dupont", "06 12 34 56 78", "C'est bien ça")


def test_a_technician_at_any_time(until) -> None:
    play = until("confirmation")
    play >> caller("Passez-moi un conseiller, s'il vous plaît.")
    play << moves("transfer") << checks_technician()


def test_goodbye_at_any_time(until) -> None:
    play = until("confirmation")
    play >> caller("Laissez tomber, au revoir.")
    play << moves("goodbye") << says("Au revoir")
    play >> heard()
    play << ends(NextStep.HANGUP, "completed")


def test_yes_but_it_does_not_work_is_no(until) -> None:
    play = until("verification")
    play >> caller("Oui, mais ça ne marche pas.", yes=True)
    play << moves("transfer") << checks_technician()


def test_one_failure_of_the_recogniser_asks_again(until) -> None:
    play = until("verification")
    play >> heard()
    play >> fails("stt")
    play << says("n'ai pas bien compris", "Est-ce que ça marche")


def test_three_failures_in_a_row_hand_over_to_a_person(until) -> None:
    play = until("verification")
    play >> heard()
    play >> fails("stt")
    play << says("pas bien compris")
    play >> fails("tts")
    play << says("pas bien compris")
    play >> fails("stt")
    play << moves("error") << says("problème technique", "transfère")
    play >> heard()
    play << ends(NextStep.TRANSFER, "failed")


def test_an_answer_in_between_forgives_the_failures(until) -> None:
    play = until("verification")
    for _ in range(4):
        play >> fails("stt")
        play << says("pas bien compris")
        play >> caller("Vous pouvez répéter ?")
        play << says("Est-ce que ça marche")


def test_back_from_a_transfer_that_nobody_answered(play: Playbook) -> None:
    play >> came_back("0612345678", "Pierre Dupont")
    play << moves("transfer") << says("Re-bonjour", "techniciens sont en ligne", "rappelle")
    play >> caller("Oui.", yes=True)
    play << stores_callback("0612345678", "Pierre Dupont")


def test_back_from_a_transfer_a_number_that_nobody_confirmed_is_read_out(play: Playbook) -> None:
    play >> came_back("0612345678", "Pierre Dupont", confirmed=False)
    play << says("Re-bonjour", "rappelle")
    play >> caller("Oui.", yes=True)
    play << says("06 12 34 56 78", "C'est bien ça")
    play >> caller("Oui.", yes=True)
    play << stores_callback("0612345678", "Pierre Dupont")


def test_a_callback_without_a_known_number_asks_for_one(play: Playbook) -> None:
    play >> answered()
    play << says("Bonjour")
    play >> caller("Un technicien, tout de suite.")
    play << moves("transfer") << checks_technician()
    play >> technician(available=False)
    play << says("Aucun technicien")
    play >> caller("Oui, volontiers.", yes=True)
    play << says("À quel numéro")
    play >> caller("06 12 34 56 78")
    play << says("06 12 34 56 78", "C'est bien ça")
    play >> caller("Oui.", yes=True)
    play << stores_callback("0612345678")
