"""What of a caller's wait was the clouds', and what a histogram has seen in between."""

from __future__ import annotations

import pytest

from bench.cloud import Answer, cents_of_two_minutes, quantile
from bench.emulated import Delay, vendor_seconds
from bench.service import Samples

CALL, OTHER = "call-1", "call-2"


def test_the_last_answer_of_each_step_counts_within_the_wait_and_the_call() -> None:
    kept = [
        Delay("listen_final", CALL, 99.0, 9.0),  # of the turn before
        Delay("listen_final", CALL, 100.1, 0.1),  # of a pause in the turn
        Delay("listen_final", CALL, 100.3, 0.25),
        Delay("listen_interim", CALL, 100.2, 9.0),
        Delay("chat_first_token", CALL, 100.5, 0.2),
        Delay("chat_first_token", OTHER, 100.5, 9.0),
        Delay("speech_first_byte", CALL, 100.8, 0.3),
        Delay("speech_first_byte", CALL, 101.5, 9.0),  # of the second sentence
    ]
    steps = vendor_seconds(kept, CALL, said=100.0, heard=101.0)
    assert steps == {"listen_final": 0.25, "chat_first_token": 0.2, "speech_first_byte": 0.3}
    assert Answer(1.0, sum(steps.values()), by_model=True).added == pytest.approx(0.25)


def samples(*counts: int) -> Samples:
    text = "# TYPE lag_seconds histogram\n"
    for edge, count in zip(("0.001", "0.005", "0.02", "+Inf"), counts, strict=True):
        text += f'lag_seconds_bucket{{le="{edge}"}} {count}\n'
    return Samples(text)


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.5, 0.0005), (0.995, 0.003), (1.0, 0.005)],
)
def test_a_quantile_between_two_readings(share: float, expected: float) -> None:
    before, after = samples(10, 10, 20, 20), samples(1000, 1010, 1020, 1020)
    assert quantile(after, before, "lag_seconds", share) == pytest.approx(expected, rel=0.02)


def test_beyond_the_last_edge_nothing_is_known_but_that() -> None:
    assert quantile(samples(0, 0, 0, 5), samples(0, 0, 0, 0), "lag_seconds", 0.99) == 0.02


def test_what_two_minutes_cost_is_by_how_long_the_calls_were() -> None:
    assert cents_of_two_minutes([(60.0, 0.001), (180.0, 0.005)]) == pytest.approx(0.3)
    assert cents_of_two_minutes([(60.0, 0.001), (60.0, None)]) is None, "a model without a price"
    assert cents_of_two_minutes([]) is None
