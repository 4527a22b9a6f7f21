"""What the bench shows and keeps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import figures
from bench.__main__ import PARTS
from bench.figures import TARGETS, Measured
from bench.service import Samples


def test_every_target_is_measured_by_one_part() -> None:
    measured = [key for keys in PARTS.values() for key in keys]

    assert sorted(measured) == sorted(TARGETS)


def test_the_table_says_what_is_over_its_target() -> None:
    measured = Measured(
        {"barge_in_p95_ms": 300.1, "service_rss_mb": 95.0, "barge_ins": 66.0},
        {"barge_in_p95_ms": "most of it in the detector"},
    )

    lines = figures.table(measured).splitlines()

    assert lines[1].split(maxsplit=5) == [
        "barge_in_p95_ms", "300.1", "≤", "300", "MISSED", "most of it in the detector",
    ]  # fmt: skip
    assert lines[2].split() == ["service_rss_mb", "95.0", "≤", "95", "ok"]
    assert lines[-1].split() == ["barge_ins", "66.0"]
    assert len(lines) == 6, "what was not measured is not shown"


def test_some_figures_are_to_be_large() -> None:
    lines = figures.table(Measured({"reference_latency_ratio": 1.9, "reference_cpu_ratio": 20.0}))
    verdicts = [line.split()[-1] for line in lines.splitlines()[1:]]
    assert verdicts == ["MISSED", "ok"]


def test_the_figures_are_kept_as_one_flat_object(tmp_path: Path) -> None:
    file = tmp_path / "results" / "latest.json"

    figures.write(Measured({"barge_ins": 66.0, "barge_in_p95_ms": 271.238}), file)

    kept = json.loads(file.read_text())
    assert list(kept) == ["barge_in_p95_ms", "barge_ins", "machine", "revision", "date"]
    assert kept["barge_in_p95_ms"] == 271.24
    assert "cores" in kept["machine"]
    assert not any(isinstance(value, dict | list) for value in kept.values())


def test_the_services_own_counts_are_read() -> None:
    samples = Samples(
        "# TYPE stage_seconds histogram\n"
        'stage_seconds_bucket{stage="tts",le="0.1"} 1\n'
        'stage_seconds_bucket{stage="tts",le="+Inf"} 4\n'
        'stage_seconds_sum{stage="tts"} 1.0\n'
        'stage_seconds_count{stage="tts"} 4\n'
        'stage_seconds_count{stage="llm"} 0\n'
        'stage_seconds_sum{stage="llm"} 0\n'
    )

    assert samples.value("stage_seconds_bucket", stage="tts", le="0.1") == 1
    assert samples.mean("stage_seconds", stage="tts") == 0.25
    assert samples.mean("stage_seconds", stage="llm") == 0
    with pytest.raises(KeyError):
        samples.value("stage_seconds_count", stage="stt")
