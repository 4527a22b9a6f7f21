"""The reference's scenario, and the three ways a call can end."""

from __future__ import annotations

from tests.support.playbook import (
    Playbook,
    answered,
    callback_stored,
    caller,
    checks_technician,
    ends,
    heard,
    moves,
    prepares,
    says,
    seconds,
    stores_callback,
    technician,
)
from voicebot.dialogue.commands import NextStep


def test_an_internet_problem_is_solved(until) -> None:
    play = until("verification")
    play >> caller("Oui, c'est bon, ça marche !")
    play << moves("goodbye") << says("heureuse", "Au revoir")
    play >> heard()
    play << ends(NextStep.HANGUP, "completed")
    slots = play.machine.slots
    assert (slots.name, slots.number, slots.problem) == ("Pierre Dupont", "0612345678", "internet")


def test_a_mobile_problem_is_not_solved_and_goes_to_a_technician(play: Playbook) -> None:
    play >> answered()
    play << moves("welcome") << says("Bonjour")
    play >> caller("Bonjour, j'ai besoin d'aide.")
    play << moves("identification") << says("votre nom")
    play >> caller("Je m'appelle Marie Martin.")
    play << says("votre numéro")
    play >> caller("zéro sept, quarante-deux, zéro huit, quinze, vingt-trois")
    play << says("Marie Martin", "07 42 08 15 23")
    play >> caller("oui")
    play << moves("diagnostic") << says("internet ou le mobile")
    play >> caller("C'est mon portable.")
    play << moves("solution") << says("éteindre votre téléphone")
    play >> heard()
    play >> seconds(2)
    play << moves("verification") << says("Est-ce que ça marche")
    play >> caller("Non, ça ne marche toujours pas.")
    play << moves("transfer") << checks_technician()
    play >> technician(available=True)
    play << says("transfère à un technicien")
    play >> heard()
    play << ends(NextStep.TRANSFER, "transferred")


def test_no_technician_leads_to_a_callback(until) -> None:
    play = until("verification")
    play >> caller("Non.", yes=False)
    play << moves("transfer") << checks_technician()
    play >> technician(available=False)
    play << says("Aucun technicien", "rappelle") << prepares("06 12 34 56 78")
    play >> caller("Oui, rappelez-moi.", yes=True)
    play << stores_callback("0612345678", "Pierre Dupont", "internet")
    play >> callback_stored()
    play << moves("goodbye") << says("rappellera au 06 12 34 56 78", "Au revoir")
    play >> heard()
    play << ends(NextStep.HANGUP, "callback")


def test_a_callback_can_be_declined(until) -> None:
    play = until("verification")
    play >> caller("Non.", yes=False)
    play << moves("transfer") << checks_technician()
    play >> technician(available=False)
    play << says("rappelle")
    play >> caller("Non merci, au revoir.", yes=False)
    play << moves("goodbye") << says("Au revoir")
    play >> heard()
    play << ends(NextStep.HANGUP, "completed")


def test_a_callback_that_cannot_be_stored_is_admitted(until) -> None:
    play = until("verification")
    play >> caller("Non.", yes=False)
    play << moves("transfer") << checks_technician()
    play >> technician(available=False)
    play << says("rappelle")
    play >> caller("Oui.", yes=True)
    play << stores_callback("0612345678", "Pierre Dupont", "internet")
    play >> callback_stored(False)
    play << moves("goodbye") << says("pas pu enregistrer")
    play >> heard()
    play << ends(NextStep.HANGUP, "failed")
