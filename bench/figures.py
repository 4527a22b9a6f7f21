"""The figures: their targets, the table that shows them, the file that keeps them."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from voicebot.service import revision

RESULTS = Path(__file__).parent / "results" / "latest.json"

Say = Callable[[str], None]
"""Shows progress."""

TARGETS = {
    "prompt_to_wire_p95_ms": 50.0,
    "frame_lateness_p99_ms": 5.0,
    "drift_ms_per_min": 20.0,
    "barge_in_p95_ms": 300.0,
    "service_rss_mb": 95.0,
    "local_turn_p50_ms": 1000.0,
    "local_turn_p95_ms": 1500.0,
    "instrumentation_loop_percent": 3.0,
    "scrape_lateness_p99_ms": 0.5,
    "cloud_turn_p50_ms": 850.0,
    "cloud_turn_p95_ms": 1200.0,
    "cloud_rule_turn_p50_ms": 550.0,
    "cloud_rule_turn_p95_ms": 800.0,
    "bot_added_p50_ms": 20.0,
    "bot_added_p99_ms": 60.0,
    "loop_cpu_percent_per_call": 1.0,
    "loop_lag_p99_ms": 5.0,
    "cloud_rss_mb": 120.0,
    "cloud_cost_cents": 3.4,
    "reference_latency_ratio": 2.0,
    "reference_cpu_ratio": 20.0,
    "transcode_cpu_ratio": 50.0,
    "convert_x_real_time": 60.0,
    "converting_lateness_p99_ms": 5.0,
}
"""At most, but for those in AT_LEAST. The order is that of the table."""
AT_LEAST = {
    "reference_latency_ratio",
    "reference_cpu_ratio",
    "transcode_cpu_ratio",
    "convert_x_real_time",
}


def reached(key: str, value: float) -> bool:
    """Whether *value* is what the figure *key* should be."""
    return value >= TARGETS[key] if key in AT_LEAST else value <= TARGETS[key]


@dataclass(slots=True)
class Measured:
    """What a part of the bench found."""

    values: dict[str, float] = field(default_factory=dict)
    """Keys of TARGETS, and further ones that help to understand them."""
    notes: dict[str, str] = field(default_factory=dict)
    """To a key of TARGETS: where the time (or the memory) goes."""

    def add(self, other: Measured) -> None:
        self.values.update(other.values)
        self.notes.update(other.notes)


def table(measured: Measured) -> str:
    """Every figure that was measured beside its target, and the further values below."""
    lines = [f"{'figure':<29}{'measured':>10}{'aim':>9}          where it goes"]
    for key, target in TARGETS.items():
        if key in measured.values:
            value = measured.values[key]
            verdict = "ok" if reached(key, value) else "MISSED"
            note = measured.notes.get(key, "")
            aim = f"{'≥' if key in AT_LEAST else '≤'} {target:g}"
            lines.append(f"{key:<29}{value:>10.1f}{aim:>9}  {verdict:<6}  {note}".rstrip())
    further = sorted(measured.values.keys() - TARGETS.keys())
    if further:
        lines += ["", "besides"]
        lines += [f"{key:<34}{measured.values[key]:>10.1f}" for key in further]
    return "\n".join(lines)


def write(measured: Measured, path: Path = RESULTS) -> None:
    """Keep the figures as one flat JSON object, with machine, revision and date."""
    document: dict[str, float | str] = {
        **{key: round(value, 2) for key, value in _ordered(measured.values).items()},
        "machine": machine(),
        "revision": revision(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    part = path.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def machine() -> str:
    """Processor, cores that may be used, memory."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    model = models[0] if models else platform.machine()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return f"{model}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GB"


def _ordered(values: Mapping[str, float]) -> dict[str, float]:
    first = [key for key in TARGETS if key in values]
    return {key: values[key] for key in [*first, *sorted(values.keys() - TARGETS.keys())]}
