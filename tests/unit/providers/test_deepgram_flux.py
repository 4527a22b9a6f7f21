"""Which of Flux's turns make up one of ours, and when all of it is known."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from voicebot.providers.deepgram_flux import FluxWords


def told(event: Any, end: Any, text: Any = "", **changes: Any) -> SimpleNamespace:
    words = [SimpleNamespace(word=word, confidence=0.8) for word in str(text).split()]
    values = {"type": "TurnInfo", "event": event, "audio_window_end": end, "transcript": text}
    return SimpleNamespace(**{**values, "words": words, **changes})


def in_turn(seconds: float = 2.0) -> FluxWords:
    """Three seconds after the connection a turn began, *seconds* of it are sent."""
    words = FluxWords()
    words.sent(3.0)
    words.begin_turn()
    words.sent(seconds)
    return words


def test_a_forced_end_answers() -> None:
    words = in_turn()
    words.take(told("StartOfTurn", 3.5, "je"))
    words.ask()
    assert not words.answered
    words.take(told("Update", 4.0, "je veux"))
    assert not words.answered
    words.take(told("EndOfTurn", 4.6, "Je veux ça."))  # the audio transcribed so far
    assert words.answered
    assert (words.text, words.confidence) == ("Je veux ça.", pytest.approx(0.8))


def test_a_turn_of_ours_may_be_several_of_theirs() -> None:
    words = in_turn()
    words.take(told("EndOfTurn", 4.0, "Zéro six."))
    words.ask()
    words.take(told("StartOfTurn", 4.7, "douze"))
    words.take(told("EndOfTurn", 5.0, "Douze."))
    assert words.answered
    assert words.text == "Zéro six. Douze."


def test_an_end_of_an_earlier_turn_is_none_of_ours() -> None:
    words = in_turn()
    words.ask()
    words.take(told("EndOfTurn", 2.9, "Avant."))
    assert not words.answered
    assert words.text == ""


def test_without_a_turn_an_update_that_reaches_so_far_means_no_words() -> None:
    words = in_turn()
    words.ask()
    words.take(told("Update", 4.2))
    assert not words.answered
    words.take(told("Update", 4.9))
    assert words.answered
    assert words.text == ""


def test_an_end_that_gets_lost_does_not_take_the_words_with_it() -> None:
    words = in_turn()
    words.take(told("StartOfTurn", 3.5, "oui"))
    words.ask()
    words.take(told("Update", 5.2))  # of the next turn of theirs: the end was not understood
    assert not words.answered, "so the next ear is asked"


def test_a_guess_comes_with_all_the_words_and_may_be_taken_back() -> None:
    words = in_turn()
    words.take(told("EndOfTurn", 3.8, "Oui."))
    assert words.take(told("EagerEndOfTurn", 4.5, "J'ai un souci.")) == "Oui. J'ai un souci."
    assert words.take(told("TurnResumed", 4.8, "J'ai un souci avec")) == "", "it takes it back"
    words.ask()
    assert not words.answered, "a turn is under way"


@pytest.mark.parametrize(
    "message",
    [
        None,
        b"audio?",
        SimpleNamespace(type="Connected"),
        told("EndOfTurn", None, "x"),
        told("EndOfTurn", "late", "x"),
        told(None, 9.0),
    ],
)
def test_what_is_no_whole_turn_is_passed_over(message: Any) -> None:
    words = in_turn()
    words.ask()
    assert words.take(message) is None
    assert not words.answered


def test_a_turn_without_a_list_of_words_is_still_text() -> None:
    words = in_turn()
    words.ask()
    words.take(told("EndOfTurn", 5.0, "Oui.", words=None))
    assert (words.text, words.confidence) == ("Oui.", 0.0)
