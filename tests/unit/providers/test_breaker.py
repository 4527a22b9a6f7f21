"""The circuit breaker, with times as arguments."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebot.providers.breaker import Circuit, CircuitBreaker


def opened(**options: float) -> CircuitBreaker:
    breaker = CircuitBreaker(threshold=3, pause=5.0, longest_pause=60.0, **options)
    for _ in range(3):
        assert breaker.allow(0.0)
        breaker.failed(0.0)
    assert breaker.state is Circuit.OPEN
    return breaker


def test_two_failures_in_a_row_are_forgiven_and_three_are_not() -> None:
    breaker = CircuitBreaker(threshold=3)
    breaker.failed(0.0)
    breaker.failed(0.0)
    breaker.succeeded()
    breaker.failed(1.0)
    breaker.failed(1.0)
    assert breaker.allow(1.0)
    breaker.failed(1.0)
    assert not breaker.allow(1.0)


def test_after_the_pause_one_probe_goes_out_and_its_success_closes_the_circuit() -> None:
    breaker = opened()
    assert not breaker.allow(4.9)
    assert breaker.allow(5.0)
    assert not breaker.allow(5.0), "the probe is out"
    breaker.succeeded()
    assert breaker.allow(5.1)
    assert breaker.allow(5.1)


def test_each_failed_probe_doubles_the_pause_up_to_a_minute() -> None:
    breaker = opened()
    now, pauses = 0.0, []
    for _ in range(6):
        began = now
        while not breaker.allow(now):
            now += 0.5
        pauses.append(now - began)
        breaker.failed(now)
    assert pauses == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]


def test_a_probe_that_was_given_up_goes_to_the_next_who_asks() -> None:
    breaker = opened()
    assert breaker.allow(5.0)
    breaker.abandoned(6.0)
    assert breaker.allow(6.0)


def test_a_probe_that_nobody_reports_on_does_not_block_for_ever() -> None:
    breaker = opened()
    assert breaker.allow(5.0)
    assert not breaker.allow(34.9)
    assert breaker.allow(35.0)


@pytest.mark.parametrize(("asked", "pause"), [(2.0, 2.0), (30.0, 30.0), (3600.0, 60.0)])
def test_a_provider_that_asks_for_a_rest_gets_it_at_once(asked: float, pause: float) -> None:
    breaker = CircuitBreaker(longest_pause=60.0)
    breaker.failed(0.0, retry_after=asked)
    assert not breaker.allow(pause - 0.1)
    assert breaker.allow(pause)


def test_a_refused_key_is_for_good() -> None:
    breaker = CircuitBreaker()
    breaker.lock()
    breaker.succeeded()  # a request from before
    breaker.failed(1.0)
    assert not breaker.allow(1e9)
    assert breaker.open


@given(st.lists(st.sampled_from(["ok", "fail", "gone", "wait"]), max_size=60))
def test_whatever_happens_there_is_a_way_back(events: list[str]) -> None:
    """A provider is asked again within the longest pause and a probe's time."""
    breaker = CircuitBreaker()
    now = 0.0
    for event in events:
        now += 10.0 if event == "wait" else 0.1
        if event == "wait" or not breaker.allow(now):
            continue
        if event == "ok":
            breaker.succeeded()
        elif event == "fail":
            breaker.failed(now)
        else:
            breaker.abandoned(now)
    assert breaker.allow(now + 90.0)
    breaker.succeeded()
    assert not breaker.open
