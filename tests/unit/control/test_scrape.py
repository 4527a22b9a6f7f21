"""The text of a scrape: all of it, and with rests in between."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as modern_latest

from voicebot.control import scrape
from voicebot.telemetry.metrics import Metrics

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def registry() -> CollectorRegistry:
    made = CollectorRegistry()
    for number in range(20):
        histogram = Histogram(f"seconds_{number}", "For a test.", ["kind"], registry=made)
        for kind in "abcdef":
            histogram.labels(kind).observe(number)
        Counter(f"things_{number}", "For a test.", registry=made).inc(number)
    return made


@pytest.mark.parametrize("made", [registry(), Metrics().registry], ids=["made up", "the service's"])
def test_nothing_is_left_out(made: CollectorRegistry) -> None:
    made.collect = _frozen(made)  # type: ignore[method-assign]  # times would differ
    text, kind = scrape.exposition(made, "")
    assert text == generate_latest(made)
    assert kind.startswith("text/plain")
    text, kind = scrape.exposition(made, OPENMETRICS)
    assert text == modern_latest(made, version="1.0.0")
    assert kind.startswith("application/openmetrics-text")


def _frozen(made: CollectorRegistry) -> object:
    families = list(made.collect())
    return lambda: iter(families)


def test_it_rests_after_each_bit_of_work(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 0.0
    rests: list[float] = []

    def perf_counter() -> float:
        nonlocal clock
        clock += scrape.WORK_SECONDS / 2.5
        return clock

    def sleep(seconds: float) -> None:
        assert seconds == scrape.REST_SECONDS
        rests.append(clock)

    monkeypatch.setattr(time, "perf_counter", perf_counter)
    monkeypatch.setattr(time, "sleep", sleep)
    scrape.exposition(registry(), "")
    assert len(rests) > 10
    assert all(later - earlier < 2 * scrape.WORK_SECONDS for earlier, later in pairwise(rests))
