"""A caller who presses keys instead of speaking."""

from __future__ import annotations

from tests.support.playbook import (
    Playbook,
    answered,
    caller,
    checks_technician,
    heard,
    moves,
    presses,
    says,
    seconds,
    stops,
    technician,
)


def test_a_whole_call_by_keys(play: Playbook) -> None:
    play >> answered()
    play << says("Bonjour")
    play >> presses("1")
    play << stops() << moves("identification") << says("j'ai compris", "votre nom")
    play >> presses("0612345678")
    play << says("votre nom")
    play >> caller("Pierre Dupont")
    play << says("06 12 34 56 78", "C'est bien ça")
    play >> presses("1")
    play << moves("diagnostic") << moves("solution") << says("débrancher")


def test_star_begins_the_number_afresh_and_hash_ends_it(until) -> None:
    play = until("identification")
    play >> presses("0699*061234#")
    play << says("n'ai pas bien compris")
    play >> presses("0612345678#")
    play << says("votre nom")


def test_hash_after_a_complete_number_does_not_cut_the_bot(until) -> None:
    play = until("identification")
    play >> presses("0612345678")
    play << says("votre nom")
    play >> presses("#")
    assert "votre nom" in play.said


def test_a_number_left_half_typed(until) -> None:
    play = until("identification")
    play >> presses("0612")
    play >> seconds(4)
    play << says("n'ai pas bien compris")


def test_zero_asks_for_a_technician_and_star_repeats(until) -> None:
    play = until("verification")
    play >> presses("*")
    play << says("Est-ce que ça marche")
    play >> presses("0")
    play << moves("transfer") << checks_technician()


def test_two_is_no(until) -> None:
    play = until("verification")
    play >> presses("2")
    play << moves("transfer") << checks_technician()


def test_a_key_that_means_nothing_explains_the_keys(until) -> None:
    play = until("verification")
    play >> presses("7")
    play << says("Est-ce que ça marche")
    play >> presses("7")
    play << says("tapez 1 pour oui")


def test_a_technician_who_is_looked_for_ends_the_pause_after_a_solution(until) -> None:
    play = until("solution")
    play >> heard() >> seconds(1.5) >> presses("0")
    play << moves("transfer") << checks_technician()
    play >> seconds(60)
    play << says("Un instant")  # and not whether it works
    play >> technician(available=False)
    play << says("rappelle")
