"""What a probe call tells Prometheus, by the textfile collector.

The time of the last success is kept when a probe fails, and grows old when none runs at all: one
alert on that time sees both.
"""

from __future__ import annotations

from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge

from voicebot.telemetry import textfile
from voicebot.telemetry.instruments import MetricInfo

STEPS = ("connect", "greeting", "reply", "goodbye")
"""What a probe waits for, in order."""

INVENTORY = (
    MetricInfo(
        "voicebot_probe_success", "gauge", "1 if the last probe call went as it should.", {}
    ),
    MetricInfo(
        "voicebot_probe_last_run_timestamp_seconds",
        "gauge",
        "When the last probe call ended, well or not.",
        {},
    ),
    MetricInfo(
        "voicebot_probe_last_success_timestamp_seconds",
        "gauge",
        "When a probe call last went as it should. Alert when it is some minutes old, or absent.",
        {},
    ),
    MetricInfo(
        "voicebot_probe_first_audio_seconds",
        "gauge",
        "From dialling to the greeting's first sound, as the probe heard it then.",
        {},
    ),
    MetricInfo(
        "voicebot_probe_response_seconds",
        "gauge",
        "From the probe's last word to the answer's first sound, as it heard it then.",
        {},
    ),
    MetricInfo(
        "voicebot_probe_step_failed",
        "gauge",
        "1 for the step at which the last probe call failed.",
        {"step": STEPS},
    ),
)
"""Like the inventory of :class:`~voicebot.telemetry.metrics.Metrics`."""

_SUCCESS, _RUN, _LAST, _FIRST_AUDIO, _RESPONSE, _FAILED = INVENTORY


def write(
    file: Path,
    *,
    ended: float,
    failed: str | None,
    first_audio: float | None,
    response: float | None,
) -> None:
    """Replace *file*; *ended* is seconds since the epoch, *failed* one of STEPS. Raises OSError.

    A figure that was not reached is not written.
    """
    registry = CollectorRegistry()
    last = ended if failed is None else textfile.value_in(file, _LAST.name)
    values = [
        (_SUCCESS, float(failed is None)),
        (_RUN, ended),
        (_LAST, last),
        (_FIRST_AUDIO, first_audio),
        (_RESPONSE, response),
    ]
    for info, value in values:
        if value is not None:
            Gauge(info.name, info.help, registry=registry).set(value)
    steps = Gauge(_FAILED.name, _FAILED.help, ["step"], registry=registry)
    for step in STEPS:
        steps.labels(step).set(float(step == failed))
    textfile.replace(file, registry)
