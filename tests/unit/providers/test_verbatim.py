"""A voice model is heard only as far as it keeps to the text."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebot.providers.verbatim import FASTEST, Verbatim

TEXT = "Bonjour, je vous écoute : l'œil, c'est 06 12 !"


def test_case_spaces_and_punctuation_are_not_heard() -> None:
    check = Verbatim(TEXT)
    assert check.heard("bonjour je vous")
    assert check.seconds == 13 / FASTEST
    assert check.heard(" Écoute. L’œil c’est 0612")
    assert check.ended("Bonjour je vous écoute, l’œil c’est 06-12.")
    assert check.seconds == float("inf")


@pytest.mark.parametrize(
    "said", ["Bonsoir", "Bonjour, je vous écoute, l'œil, c'est 06 12 34", "Alors, bonjour", "x"]
)
def test_other_words_are_noticed_at_once(said: str) -> None:
    assert not Verbatim(TEXT).heard(said)


@pytest.mark.parametrize("said", ["", "Bonjour, je vous écoute", f"{TEXT} Et puis ?"])
def test_too_little_or_too_much_is_not_the_text(said: str) -> None:
    check = Verbatim(TEXT)
    assert not check.ended(said)
    assert check.seconds < float("inf")


@given(st.lists(st.integers(0, len(TEXT))))
def test_how_the_transcript_is_cut_into_pieces_does_not_matter(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(TEXT)]
    check = Verbatim(TEXT)
    assert all(check.heard(TEXT[a:b]) for a, b in pairwise(edges))
    assert check.ended(TEXT)
