"""What a language model can answer needs no long wait for more words."""

from __future__ import annotations

import pytest

from tests.support.playbook import (
    Playbook,
    answered,
    asks_model,
    caller,
    guesses,
    pauses,
    says,
    words_suffice,
    writes,
)
from voicebot import script_file
from voicebot.dialogue.questions import Question, completeness
from voicebot.dialogue.understanding import understand
from voicebot.turns.endpointing import Completeness

FREE = "Combien de temps ça prend ?"


@pytest.fixture
def play() -> Playbook:
    """A call that asks for the kind of problem, with a model."""
    playbook = Playbook(script_file.load(), ask_model=True)
    playbook >> answered()
    playbook << says("Bonjour")
    playbook >> caller("Bonjour, je m'appelle Pierre Dupont, mon numéro c'est le 06 12 34 56 78.")
    playbook << says("C'est bien ça")
    playbook >> caller("Oui, c'est ça.")
    playbook << says("internet ou le mobile")
    return playbook


def judged(play: Playbook, text: str) -> Completeness:
    return play.machine.completeness(text, None)


def test_the_words_suffice_once_a_reply_to_them_has_begun(play: Playbook) -> None:
    with play:
        play >> pauses(FREE)
        play << asks_model(speculative=True)
        assert judged(play, FREE) is Completeness.OPEN
        play >> writes('{"intent": "question"}\n', "Deux", end=False)
        play << words_suffice()
        assert judged(play, FREE) is Completeness.ANSWERABLE
        assert judged(play, FREE + " Et combien") is Completeness.OPEN


def test_it_is_told_once(play: Playbook) -> None:
    with play:
        play >> pauses(FREE)
        play << asks_model(speculative=True)
        play >> writes('{"intent": "question"}\n', "Deux", end=False)
        play << words_suffice()
        play >> writes(" minutes. Voilà.", end=False)
        with pytest.raises(AssertionError, match="has words enough"):
            play << words_suffice()


@pytest.mark.parametrize("reply", ['{"intent": "unclear"}\n', "Deux minutes."])
def test_a_reply_that_makes_nothing_of_the_words_says_nothing_about_them(
    play: Playbook, reply: str
) -> None:
    with play:
        play >> pauses("Alors euh le truc")
        play << asks_model(speculative=True)
        play >> writes(reply, end=False)
        assert judged(play, "Alors euh le truc") is Completeness.OPEN
        with pytest.raises(AssertionError, match="has words enough"):
            play << words_suffice()


def test_a_guess_may_have_been_answered_before_the_words_are_final(play: Playbook) -> None:
    """Flux tells what it has heard before it is sure that the turn is over."""
    with play:
        play >> guesses(FREE)
        play << asks_model(speculative=True)
        play >> writes('{"intent": "question"}\n', "Deux", end=False)
        assert judged(play, FREE) is Completeness.ANSWERABLE


def test_a_first_name_and_a_last_are_a_name(play: Playbook) -> None:
    def of(text: str) -> Completeness:
        return completeness(Question.NAME, understand(play.machine.talk.script, text))

    assert of("Pierre Dupont") is Completeness.COMPLETE
    assert of("Pierre") is Completeness.OPEN
