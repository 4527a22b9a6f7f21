"""The tape: where a frame lands that arrives on time, early, late, in a burst."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.stage import LOUD_FRAME
from voicebot.audio.pcm import FRAME_SAMPLES, FRAME_SECONDS, SILENCE_FRAME
from voicebot.simulator.activity import segments
from voicebot.simulator.tape import Pacing, Tape, pacing

START = 50.0


def recorded(frames: list[tuple[float, bytes]]) -> Tape:
    """A tape of bot frames with their arrival times in seconds from the start."""
    tape = Tape(START)
    for at, frame in frames:
        tape.received(frame, START + at)
    return tape


def on_the_clock(first: float, frames: list[bytes]) -> list[tuple[float, bytes]]:
    return [(first + number * FRAME_SECONDS, frame) for number, frame in enumerate(frames)]


def test_sound_lies_where_it_arrived() -> None:
    tape = recorded(on_the_clock(0.003, [SILENCE_FRAME] * 50 + [LOUD_FRAME] * 10))
    (sound,) = segments(tape.bot())
    assert sound.start == pytest.approx(1.003, abs=0.006)
    assert sound.end == pytest.approx(1.203, abs=0.006)
    assert tape.gaps == []


def test_frames_sent_ahead_when_the_call_begins_do_not_delay_the_rest() -> None:
    frames = [(0.0, SILENCE_FRAME)] * 3 + on_the_clock(0.02, [SILENCE_FRAME] * 10)
    tape = recorded([*frames, *on_the_clock(0.22, [LOUD_FRAME] * 10)])
    (sound,) = segments(tape.bot())
    assert sound.start == pytest.approx(0.22, abs=0.006)


def test_jitter_that_a_telephone_absorbs_makes_no_gap() -> None:
    frames = on_the_clock(0.0, [LOUD_FRAME] * 100)
    shaken = [
        (at + (0.015 if number % 7 == 3 else 0.0), f) for number, (at, f) in enumerate(frames)
    ]
    tape = recorded(shaken)
    assert tape.gaps == []
    assert tape.bot().size == 100 * FRAME_SAMPLES


def test_a_stall_inside_speech_is_a_gap_of_its_length() -> None:
    frames = on_the_clock(0.0, [LOUD_FRAME] * 20) + on_the_clock(0.5, [LOUD_FRAME] * 20)
    tape = recorded(frames)
    (gap,) = tape.gaps
    assert gap.at == pytest.approx(0.4)
    assert gap.seconds == pytest.approx(0.1)


def test_a_stall_while_the_bot_is_silent_is_no_gap() -> None:
    tape = recorded([*on_the_clock(0.0, [SILENCE_FRAME] * 5), *on_the_clock(0.5, [LOUD_FRAME] * 5)])
    assert tape.gaps == []
    (sound,) = segments(tape.bot())
    assert sound.start == pytest.approx(0.5, abs=0.006)


def test_both_sides_are_of_one_length() -> None:
    tape = recorded(on_the_clock(0.0, [LOUD_FRAME] * 5))
    for _ in range(20):
        tape.sent(LOUD_FRAME)
    assert tape.caller().size == tape.bot().size == 20 * FRAME_SAMPLES
    assert tape.duration == pytest.approx(0.4)
    assert not np.any(tape.bot()[5 * FRAME_SAMPLES :])


@given(
    st.lists(
        st.tuples(st.floats(0.0, 0.3), st.booleans(), st.integers(1, 400)),
        max_size=40,
    )
)
def test_no_sound_is_ever_lost(pieces: list[tuple[float, bool, int]]) -> None:
    at, frames, loud = 0.0, [], 0
    for wait, is_loud, samples in pieces:
        at += wait
        frames.append((at, (b"\x00\x20" if is_loud else b"\x00\x00") * samples))
        loud += samples * is_loud
    tape = recorded(frames)
    assert np.count_nonzero(tape.bot()) == loud


def test_an_ideal_sender_is_never_late() -> None:
    ahead = [(0.0, SILENCE_FRAME)] * 2
    measured = pacing(recorded(ahead + on_the_clock(0.0, [SILENCE_FRAME] * 500)))
    assert measured.frames == 502
    assert measured.percentile(100) == pytest.approx(0.0, abs=1e-6)
    assert measured.drift == pytest.approx(0.0, abs=1e-6)


def test_lateness_and_drift_are_measured_in_their_units() -> None:
    slow = [(number * 0.0201, SILENCE_FRAME) for number in range(3_000)]
    measured = pacing(recorded(slow))
    assert measured.drift == pytest.approx(60 * 0.0001 / 0.0201, rel=0.01)
    assert measured.percentile(50) == pytest.approx(49 * 0.0001, rel=0.01)

    late = [(at + (0.030 if at > 1 and round(at / 0.02) % 20 == 0 else 0.0), f)
            for at, f in on_the_clock(0.0, [SILENCE_FRAME] * 500)]  # fmt: skip
    measured = pacing(recorded(late))
    assert measured.percentile(90) == pytest.approx(0.0, abs=1e-6)
    assert measured.percentile(99) == pytest.approx(0.030, abs=1e-3)


def test_a_clock_that_starts_anew_is_late_once_not_for_ever() -> None:
    stalled = on_the_clock(0.0, [SILENCE_FRAME] * 200) + on_the_clock(4.5, [SILENCE_FRAME] * 2_000)
    measured = pacing(recorded(stalled))
    assert measured.percentile(95) == pytest.approx(0.0, abs=1e-6)
    assert measured.percentile(100) == pytest.approx(0.5, abs=1e-3)


def test_a_call_of_a_few_frames_has_no_pacing() -> None:
    assert pacing(recorded(on_the_clock(0.0, [SILENCE_FRAME] * 3))) == Pacing(3, (), 0.0)
