"""Counters, gauges and histograms that are complete from the first scrape, and a list of them.

Each is made with the values its labels can have, and every child of it exists at once. What was
made is noted in an inventory, from which the reference page and the tests are made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)

# The ``_created`` series would nearly double what a scrape holds, for a date nobody plots.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library forgot


@dataclass(frozen=True, slots=True)
class MetricInfo:
    """One line of the inventory, for the reference page and the tests."""

    name: str
    """As a query writes it: counters with ``_total``."""
    kind: str
    help: str
    labels: Mapping[str, Sequence[str]]
    buckets: Sequence[float] = ()


class Instruments:
    """A registry of its own, and what is in it."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.inventory: list[MetricInfo] = []

    def _counter(self, name: str, about: str, **labels: Sequence[str]) -> Counter:
        return self._counter_of(name, about, tuple(labels), product(*labels.values()))

    def _counter_of(
        self, name: str, about: str, names: Sequence[str], children: Iterable[tuple[str, ...]]
    ) -> Counter:
        """A counter whose label values are not every combination."""
        counter = Counter(name, about, names, registry=self.registry)
        values = self._create(counter, names, children)
        self.inventory.append(MetricInfo(f"{name}_total", "counter", about, values))
        return counter

    def _gauge(self, name: str, about: str, **labels: Sequence[str]) -> Gauge:
        return self._gauge_of(name, about, tuple(labels), product(*labels.values()))

    def _gauge_of(
        self, name: str, about: str, names: Sequence[str], children: Iterable[tuple[str, ...]]
    ) -> Gauge:
        """A gauge whose label values are not every combination."""
        gauge = Gauge(name, about, names, registry=self.registry)
        values = self._create(gauge, names, children)
        self.inventory.append(MetricInfo(name, "gauge", about, values))
        return gauge

    def _histogram(
        self, name: str, about: str, buckets: Sequence[float], **labels: Sequence[str]
    ) -> Histogram:
        histogram = Histogram(
            name, about, tuple(labels), buckets=tuple(buckets), registry=self.registry
        )
        values = self._create(histogram, tuple(labels), product(*labels.values()))
        self.inventory.append(MetricInfo(name, "histogram", about, values, buckets))
        return histogram

    @staticmethod
    def _create(
        metric: Counter | Gauge | Histogram,
        names: Sequence[str],
        children: Iterable[tuple[str, ...]],
    ) -> dict[str, list[str]]:
        """Make every child; returns the distinct values of each label."""
        values: dict[str, list[str]] = {name: [] for name in names}
        if not names:
            return values
        for child in children:
            metric.labels(*child)
            for name, value in zip(names, child, strict=True):
                if value not in values[name]:
                    values[name].append(value)
        return values
