"""Which of Deepgram's segments make up a turn, and when it is complete."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebot.providers.deepgram_turn import FinalWords, Segment


def final(
    start: float, end: float, text: str = "", confidence: float = 0.9, asked_for: bool = False
) -> Segment:
    return Segment(start, end, text, confidence, asked_for)


def results(**changes: Any) -> SimpleNamespace:
    best = SimpleNamespace(transcript=" bonjour ", confidence=0.9)
    whole = {
        "type": "Results",
        "is_final": True,
        "from_finalize": True,
        "start": 1.0,
        "duration": 0.5,
        "channel": SimpleNamespace(alternatives=[best]),
    }
    return SimpleNamespace(**{**whole, **changes})


def test_a_final_is_read() -> None:
    assert Segment.of(results()) == final(1.0, 1.5, "bonjour", 0.9, asked_for=True)


@pytest.mark.parametrize(
    "message",
    [
        None,
        b"audio?",
        {"type": "Results"},
        SimpleNamespace(type="Metadata"),
        results(is_final=False),
        results(is_final=None),
        results(start=None),
        results(duration="long"),
        results(channel=None),
        results(channel=SimpleNamespace(alternatives=None)),
    ],
)
def test_what_is_not_a_whole_final_is_passed_over(message: Any) -> None:
    assert Segment.of(message) is None


@pytest.mark.parametrize(
    "alternatives", [[], [None], [SimpleNamespace(transcript=None, confidence=None)]]
)
def test_a_final_without_words_still_says_how_far_it_reaches(alternatives: list[Any]) -> None:
    segment = Segment.of(results(channel=SimpleNamespace(alternatives=alternatives)))
    assert segment == final(1.0, 1.5, "", 0.0, asked_for=True)


def test_the_finals_of_a_turn_are_joined() -> None:
    words = FinalWords()
    words.begin_turn()
    words.sent(4.0)
    words.take_final(final(0.0, 3.0, "j'ai un problème", 0.8))
    words.ask()
    assert not words.answered
    words.take_final(final(3.0, 4.0, "internet", 0.6, asked_for=True))
    assert words.answered
    assert words.text == "j'ai un problème internet"
    assert 0.6 < words.confidence < 0.8


def test_a_final_that_reaches_to_the_pause_answers_it_without_being_asked() -> None:
    words = FinalWords()
    words.begin_turn()
    words.sent(2.0)
    words.take_final(final(0.0, 1.9, "oui"))
    words.ask()
    assert words.answered


def test_the_answer_to_an_earlier_pause_does_not_answer_a_later_one() -> None:
    words = FinalWords()
    words.begin_turn()
    words.sent(1.0)
    words.ask()
    words.sent(1.0)
    words.ask()
    words.take_final(final(0.0, 1.0, "zéro six", asked_for=True))
    assert not words.answered
    words.take_final(final(1.0, 2.0, "douze", asked_for=True))
    assert words.answered
    assert words.text == "zéro six douze"


def test_an_answer_too_many_does_not_answer_what_is_asked_later() -> None:
    words = FinalWords()
    words.begin_turn()
    words.sent(1.0)
    words.ask()
    words.take_final(final(0.0, 0.5, "oui", asked_for=True))
    words.take_final(final(0.5, 0.5, asked_for=True))
    assert words.answered

    words.begin_turn()
    words.sent(2.0)
    words.ask()
    assert not words.answered
    words.take_final(final(1.0, 2.0, "bonjour", asked_for=True))
    assert (words.answered, words.text) == (True, "bonjour")


def test_words_of_the_turn_before_are_not_said_twice() -> None:
    words = FinalWords()
    words.begin_turn()
    words.sent(2.0)
    words.begin_turn()
    words.sent(1.0)
    words.take_final(final(0.0, 2.0, "non"))
    words.ask()
    assert not words.answered
    words.take_final(final(2.0, 3.0, "oui", asked_for=True))
    assert words.text == "oui"


@given(st.lists(st.floats(0.01, 3.0), min_size=1, max_size=20), st.integers(1, 5))
def test_every_word_is_heard_once_however_the_audio_is_cut(pieces: list[float], turns: int) -> None:
    words = FinalWords()
    position, number = 0.0, 0
    for _ in range(turns):
        words.begin_turn()
        expected = []
        for piece in pieces:
            words.sent(piece)
            number += 1
            expected.append(str(number))
            words.take_final(final(position, position + piece, str(number)))
            position += piece
        words.ask()
        assert words.answered
        assert words.text == " ".join(expected)
