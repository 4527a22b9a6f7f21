"""What a nightly task tells Prometheus: a file for node_exporter's textfile collector.

The tasks are over before anybody could scrape them, so each leaves a file. A
task that fails keeps the time of its last success, and one that does not run at all lets it grow
old: one alert on that time sees both.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge

from voicebot.telemetry import textfile
from voicebot.telemetry.instruments import MetricInfo

TASKS = ("convert", "backup", "retention")
LOOKED_AT = (*TASKS, "certificate")
"""The last is a host's own: `voicebot-certificate` of the playbook, where there is TLS."""
RESULTS = ("done", "failed")

INVENTORY = (
    MetricInfo(
        "voicebot_task_last_success_timestamp_seconds",
        "gauge",
        "When the task last did all that it should. Alert when it is older than a day and a half.",
        {"task": LOOKED_AT},
    ),
    MetricInfo(
        "voicebot_task_last_run_timestamp_seconds",
        "gauge",
        "When the task last ended, well or not.",
        {"task": LOOKED_AT},
    ),
    MetricInfo(
        "voicebot_task_duration_seconds", "gauge", "How long it took then.", {"task": TASKS}
    ),
    MetricInfo(
        "voicebot_task_items",
        "gauge",
        "Recordings converted, files backed up, or records removed then.",
        {"task": TASKS, "result": RESULTS},
    ),
)
"""Like the inventory of :class:`~voicebot.telemetry.metrics.Metrics`."""

_SUCCESS, _RUN, _DURATION, _ITEMS = INVENTORY


def write(
    file: Path, task: str, *, ended: float, duration: float, items: Mapping[str, int], ok: bool
) -> None:
    """Replace *file*; *ended* is seconds since the epoch. Raises OSError."""
    registry = CollectorRegistry()
    success = ended if ok else textfile.value_in(file, _SUCCESS.name)
    values = [(_SUCCESS, success), (_RUN, ended), (_DURATION, duration)]
    for info, value in values:
        if value is not None:
            Gauge(info.name, info.help, ["task"], registry=registry).labels(task).set(value)
    gauge = Gauge(_ITEMS.name, _ITEMS.help, ["task", "result"], registry=registry)
    for result in RESULTS:
        gauge.labels(task, result).set(items.get(result, 0))
    textfile.replace(file, registry)
