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
        (
            "Je vous rappelle bientôt. Merci de votre patience !",
            ["Je vous rappelle bientôt.", "Merci de votre patience !"],
        ),
    ],
)
def test_long_clauses_are_cut_and_short_ones_are_not(sentence: str, clauses: list[str]) -> None:
    assert split(sentence) == clauses


def test_a_telephone_number_is_never_cut() -> None:
    assert split("Votre numéro est le 06, 12, 34, 56, 78, c'est bien ça ?") == [
        "Votre numéro est le 06, 12, 34, 56, 78, c'est bien ça ?"
    ]


@given(st.text(alphabet="abc ,.;!? 0123é\n"))
def test_nothing_is_lost(text: str) -> None:
    assert " ".join(split(text)) == " ".join(text.split())
