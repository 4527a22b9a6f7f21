"""Sentences out of a stream: as soon as they are certain, and never in the wrong place."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from voicebot.dialogue.sentences import SentenceCutter

ABBREVIATIONS = frozenset({"mme", "dr", "n", "ex", "tél"})


def cut(text: str) -> list[str]:
    cutter = SentenceCutter(ABBREVIATIONS)
    return [piece.strip() for piece in [*cutter.push(text), cutter.end()] if piece.strip()]


@pytest.mark.parametrize(
    "sentences",
    [
        ["Bonjour.", "Ça va ?", "Très bien !", "Merci."],
        ["Demandez Mme Martin ou le Dr. Dupont.", "Ils sont là."],
        ["Bonjour M. Martin.", "Je vous écoute."],
        ["Débranchez un appareil, p. ex. La télévision."],
        ["Il faut 2.5 mégas.", "Pas plus."],
        ["Appelez le 06. 12. 34. 56. 78."],
        ["Attendez... puis rebranchez.", "Voilà."],
        ["Attendez…", "Voilà."],
        ["Elle affiche « Prêt. »", "Tout va bien."],
        ["Elle dit « Prêt ! » et s'éteint."],
        ["Voyez www.exemple.fr pour la suite.", "Merci."],
        ["Le câble, la prise, etc.", "Vérifiez tout."],
        ["Il est 8 h. 30 minutes suffisent."],
        ["Une liste :", "la box", "le câble"],
    ],
)
def test_where_sentences_end(sentences: list[str]) -> None:
    assert cut(("\n" if ":" in sentences[0] else " ").join(sentences)) == sentences


def test_a_sentence_comes_out_as_soon_as_the_next_one_begins() -> None:
    cutter = SentenceCutter()
    assert cutter.push("Bonjour. ") == []
    assert cutter.push("Je") == ["Bonjour. "]


TEXT = st.text(alphabet="aBé8 .!?…»«\n\"')", max_size=60)


@example(["8\n. 8", ""])
@given(st.lists(TEXT, max_size=12))
def test_nothing_is_lost_and_the_pieces_make_no_difference(pieces: list[str]) -> None:
    cutter, whole = SentenceCutter(ABBREVIATIONS), SentenceCutter(ABBREVIATIONS)
    text = "".join(pieces)
    in_pieces = [sentence for piece in pieces for sentence in cutter.push(piece)]
    at_once = whole.push(text)
    rest = cutter.end()
    assert in_pieces == at_once
    assert rest == whole.end()
    assert "".join(in_pieces) + rest == text
