"""When is a turn over? Silence and words decide; time is an argument, so tests are instant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebot.audio.vad import WINDOW_SECONDS
from voicebot.turns.endpointing import FINISHED, Completeness, Endpointer, Waits
from voicebot.turns.speech import QUIET_SECONDS

WAITS = Waits(complete=0.2, answerable=0.5, open=0.65, incomplete=1.3)


def paused_endpointer(began: float = 1.0, stopped: float = 3.0) -> tuple[Endpointer, int]:
    endpointer = Endpointer(WAITS)
    endpointer.speech_started(began)
    return endpointer, endpointer.speech_stopped(stopped).pause


@pytest.mark.parametrize(
    ("completeness", "wait"),
    [
        (Completeness.COMPLETE, 0.2),
        (Completeness.ANSWERABLE, 0.5),
        (Completeness.OPEN, 0.65),
        (Completeness.INCOMPLETE, 1.3),
    ],
)
def test_the_wait_depends_on_what_was_said(completeness: Completeness, wait: float) -> None:
    endpointer, pause = paused_endpointer()
    assert endpointer.transcript(pause, completeness)
    assert endpointer.deadline() == pytest.approx(3.0 + wait)
    assert endpointer.poll(3.0 + wait - 0.01) is None
    end = endpointer.poll(3.0 + wait)
    assert end is not None
    assert (end.pause, end.at, end.speech_seconds) == (pause, 3.0, pytest.approx(2.0))


def test_without_words_no_turn_ends() -> None:
    endpointer, _ = paused_endpointer()
    assert endpointer.deadline() is None
    assert endpointer.poll(60.0) is None


def test_what_the_words_are_worth_may_be_learned_later() -> None:
    endpointer, pause = paused_endpointer()
    endpointer.transcript(pause, Completeness.OPEN)
    assert endpointer.poll(3.0 + 0.5) is None
    assert endpointer.transcript(pause, Completeness.ANSWERABLE)
    assert endpointer.poll(3.0 + 0.5) is not None
    assert not endpointer.transcript(pause, Completeness.COMPLETE)


def test_a_late_transcript_ends_the_turn_at_once() -> None:
    endpointer, pause = paused_endpointer()
    endpointer.transcript(pause, Completeness.COMPLETE)
    assert endpointer.poll(4.0) is not None


def test_speech_before_the_end_makes_the_transcript_stale() -> None:
    endpointer, first = paused_endpointer()
    endpointer.transcript(first, Completeness.OPEN)
    endpointer.speech_started(3.4)
    assert endpointer.poll(10.0) is None
    assert not endpointer.transcript(first, Completeness.COMPLETE)
    second = endpointer.speech_stopped(4.4).pause
    assert second != first
    endpointer.transcript(second, Completeness.COMPLETE)
    end = endpointer.poll(5.0)
    assert end is not None
    assert end.speech_seconds == pytest.approx(2.0 + 1.0)


def test_a_turn_ends_once() -> None:
    endpointer, pause = paused_endpointer()
    endpointer.transcript(pause, Completeness.COMPLETE)
    assert endpointer.in_turn
    assert endpointer.poll(9.0) is not None
    assert endpointer.poll(9.0) is None
    assert not endpointer.in_turn
    assert endpointer.abandon() is None


def test_abandoning_ends_the_turn_as_it_is() -> None:
    endpointer, pause = paused_endpointer()
    end = endpointer.abandon()
    assert end is not None
    assert end.pause == pause
    assert not endpointer.transcript(pause, Completeness.COMPLETE)


@pytest.mark.parametrize(
    ("completeness", "wait"),
    [
        (Completeness.COMPLETE, 0.2),
        (Completeness.ANSWERABLE, 0.2),
        (Completeness.OPEN, 0.2),
        (Completeness.INCOMPLETE, 1.3),
    ],
)
@pytest.mark.parametrize("words_first", [True, False])
def test_a_sound_of_being_finished_confirms_words_that_may_be_all(
    completeness: Completeness, wait: float, words_first: bool
) -> None:
    endpointer, pause = paused_endpointer()
    if words_first:
        endpointer.transcript(pause, completeness)
    assert endpointer.sounded(pause, FINISHED)
    if not words_first:
        assert endpointer.poll(60.0) is None, "there are no words yet"
        endpointer.transcript(pause, completeness)
    assert endpointer.deadline() == pytest.approx(3.0 + wait)


def test_how_it_sounded_is_forgotten_when_the_caller_goes_on() -> None:
    endpointer, first = paused_endpointer()
    assert endpointer.sounded(first, 1.0)
    endpointer.speech_started(3.2)
    assert not endpointer.sounded(first, 1.0)
    second = endpointer.speech_stopped(4.0).pause
    assert not endpointer.sounded(first, 1.0), "it is about the pause before"
    endpointer.transcript(second, Completeness.OPEN)
    assert endpointer.deadline() == pytest.approx(4.65)


def test_how_it_sounded_is_of_no_use_when_the_turn_is_over() -> None:
    endpointer, pause = paused_endpointer()
    endpointer.transcript(pause, Completeness.COMPLETE)
    assert endpointer.poll(3.5) is not None
    assert not endpointer.sounded(pause, 1.0)


@given(
    completeness=st.sampled_from(Completeness),
    probabilities=st.lists(st.floats(0, 1)),
    words_at=st.integers(0, 5),
)
def test_sound_confirms_and_never_prolongs(
    completeness: Completeness, probabilities: list[float], words_at: int
) -> None:
    """Whatever is heard, in whatever order, the turn ends no later than without it."""
    endpointer, pause = paused_endpointer()
    for number, probability in enumerate(probabilities):
        if number == words_at:
            endpointer.transcript(pause, completeness)
        endpointer.sounded(pause, probability)
    endpointer.transcript(pause, completeness)
    deadline = endpointer.deadline()
    assert deadline is not None
    assert deadline <= 3.0 + WAITS.of(completeness)
    if all(probability < FINISHED for probability in probabilities):
        assert deadline == 3.0 + WAITS.of(completeness)


def test_a_complete_answer_waits_for_its_words_only() -> None:
    """By the waits that callers meet: at the earliest moment at which words can be known."""
    endpointer = Endpointer()
    endpointer.speech_started(9.0)
    pause = endpointer.speech_stopped(10.0).pause
    endpointer.transcript(pause, Completeness.COMPLETE)
    assert endpointer.poll(10.0 + QUIET_SECONDS) is None, "no turn ends before a pause is one"
    assert endpointer.poll(10.0 + QUIET_SECONDS + WINDOW_SECONDS) is not None
