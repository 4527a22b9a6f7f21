"""The small parts of the dialogue: states, sentences, heard words, silence, matching."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebot.dialogue import flow, sentences, states
from voicebot.dialogue.flow import ANSWERS
from voicebot.dialogue.history import words_heard
from voicebot.dialogue.questions import ASKING, Question
from voicebot.dialogue.silence import Lapse, SilenceWatch
from voicebot.dialogue.states import TRANSITIONS, State, Trigger, after
from voicebot.dialogue.words import Phrase, PhraseBook, tokens
from voicebot.telemetry.metrics import FALLBACKS


def test_every_state_has_a_row_and_can_be_reached() -> None:
    assert set(TRANSITIONS) == set(State)
    reached = {State.INIT} | {to for row in TRANSITIONS.values() for to in row.values()}
    assert reached == set(State)


def test_every_trigger_is_used_and_every_live_state_can_end() -> None:
    used = {trigger for row in TRANSITIONS.values() for trigger in row}
    assert used == set(Trigger)
    ends = {state for state, row in TRANSITIONS.items() if not row}
    assert ends == {State.GOODBYE, State.ERROR}
    for state in set(State) - ends - {State.INIT}:
        assert TRANSITIONS[state][Trigger.NOBODY_THERE] is State.GOODBYE
        assert TRANSITIONS[state][Trigger.TROUBLE] is State.ERROR


def test_what_cannot_happen_is_a_bug() -> None:
    with pytest.raises(AssertionError, match="WORKS cannot happen in WELCOME"):
        after(State.WELCOME, Trigger.WORKS)


def test_the_diagram_shows_every_transition() -> None:
    diagram = states.mermaid()
    assert diagram.count("-->") == 1 + sum(map(len, TRANSITIONS.values())) + 2


def test_every_question_can_be_asked_and_answered() -> None:
    assert set(ASKING) == set(Question) == set(ANSWERS)


def test_each_way_out_of_a_conversation_is_a_reason_of_the_metric_and_no_other_is() -> None:
    package = Path(flow.__file__).parent
    source = "".join(file.read_text() for file in package.glob("*.py"))
    told = re.findall(r'(?:\bwhy(?:: str)? ?= ?|"fallback", reason=)"(\w+)"', source)
    assert set(told) == set(FALLBACKS)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Bonjour. Ça va ?", ("Bonjour.", "Ça va ?")),
        ("Au revoir !", ("Au revoir !",)),
        ("Allô ? Vous êtes là ?", ("Allô ?", "Vous êtes là ?")),
        ("Le 06 12. 34 reste.", ("Le 06 12. 34 reste.",)),
        ("  Un  texte\n sans point ", ("Un texte sans point",)),
        ("", ()),
    ],
)
def test_sentences(text: str, parts: tuple[str, ...]) -> None:
    assert sentences.split(text) == parts


@given(st.text(alphabet="ab.!? ", max_size=60))
def test_splitting_loses_no_letter(text: str) -> None:
    joined = " ".join(sentences.split(text))
    assert joined.replace(" ", "") == text.replace(" ", "")


@given(st.lists(st.text(alphabet="abc", min_size=1, max_size=8), max_size=12), st.floats(0, 1.5))
def test_heard_words_are_a_beginning(words: list[str], fraction: float) -> None:
    text = " ".join(words)
    heard = words_heard(text, fraction)
    assert heard.split() == words[: len(heard.split())]
    assert words_heard(text, 0.0) == ""
    assert words_heard(text, 1.0) == text


def test_silence_counts_listening_only() -> None:
    watch = SilenceWatch(warning=8, hangup=15, patience=45)
    assert watch.due() is None
    watch.start(10.0)
    assert watch.due() == 18.0
    watch.stop(13.0)
    assert watch.due() is None
    watch.start(20.0)
    assert watch.due() == 25.0
    assert watch.lapse() is Lapse.WARNING
    assert watch.due() == 32.0
    assert watch.lapse() is Lapse.HANGUP
    watch.reset()
    watch.start(40.0)
    assert watch.due() == 48.0
    watch.patient = True
    assert watch.due() == 85.0
    assert watch.lapse() is Lapse.PATIENCE


def test_the_longer_phrase_wins_and_labels_share_a_word() -> None:
    book = PhraseBook(
        [
            ("yes", Phrase.parse("ça marche")),
            ("no", Phrase.parse("ça marche pas")),
            ("yes", Phrase.parse("d'accord")),
            ("backchannel", Phrase.parse("d'accord")),
            ("human", Phrase.parse("technicien*")),
        ]
    )
    assert {m.label for m in book.find(tokens("Ça marche pas !"))} == {"no"}
    assert {m.label for m in book.find(tokens("D’accord"))} == {"yes", "backchannel"}
    assert {m.label for m in book.find(tokens("les techniciennes"))} == {"human"}
    assert book.find(tokens("technique")) == []


_FEW_WORDS = st.lists(st.sampled_from(["oui", "ouiche", "non", "nonante", "pas"]), max_size=6)


@given(st.lists(_FEW_WORDS.filter(bool), max_size=4), st.booleans(), _FEW_WORDS)
def test_a_phrase_is_found_wherever_it_is_said(
    phrases: list[list[str]], any_ending: bool, said: list[str]
) -> None:
    parsed = [Phrase.parse(" ".join(words) + "*" * any_ending) for words in phrases]
    for phrase in parsed:
        found = {match.start for match in PhraseBook([("it", phrase)]).find(tuple(said))}
        spots = [start for start in range(len(said)) if phrase.at(tuple(said), start)]
        assert set(spots) == found
