"""The metrics: complete from the first scrape, and named by the rules."""

from __future__ import annotations

import re
from itertools import product
from math import prod

import pytest
from prometheus_client import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from voicebot.telemetry import reference
from voicebot.telemetry.instruments import MetricInfo
from voicebot.telemetry.metrics import LOCAL, PROVIDERS, Metrics

INVENTORY = Metrics().inventory
OF_THE_MACHINE = {"voicebot_core_role", "voicebot_worker_memory_bytes"}
"""Their cores are known when the service is ready."""
OF_THE_SETTINGS = {"voicebot_price_table_timestamp_seconds"}  # its currency is not known before
FIXED = [info for info in INVENTORY if info.name not in OF_THE_MACHINE | OF_THE_SETTINGS]
CHARGED = {"voicebot_cost_total"}  # not for the embedded engine


def samples(metrics: Metrics) -> set[tuple[str, frozenset[tuple[str, str]]]]:
    return {
        (sample.name, frozenset(sample.labels.items()))
        for family in metrics.registry.collect()
        for sample in family.samples
    }


def test_cores_have_a_role_and_on_one_core_it_has_both() -> None:
    metrics = Metrics()
    metrics.own_cores(0, (0, 3))
    present = {tuple(sorted(dict(x).items())) for n, x in samples(metrics) if n in OF_THE_MACHINE}
    roles = {("0", "loop"), ("0", "worker"), ("3", "worker")}
    assert present == {(("cpu", cpu), ("role", role)) for cpu, role in roles}


@pytest.mark.parametrize("info", FIXED, ids=lambda info: info.name)
def test_every_child_is_there_before_anything_happens(info: MetricInfo) -> None:
    names = {name for name, _ in samples(Metrics())}
    expected = f"{info.name}_count" if info.kind == "histogram" else info.name
    assert expected in names
    present = {labels for name, labels in samples(Metrics()) if name == expected}
    if {"stage", "provider"} <= info.labels.keys():
        pairs = {(dict(labels)["stage"], dict(labels)["provider"]) for labels in present}
        assert pairs == {
            (stage, name)
            for stage, names in PROVIDERS.items()
            for name in names
            if name != LOCAL or info.name not in CHARGED
        }
        others = (values for n, values in info.labels.items() if n not in ("stage", "provider"))
        assert len(present) == len(pairs) * prod(len(values) for values in others)
        return
    combinations = product(*([(name, v) for v in values] for name, values in info.labels.items()))
    assert present == {frozenset(combination) for combination in combinations}


@pytest.mark.parametrize("info", INVENTORY, ids=lambda info: info.name)
def test_names_follow_the_rules(info: MetricInfo) -> None:
    assert re.fullmatch(r"voicebot(_[a-z]+)+", info.name)
    assert info.help.endswith(".")
    assert (info.kind == "counter") == info.name.endswith("_total")
    is_duration = info.name.endswith("_seconds") and not info.name.endswith("_timestamp_seconds")
    assert (info.kind == "histogram") == is_duration
    assert not re.search(r"_(ms|millis|minutes|kb|count|percent)(_|$)", info.name)
    assert not {"call_id", "uuid", "number", "text", "error", "url"} & set(info.labels)


@pytest.mark.parametrize(
    ("name", "objective"),
    [
        ("voicebot_turn_response_seconds", 1.25),
        ("voicebot_turn_response_seconds", 2.5),
        ("voicebot_barge_in_stop_seconds", 0.4),
        ("voicebot_audio_frame_lateness_seconds", 0.02),
    ],
)
def test_each_objective_is_a_bucket_boundary(name: str, objective: float) -> None:
    (info,) = (info for info in INVENTORY if info.name == name)
    assert objective in info.buckets
    assert list(info.buckets) == sorted(set(info.buckets))


def test_there_are_few_enough_series_for_a_scrape_beside_the_audio() -> None:
    assert len(samples(Metrics())) < 1_500


def test_both_formats_can_be_parsed_and_say_what_runs() -> None:
    metrics = Metrics(version="1.2.3", revision="abc")
    metrics.turn_response.labels("live").observe(0.8)
    text = openmetrics(metrics.registry).decode()  # type: ignore[no-untyped-call]
    families = {f.name for f in text_string_to_metric_families(text)}  # type: ignore[no-untyped-call]
    assert "voicebot_turn_response_seconds" in families
    text = generate_latest(metrics.registry).decode()
    assert re.search(r'voicebot_build_info\{[^}]*revision="abc"[^}]*version="1.2.3"\} 1.0', text)
    assert "process_start_time_seconds" in text
    assert "_created" not in text


def test_two_services_in_one_process_count_apart() -> None:
    one, other = Metrics(), Metrics()
    one.calls.labels("completed", "live").inc()
    name, labels = "voicebot_calls_total", {"outcome": "completed", "traffic": "live"}
    assert one.registry.get_sample_value(name, labels) == 1
    assert other.registry.get_sample_value(name, labels) == 0


def test_the_reference_page_has_every_metric_once_and_nothing_of_this_machine() -> None:
    page = reference.markdown()
    for name in reference.names():
        assert page.count(f"\n| `{name}` | ") in (1, 2), name
    assert page == reference.markdown()
    assert "unknown" not in page
