"""Where a sentence may be cut while it is being spoken."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebot.providers.clauses import split


@pytest.mark.parametrize(
    ("sentence", "clauses"),
    [
        ("", []),
        ("Un instant s'il vous plaît.", ["Un instant s'il vous plaît."]),
        (
            "Essayez de débrancher votre box, puis rebranchez-la.",
            ["Essayez de débrancher votre box,", "puis rebranchez-la."],
        ),
        ("D'accord, un problème d'internet.", ["D'accord, un problème d'internet."]),
        ("Est-ce que c'est ça, oui ?", ["Est-ce que c'est ça, oui ?"]),
        (
            "Je vous rappelle bientôt. Merci de votre patience !",
            ["Je vous rappelle bientôt.", "Merci de votre patience !"],
        ),
    ],
)
def test_long_clauses_are_cut_and_short_ones_are_not(sentence: str, clauses: list[str]) -> None:
    assert split(sentence) == clauses


@pytest.mark.parametrize(
    ("sentence", "clauses"),
    [
        ("Votre numéro est le 06 12 34 56 78.", ["Votre numéro est le 06 12 34 56 78."]),
        (
            "Vous êtes Pierre Dupont, au 06 12 34 56 78.",
            ["Vous êtes Pierre Dupont,", "au 06 12 34 56 78."],
        ),
        ("Votre numéro, 06, 12, 34, 56, 78.", ["Votre numéro, 06, 12, 34, 56, 78."]),
    ],
)
def test_a_number_is_never_cut(sentence: str, clauses: list[str]) -> None:
    assert split(sentence) == clauses


@given(st.text(alphabet="abc ,.;!? 0123é\n"))
def test_nothing_is_lost(text: str) -> None:
    assert " ".join(split(text)) == " ".join(text.split())
