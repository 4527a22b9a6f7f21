"""Files for node_exporter's textfile collector: what short-lived programs tell Prometheus.

A file is replaced as a whole, so that a scrape never reads half of one. Whatever is to outlive one
run, such as the time of the last success, is read back from the file that the run before it left.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families


def replace(file: Path, registry: CollectorRegistry) -> None:
    """Write what *registry* holds to *file*. Raises OSError."""
    part = file.with_name(f".{file.name}.{os.getpid()}")  # the collector reads *.prom
    try:
        part.write_bytes(generate_latest(registry))
        part.chmod(0o644)  # node_exporter is another user, and nothing here is personal
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


def value_in(file: Path, name: str) -> float | None:
    """The first value of the gauge *name* in *file*; None if either is not there."""
    with suppress(OSError, ValueError):
        for family in text_string_to_metric_families(file.read_text(encoding="utf-8")):
            if family.name == name:
                return float(family.samples[0].value)
    return None
