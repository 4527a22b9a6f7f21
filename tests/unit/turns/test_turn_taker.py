"""VAD windows to turn events: onset, interruption, hangover, gaps without audio."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from voicebot.turns.endpointing import Completeness, Waits
from voicebot.turns.events import (
    EndOfTurn,
    Paused,
    SpeechLasted,
    SpeechStarted,
    SpeechStopped,
    TurnEvent,
)
from voicebot.turns.speech import (
    HANGOVER_SECONDS,
    MOST_INERTIA_SECONDS,
    QUIET_SECONDS,
    SpeechDetector,
)
from voicebot.turns.turn_taker import BARGE_IN_SECONDS, TurnTaker

WINDOW = 1 / 32  # about Silero's 32 ms, and exact in binary


def play(taker: TurnTaker, probabilities: list[float], start: float = 0.0) -> list[TurnEvent]:
    events: list[TurnEvent] = []
    for i, probability in enumerate(probabilities):
        begin = start + i * WINDOW
        events += taker.window(probability, begin, begin + WINDOW)
    return events


def test_one_utterance() -> None:
    taker = TurnTaker()
    events = play(taker, [0.1] * 3 + [0.9] * 10 + [0.1] * 10)
    started, lasted, stopped, paused = events
    assert started == SpeechStarted(3 * WINDOW)
    assert lasted == SpeechLasted(3 * WINDOW)
    assert stopped == SpeechStopped(13 * WINDOW)
    assert paused == Paused(1, 13 * WINDOW)


def test_speech_has_stopped_when_nothing_was_heard_for_long_enough() -> None:
    """The probability stays high for six windows in which nothing sounds any more."""
    taker = TurnTaker()
    play(taker, [0.9] * 10)
    silent = math.ceil(QUIET_SECONDS / WINDOW)
    told = [
        taker.window(0.9, i * WINDOW, (i + 1) * WINDOW, (i - 9) * WINDOW)
        for i in range(10, 10 + silent + 2)
    ]
    assert told == [
        *[[]] * (silent - 1),
        [SpeechStopped(10 * WINDOW), Paused(1, 10 * WINDOW)],
        *[[]] * 2,  # what is left of the probability is no new speech
    ]
    assert taker.transcript(1, Completeness.COMPLETE)
    assert taker.deadline() == 10 * WINDOW + Waits().complete


def test_speech_that_resumes_with_a_sound_is_new_speech() -> None:
    detector = SpeechDetector()
    detector.window(0.9, 0.0, WINDOW)
    assert detector.silent_until(QUIET_SECONDS + WINDOW) == SpeechStopped(WINDOW)
    begin = 8 * WINDOW
    assert detector.window(0.9, begin, begin + WINDOW, 0.2) is None
    assert detector.window(0.9, begin, begin + WINDOW, 0.01) == SpeechStarted(begin)


def test_a_voice_that_has_become_very_soft_is_heard_by_the_detector_alone() -> None:
    taker = TurnTaker()
    play(taker, [0.9] * 10)
    events = []
    for i in range(10, 42):
        events += taker.window(0.9, i * WINDOW, (i + 1) * WINDOW, (i - 9) * WINDOW)
    stopped, paused, started, lasted = events
    assert (stopped, paused) == (SpeechStopped(10 * WINDOW), Paused(1, 10 * WINDOW))
    assert isinstance(started, SpeechStarted)
    assert started.at <= 10 * WINDOW + MOST_INERTIA_SECONDS
    assert lasted == SpeechLasted(started.at)
    assert play(taker, [0.0] * 10, start=42 * WINDOW)[0] == SpeechStopped(42 * WINDOW)


@given(st.lists(st.floats(0.0, 2.0), min_size=1, max_size=40))
def test_speech_stops_after_it_began_and_never_after_its_last_window(quiet: list[float]) -> None:
    detector = SpeechDetector()
    edges = [
        edge
        for i, seconds in enumerate(quiet)
        if (edge := detector.window(0.9, i * WINDOW, (i + 1) * WINDOW, seconds))
    ]
    if detector.speaking:
        stopped = detector.silent_until(100.0)
        assert stopped is not None
        edges.append(stopped)
    for started, stopped in zip(edges[::2], edges[1::2], strict=True):
        assert isinstance(started, SpeechStarted)
        assert isinstance(stopped, SpeechStopped)
        assert started.at < stopped.at <= len(quiet) * WINDOW


def test_a_click_interrupts_nobody() -> None:
    windows = int(BARGE_IN_SECONDS / WINDOW)
    events = play(TurnTaker(), [0.9] * windows + [0.0] * 10)
    assert not any(isinstance(event, SpeechLasted) for event in events)


def test_a_dip_inside_a_word_does_not_split_it() -> None:
    dip = int(HANGOVER_SECONDS / WINDOW) - 1
    events = play(TurnTaker(), [0.9] * 5 + [0.1] * dip + [0.9] * 5)
    assert [type(event) for event in events] == [SpeechStarted, SpeechLasted]


def test_hovering_between_the_thresholds_changes_nothing() -> None:
    detector = SpeechDetector()
    assert detector.window(0.45, 0.0, WINDOW) is None
    assert isinstance(detector.window(0.55, WINDOW, 2 * WINDOW), SpeechStarted)
    for i in range(2, 40):
        assert detector.window(0.40, i * WINDOW, (i + 1) * WINDOW) is None


def test_a_caller_whose_audio_stops_has_stopped_speaking() -> None:
    taker = TurnTaker()
    play(taker, [0.9] * 10)
    assert taker.no_audio(10 * WINDOW + 0.1) == []
    stopped, paused = taker.no_audio(10 * WINDOW + 0.2)
    assert stopped == SpeechStopped(10 * WINDOW)
    assert paused == Paused(1, 10 * WINDOW)


def test_a_turn_from_first_sound_to_its_end() -> None:
    taker = TurnTaker()
    play(taker, [0.9] * 10 + [0.0] * 6)
    assert taker.in_turn
    assert not taker.speaking
    assert taker.transcript(1, Completeness.COMPLETE)
    end = taker.poll(10 * WINDOW + 0.35)
    assert isinstance(end, EndOfTurn)
    assert end.speech_seconds == 10 * WINDOW


@given(st.lists(st.floats(0.0, 1.0), max_size=200))
def test_starts_and_stops_alternate_and_pauses_are_numbered(probabilities: list[float]) -> None:
    events = play(TurnTaker(), probabilities)
    edges = [event for event in events if isinstance(event, SpeechStarted | SpeechStopped)]
    kinds = [type(event) for event in edges]
    assert kinds == [SpeechStarted, SpeechStopped] * (len(kinds) // 2) + (
        [SpeechStarted] if len(kinds) % 2 else []
    )
    assert [event.at for event in edges] == sorted(event.at for event in edges)
    pauses = [event.pause for event in events if isinstance(event, Paused)]
    assert pauses == list(range(1, len(pauses) + 1))
