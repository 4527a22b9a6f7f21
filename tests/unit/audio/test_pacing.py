"""The frame clock under stalls, and the allowance of a peer. Time is a list of numbers here."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebot.audio.pacing import GRID_SECONDS, Allowance, FrameClock, grid

T0 = 1000.0


def run(clock: FrameClock, until: float, stalls: dict[float, float]) -> list[tuple[float, float]]:
    """Act as a loop that wakes at each deadline but stands still from t for stalls[t] seconds.

    Returns (time, lateness) of every frame.
    """
    frames: list[tuple[float, float]] = []
    waiting = sorted(stalls.items())
    now = T0
    while now < until:
        frames += [(now, late) for late in clock.due(now)]
        now = max(now, clock.next_write)
        while waiting and waiting[0][0] <= now:
            begin, length = waiting.pop(0)
            now = max(now, begin + length)
    return frames


def test_the_call_starts_with_the_lead_and_goes_on_frame_by_frame() -> None:
    clock = FrameClock(T0)
    assert clock.due(T0) == (0.0, 0.0, 0.0)
    assert clock.next_write == pytest.approx(T0 + 0.02)
    assert clock.due(T0 + 0.010) == ()
    assert clock.due(T0 + 0.020) == (pytest.approx(0.0),)
    assert clock.written_until == pytest.approx(T0 + 0.08)


@given(st.floats(0.0, 1e8))
def test_calls_begin_together_and_hardly_later(now: float) -> None:
    begins = grid(now)
    assert now - 1e-6 <= begins <= now + GRID_SECONDS + 1e-6
    assert begins / GRID_SECONDS == pytest.approx(round(begins / GRID_SECONDS))


def test_a_timer_may_be_a_little_early() -> None:
    clock = FrameClock(T0)
    clock.due(T0)
    assert clock.due(T0 + 0.0195) == (0.0,)
    assert clock.next_write == pytest.approx(T0 + 0.04)


def test_a_late_wake_up_catches_up_and_says_how_late_each_frame_is() -> None:
    clock = FrameClock(T0)
    clock.due(T0)
    assert clock.due(T0 + 0.075) == pytest.approx((0.055, 0.035, 0.015))
    assert clock.next_write == pytest.approx(T0 + 0.08)
    assert (clock.rebases, clock.skipped) == (0, 0)


def test_a_stall_of_100_ms_starts_anew_without_a_burst() -> None:
    clock = FrameClock(T0)
    clock.due(T0)
    assert clock.due(T0 + 0.150) == pytest.approx((0.130,))
    assert clock.next_write == pytest.approx(T0 + 0.170)
    assert (clock.rebases, clock.skipped) == (1, 6)
    assert clock.written_until == pytest.approx(T0 + 0.150 + 3 * 0.02)


def test_what_counts_is_the_gap_between_two_writes() -> None:
    # Asterisk compares packets: 99 ms after the last one is no gap of 100, however late it is.
    clock = FrameClock(T0)
    clock.due(T0)
    assert len(clock.due(T0 + 0.0985)) == 4
    assert clock.rebases == 0
    assert len(clock.due(T0 + 0.1985)) == 1
    assert clock.rebases == 1


def test_a_minute_with_60_ms_stalls_has_no_drift_and_loses_no_frame() -> None:
    clock = FrameClock(T0)
    frames = run(clock, T0 + 60, {T0 + k + 0.013: 0.060 for k in range(60)})
    assert len(frames) == 60 * 50 + 2
    assert clock.rebases == 0
    assert clock.next_write == pytest.approx(T0 + 60, abs=1e-6)
    assert max(late for _, late in frames) <= 0.060


def test_an_hour_has_no_rounding_drift() -> None:
    clock = FrameClock(T0)
    for k in range(3600 * 50):
        assert clock.due(T0 + k * 0.02)
    assert clock.next_write == pytest.approx(T0 + 3600, abs=1e-6)


@given(st.dictionaries(st.floats(0, 9.9).map(lambda t: T0 + t), st.floats(0, 0.075), max_size=30))
def test_short_stalls_never_lose_frames_or_time(stalls: dict[float, float]) -> None:
    # Up to 75 ms: one more may begin just before the next frame, 20 ms after the last.
    apart: dict[float, float] = {}
    for begin, length in sorted(stalls.items()):
        if not apart or begin - max(apart) > 0.1:
            apart[begin] = length
    clock = FrameClock(T0)
    frames = run(clock, T0 + 10, apart)
    assert clock.rebases == 0
    assert len(frames) == 10 * 50 + 2
    assert all(late >= 0 for _, late in frames)


@given(st.lists(st.floats(0, 0.5), min_size=1, max_size=50))
def test_never_more_than_five_at_once_and_never_ahead(gaps: list[float]) -> None:
    clock = FrameClock(T0)
    assert len(clock.due(T0)) == 3
    now = T0
    for gap in gaps:
        now += gap
        assert len(clock.due(now)) <= 5
        assert now - 0.001 <= clock.next_write <= now + 0.0211
        # The caller has at most the lead, and the frame being played, in hand.
        assert clock.written_until - now <= 0.0611


def test_allowance_lets_a_telephone_talk_for_ever() -> None:
    allowance = Allowance(T0)
    assert all(allowance.take(0.02, T0 + k * 0.02) for k in range(100_000))


def test_allowance_takes_a_backlog_once_and_stops_a_flood() -> None:
    allowance = Allowance(T0, rate=1.25, burst=30)
    assert allowance.take(29, T0)
    assert not allowance.take(2, T0)
    assert allowance.take(2, T0 + 1)
    assert not allowance.take(31, T0 + 10_000)
