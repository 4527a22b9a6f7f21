"""Name and number: spoken in any order, read back, corrected."""

from __future__ import annotations

from tests.support.playbook import caller, checks_technician, expects, interrupts, moves, says
from voicebot.dialogue.commands import Answer


def test_number_first_then_name(until) -> None:
    play = until("identification")
    play >> caller("C'est le 06 12 34 56 78.")
    play << says("votre nom")
    play >> caller("Sophie Bernard")
    play << says("Sophie Bernard", "06 12 34 56 78")


def test_everything_said_at_once_is_not_asked_again(until) -> None:
    play = until("welcome")
    play >> caller("Bonjour, mon nom est Paul Durand, 06 11 22 33 44, ma box ne marche plus.")
    play << moves("identification") << says("j'ai compris", "06 11 22 33 44", "C'est bien ça")


def test_a_wrong_readback_asks_for_the_number_alone(until) -> None:
    play = until("confirmation")
    play >> caller("Non, ce n'est pas ça.")
    play << expects(Answer.NUMBER) << says("Redites-moi votre numéro")
    play >> caller("06 12 34 56 79")
    play << says("Pierre Dupont", "06 12 34 56 79")


def test_a_correction_in_the_same_breath_is_taken(until) -> None:
    play = until("confirmation")
    play >> caller("Non, c'est le 06 99 88 77 66.")
    play << says("06 99 88 77 66", "C'est bien ça")


def test_a_wrong_name_is_asked_again(until) -> None:
    play = until("confirmation")
    play >> caller("Non, le nom est faux.")
    play << says("votre nom")
    play >> caller("Dupond")
    play << says("Dupond", "06 12 34 56 78")


def test_after_the_second_denial_the_keypad_is_offered_then_a_person(until) -> None:
    play = until("confirmation")
    play >> caller("Non.", yes=False)
    play << says("Redites-moi")
    play >> caller("06 12 34 56 77")
    play << says("06 12 34 56 77")
    play >> caller("Non.", yes=False)
    play << says("clavier")
    play >> caller("06 12 34 56 76")
    play << says("06 12 34 56 76")
    play >> caller("Non.", yes=False)
    play << moves("transfer") << checks_technician()


def test_a_name_that_cannot_be_understood_is_let_go(until) -> None:
    play = until("identification")
    play >> caller("06 12 34 56 78")
    play << says("votre nom")
    play >> caller("je voudrais que tout cela aille beaucoup plus vite maintenant")
    play << says("n'ai pas bien compris")
    play >> caller("je vous ai déjà tout dit la dernière fois que j'ai appelé")
    play << says("n'ai pas bien compris")
    play >> caller("mais enfin puisque je vous dis que c'est toujours la même chose")
    play << says("Je relis votre numéro", "06 12 34 56 78")


def test_half_a_number_is_not_a_number(until) -> None:
    play = until("identification")
    play >> caller("Pierre Dupont")
    play << says("votre numéro")
    play >> caller("06 12 34")
    play << says("deux chiffres à la fois")


def test_yes_during_the_first_half_of_the_readback_confirms_nothing(until) -> None:
    play = until("confirmation")
    play >> interrupts("Oui.", unheard=2, yes=True)
    play << says("06 12 34 56 78", "C'est bien ça")


def test_yes_during_the_question_itself_confirms(until) -> None:
    play = until("confirmation")
    play >> interrupts("Oui.", unheard=1, yes=True)
    play << moves("diagnostic") << moves("solution") << says("débrancher")
