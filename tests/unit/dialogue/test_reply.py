"""A model's reply: read piece by piece, and refused when it does not fit."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebot import script_file
from voicebot.dialogue.heard_by_model import meaning_of
from voicebot.dialogue.reply import Head, MisfitError, ModelIntent, ReplyJudge, ReplyReader
from voicebot.dialogue.script import Intent

ABBREVIATIONS = frozenset({"mme", "dr"})
SCRIPT = script_file.load()
WHOLE = '{"intent": "question", "problem": null}\nDemandez Mme Martin. Elle sait tout ! Voilà.'


def read(*pieces: str) -> ReplyReader:
    reader = ReplyReader(ABBREVIATIONS, lambda sentence: "gratuit" in sentence)
    for piece in pieces:
        reader.push(piece)
    reader.end()
    return reader


def outcome(*pieces: str) -> tuple[object, ...]:
    reader = ReplyReader(ABBREVIATIONS, lambda sentence: "gratuit" in sentence)
    try:
        for piece in pieces:
            reader.push(piece)
        reader.end()
    except MisfitError as misfit:
        return reader.head, reader.sentences, misfit.reason
    return reader.head, reader.sentences, None


def test_head_then_sentences() -> None:
    reader = read(WHOLE)
    assert reader.head == Head(ModelIntent.QUESTION)
    assert reader.sentences == ["Demandez Mme Martin.", "Elle sait tout !"]


def test_each_part_is_there_as_soon_as_it_is_certain() -> None:
    reader = ReplyReader(ABBREVIATIONS, lambda _: False)
    reader.push('{"intent": "question"')
    assert reader.head is None
    reader.push("}")
    assert reader.head is not None
    reader.push("\nDeux minutes.")
    assert reader.sentences == [], "it may go on without a space"
    reader.push(" P")
    assert reader.sentences == ["Deux minutes."]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("", None),
        ('{"intent": "que', None),
        ('{"intent": "question"}\n', None),
        ('{"intent": "question"}\nDeux minutes, comme Mme Martin', None),
        ('{"intent": "question"}\nDeux minutes. V', 13 / 16),
        ('{"intent": "question"}\nDeux minutes. Vous gardez', 13 / 16),
        ('{"intent": "question"}\nDeux minutes. Pas plus. V', math.inf),
        ('{"intent": "yes"}', math.inf),
        ('{"intent": "unclear"}\nJe', math.inf),
        ("Je suis un", math.inf),
        ('{"intent": "goodbye"}', math.inf),
    ],
)
def test_it_serves_the_caller_for_as_long_as_its_whole_sentences_take_to_say(
    text: str, seconds: float | None
) -> None:
    assert ReplyJudge(ABBREVIATIONS)(text) == seconds
    judge = ReplyJudge(ABBREVIATIONS)
    assert [judge(character) for character in text][-1:] in ([seconds], [])


@given(st.text(max_size=400), st.booleans())
def test_the_more_has_come_the_longer_it_serves(text: str, question: bool) -> None:
    whole = ('{"intent": "question"}\n' if question else "") + text
    judge = ReplyJudge(ABBREVIATIONS)
    served = [judge(character) or 0.0 for character in whole]
    assert served == sorted(served)


@given(st.lists(st.integers(0, len(WHOLE)), max_size=12))
def test_how_it_is_cut_makes_no_difference(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(WHOLE)]
    pieces = [WHOLE[a:b] for a, b in pairwise(edges)]
    assert outcome(*pieces) == outcome(WHOLE)


@given(st.text(max_size=400), st.integers(1, 30))
def test_whatever_comes_it_is_a_reply_or_a_misfit(text: str, size: int) -> None:
    for begin in ("", '{"intent": "question"}', '{"intent":'):
        whole = begin + text
        pieces = [whole[i : i + size] for i in range(0, len(whole), size)]
        found = outcome(*pieces)
        assert found == outcome(whole)
        _, sentences, _ = found
        assert isinstance(sentences, list)
        assert sum(map(len, sentences)) <= 240


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("", "empty"),
        (" \n ", "empty"),
        ("Bonjour.", "no head"),
        ("{", "no head"),
        ("{}", "unknown intent"),
        ("[1]", "no head"),
        ('{"intent": ["yes"]}', "unknown intent"),
        ('{"intent": "goodbye"}', "unknown intent"),
        ('{"intent": "answer", "number": 612345678}', "wrong slot"),
        ('{"intent": "answer", "name": "' + "x" * 300 + '"}', "no head"),
        ('{"intent": "answer"', "no head"),
        ('{"intent": "question"}', "nothing said"),
        ('{"intent": "question"}\n***', "nothing said"),
        ('{"intent": "question"}\nC\'est gratuit.', "forbidden"),
        ('{"intent": "question"}\nC\'est le 3900.', "forbidden"),
        ('{"intent": "question"}\n' + "mot " * 80, "too long"),
    ],
)
def test_what_does_not_fit_has_a_reason(reply: str, reason: str) -> None:
    assert outcome(*reply)[2] == reason


def test_what_may_be_said_is_said_up_to_what_may_not() -> None:
    assert outcome('{"intent": "question"}\nOui. C\'est gratuit. Voilà.')[1] == ["Oui."]


def test_marks_are_not_read_aloud() -> None:
    reader = read('{"intent": "question"}\n- **Trente** secondes 🙂.\n')
    assert reader.sentences == ["Trente secondes ."]


class TestChecked:
    @pytest.mark.parametrize(
        ("number", "said"),
        [
            ("0612345678", "c'est le zéro six douze trente-quatre cinquante-six soixante-dix-huit"),
            ("06 12 34 56 78", "06 12 34 euh 56 78"),
            ("0612345678", "06 11 non 12 34 56 78"),
            ("+33612345678", "plus 33 6 12 34 56 78"),
        ],
    )
    def test_a_number_that_was_said_in_pieces(self, number: str, said: str) -> None:
        meaning = meaning_of(Head(ModelIntent.ANSWER, number=number), said, SCRIPT)
        assert meaning.number == "0612345678"

    @pytest.mark.parametrize(
        ("number", "said", "reason"),
        [
            ("0612345678", "06 12 34 56", "number not said"),
            ("0612345678", "78 56 34 12 06", "number not said"),
            ("0612345678", "06 12 34 56 87", "number not said"),
            ("0612345678", "", "number not said"),
            ("1612345678", "16 12 34 56 78", "no number"),
            ("", "06 12 34 56 78", "no number"),
        ],
    )
    def test_a_number_that_was_not(self, number: str, said: str, reason: str) -> None:
        with pytest.raises(MisfitError, match=reason):
            meaning_of(Head(ModelIntent.ANSWER, number=number), said, SCRIPT)

    @given(st.text("0123456789 ", max_size=30), st.text("0123456789 ,", max_size=40))
    def test_no_digit_is_ever_invented(self, number: str, said: str) -> None:
        try:
            meaning = meaning_of(Head(ModelIntent.ANSWER, number=number), said, SCRIPT)
        except MisfitError:
            return
        assert meaning.number is not None
        digits = iter(c for c in said if c.isdigit())
        # The 0 may stand for an international prefix.
        assert all(d in digits for d in meaning.number[1:])

    def test_names_and_problems(self) -> None:
        said = "euh Marie Anne je crois Le Goff"
        meaning = meaning_of(Head(ModelIntent.ANSWER, name="Marie Anne Le Goff"), said, SCRIPT)
        assert meaning.name == "Marie Anne Le Goff"
        assert Intent.NAME in meaning.intents
        for head, reason in (
            (Head(ModelIntent.ANSWER, name="Marie Le Bihan"), "name not said"),
            (Head(ModelIntent.ANSWER, name="!"), "name not said"),
            (Head(ModelIntent.ANSWER, problem="chauffage"), "unknown problem"),
        ):
            with pytest.raises(MisfitError, match=reason):
                meaning_of(head, said, SCRIPT)

    @pytest.mark.parametrize("intent", ModelIntent)
    def test_every_intent_means_something(self, intent: ModelIntent) -> None:
        meaning = meaning_of(Head(intent), "bof", SCRIPT)
        assert meaning.yes is {"yes": True, "no": False}.get(intent.value)
