"""The bench's arithmetic, on clocks whose faults are known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.arithmetic import SENT_AHEAD, drift_per_minute, grid_lateness, percentile
from voicebot.audio.pcm import FRAME_BYTES, FRAME_SECONDS

START = 1_000.0


def on_time(seconds: float) -> list[float]:
    """Arrivals of a service that sends a lead of two frames and is never late."""
    frames = round(seconds / FRAME_SECONDS)
    return [START + max(0, frame - 2) * FRAME_SECONDS for frame in range(frames)]


def sizes(arrivals: list[float]) -> list[int]:
    return [FRAME_BYTES] * len(arrivals)


def lateness(arrivals: list[float]) -> list[float]:
    return [float(late) for late in grid_lateness(arrivals, sizes(arrivals))]


def test_a_punctual_service_is_not_late_whatever_its_lead() -> None:
    assert lateness(on_time(60)) == pytest.approx([0.0] * (3000 - SENT_AHEAD), abs=1e-9)


def test_one_late_frame_is_late_and_the_others_are_not() -> None:
    arrivals = on_time(10)
    arrivals[100] += 0.007

    late = lateness(arrivals)

    assert late[100 - SENT_AHEAD] == pytest.approx(0.007)
    assert sum(late) == pytest.approx(0.007, abs=1e-6)


def test_a_clock_that_starts_anew_is_late_for_the_rest_of_the_call() -> None:
    arrivals = on_time(10)
    arrivals[250:] = [arrival + 0.1 for arrival in arrivals[250:]]

    late = lateness(arrivals)

    assert late[:200] == pytest.approx([0.0] * 200, abs=1e-9)
    assert late[-1] == pytest.approx(0.1)


@given(st.lists(st.floats(0, 0.5), min_size=SENT_AHEAD + 1, max_size=100))
def test_no_frame_is_early_and_the_best_is_on_time(jitter: list[float]) -> None:
    arrivals = [START + FRAME_SECONDS * n + extra for n, extra in enumerate(jitter)]

    late = lateness(arrivals)

    assert min(late) == 0.0
    assert max(late) <= max(jitter) - min(jitter) + 1e-6


def test_a_call_of_a_few_frames_is_not_judged() -> None:
    assert lateness(on_time(SENT_AHEAD * FRAME_SECONDS)) == []


def test_messages_of_any_size_are_due_when_the_audio_before_them_is_played() -> None:
    lengths = [FRAME_BYTES, 2 * FRAME_BYTES] * 20
    arrivals, played = [], START
    for length in lengths:
        arrivals.append(played)
        played += FRAME_SECONDS * length / FRAME_BYTES

    assert max(grid_lateness(arrivals, lengths)) == pytest.approx(0.0, abs=1e-9)


def test_every_arrival_needs_its_size() -> None:
    with pytest.raises(ValueError, match="needs its size"):
        grid_lateness([1.0, 2.0], [FRAME_BYTES])


@pytest.mark.parametrize("slip", [0.030, -0.030, 0.0])
def test_drift_is_what_a_minute_lacks(slip: float) -> None:
    arrivals = [START + (at - START) * (1 + slip / 60) for at in on_time(65)]

    assert drift_per_minute(arrivals, sizes(arrivals)) == pytest.approx(slip, abs=1e-4)


def test_stalls_that_are_caught_up_with_are_no_drift() -> None:
    arrivals = on_time(65)
    for second in range(1, 65):
        for frame in range(3):  # 60 ms, and then all at once
            arrivals[50 * second + frame] += (3 - frame) * FRAME_SECONDS

    assert drift_per_minute(arrivals, sizes(arrivals)) == pytest.approx(0.0, abs=1e-9)
    assert max(lateness(arrivals)) == pytest.approx(0.06)


def test_stalls_that_are_not_caught_up_with_add_up() -> None:
    arrivals = on_time(65)
    slipped = [at + 0.06 * int(at - START) for at in arrivals]
    wall_clock_per_second = 1.06

    drift = drift_per_minute(slipped, sizes(slipped))

    assert drift == pytest.approx(60 * 0.06 / wall_clock_per_second, rel=0.01)


def test_a_short_call_has_no_drift() -> None:
    arrivals = on_time(14)
    with pytest.raises(ValueError, match="15 s or more"):
        drift_per_minute(arrivals, sizes(arrivals))


def test_percentiles() -> None:
    values = [float(value) for value in range(101)]

    assert percentile(values, 99) == 99.0
    assert percentile([3.0], 95) == 3.0
    with pytest.raises(ValueError, match="of nothing"):
        percentile([], 50)
