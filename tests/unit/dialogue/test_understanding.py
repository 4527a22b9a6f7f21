"""What the shipped script's rules make of what callers say and recognisers write."""

from __future__ import annotations

import pytest

from voicebot import script_file
from voicebot.dialogue.script import Intent
from voicebot.dialogue.understanding import understand

SCRIPT = script_file.load()


@pytest.mark.parametrize(
    ("text", "yes"),
    [
        ("Oui.", True),
        ("Ouais ouais", True),
        ("Oui, c'est ça.", True),
        ("C'est bon, ça marche !", True),
        ("Ça remarche, merci beaucoup", True),
        ("Non.", False),
        ("Non, ça ne marche toujours pas.", False),
        ("Ça marche pas", False),
        ("Toujours pas", False),
        ("Ce n'est pas ça", False),
        ("Oui mais ça ne marche pas", False),
        ("Le chat dort", None),
    ],
)
def test_yes_and_no(text: str, yes: bool | None) -> None:
    assert understand(SCRIPT, text).yes is yes


def test_the_engines_verdict_counts_only_for_short_answers_without_a_word_for_it() -> None:
    assert understand(SCRIPT, "Houi", True).yes is True
    assert understand(SCRIPT, "Non", True).yes is False
    assert understand(SCRIPT, "je ne vous ai jamais rien demandé", True).yes is None
    assert understand(SCRIPT, "", True).yes is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("J'ai un problème avec mon internet.", "internet"),
        ("ma box clignote en rouge", "internet"),
        ("Je n'ai plus de réseau sur mon mobile", "mobile"),
        ("Mon téléphone portable ne capte plus", "mobile"),
        ("je voudrais parler à quelqu'un", None),
    ],
)
def test_the_kind_of_problem(text: str, problem: str | None) -> None:
    assert understand(SCRIPT, text).problem == problem


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("06 12 34 56 78", "0612345678"),
        ("0612345678", "0612345678"),
        ("C'est le 06.12.34.56.78.", "0612345678"),
        ("zéro six, douze, trente-quatre, cinquante-six, soixante-dix-huit", "0612345678"),
        ("06 12 34 56 60 18", "0612345678"),  # soixante-dix-huit, as recognisers split it
        ("zéro un quatre-vingt-dix-neuf vingt et un soixante et onze quatre-vingts", "0199217180"),
        ("+33 6 12 34 56 78", "0612345678"),
        ("0033612345678", "0612345678"),
        ("06 12 34 56", None),
        ("16 12 34 56 78", None),
        ("un technicien", None),
    ],
)
def test_telephone_numbers(text: str, number: str | None) -> None:
    assert understand(SCRIPT, text).number == number


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Pierre Dupont, 06 12 34 56 78.", "Pierre Dupont"),
        ("Je m'appelle Marie Martin.", "Marie Martin"),
        (
            "Bonjour, mon nom est Hélène Lefèvre, mon numéro est le 06 12 34 56 78",
            "Hélène Lefèvre",
        ),
        ("dupont", "Dupont"),
        ("Oui, c'est madame Bernard", "Bernard"),
        ("06 12 34 56 78", None),
        ("je voudrais que ça aille plus vite que la dernière fois", None),
    ],
)
def test_names(text: str, name: str | None) -> None:
    assert understand(SCRIPT, text).name == name


@pytest.mark.parametrize(
    ("text", "intent"),
    [
        ("Je voudrais parler à un technicien.", Intent.TECHNICIAN),
        ("Un conseiller s'il vous plaît", Intent.TECHNICIAN),
        ("Passez-moi quelqu'un", Intent.TECHNICIAN),
        ("Vous pouvez répéter ?", Intent.REPEAT),
        ("Attendez une minute", Intent.WAIT),
        ("C'est fait.", Intent.DONE),
        ("Bonne journée, au revoir", Intent.GOODBYE),
        ("Mm-hm", Intent.BACKCHANNEL),
    ],
)
def test_intents(text: str, intent: Intent) -> None:
    assert intent in understand(SCRIPT, text).intents
