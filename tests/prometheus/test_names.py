"""The rules name nothing that is not exported: metrics, values of labels, boundaries of buckets."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from prometheus.table import load
from tests.grafana.queries import metrics
from tests.prometheus.promtool import rules
from tests.support.exporters import ALLOWED
from voicebot.telemetry import reference, tasks
from voicebot.telemetry.metrics import Metrics

RECORDED = {
    rule["record"]
    for file in ("causes", "objectives")
    for group in rules(file)
    for rule in group["rules"]
    if "record" in rule
}
INVENTORY = (*Metrics().inventory, *tasks.INVENTORY)


def expressions() -> Iterator[tuple[str, str]]:
    for file in ("causes", "objectives"):
        for group in rules(file):
            for rule in group["rules"]:
                yield rule.get("alert") or rule["record"], rule["expr"]


def test_every_metric_exists() -> None:
    known = set(reference.names()) | ALLOWED | RECORDED
    for where, expression in expressions():
        assert metrics(expression) - known == set(), where


def test_every_value_of_a_label_exists() -> None:
    labels = {info.name: info.labels for info in INVENTORY}
    seen = 0
    for where, expression in expressions():
        for metric, chosen in re.findall(r"\b(voicebot_\w+?)(?:_bucket)?\{([^}]*)\}", expression):
            for label, value in re.findall(r'(\w+)[=!]~?"([^"]*)"', chosen):
                if known := labels.get(metric, {}).get(label):
                    assert set(value.split("|")) <= set(known), where
                    seen += 1
    assert seen > 10


def test_every_boundary_of_a_bucket_exists() -> None:
    buckets = {info.name: {repr(float(b)) for b in info.buckets} for info in INVENTORY}
    seen = 0
    for where, expression in expressions():
        for metric, le in re.findall(r'\b(voicebot_\w+)_bucket\{[^}]*le="([^"]*)"', expression):
            assert le in buckets[metric], where
            seen += 1
    assert seen > 10


@pytest.mark.parametrize("objective", load().objectives.values(), ids=lambda o: o.name)
def test_the_promise_says_the_threshold(objective: object) -> None:
    threshold = getattr(objective, "threshold", None)
    promise = str(getattr(objective, "promise", ""))
    if threshold is not None:
        said = {f"{threshold:g} s", f"{1000 * threshold:g} ms"}
        assert any(words in promise for words in said)
