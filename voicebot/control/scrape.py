"""The metrics as Prometheus reads them, made a little at a time.

Their text is some thousand lines of Python's work, 6 ms, and the event loop needs the interpreter
for every caller's frames meanwhile: it gets it, but each time it has to ask. So whoever makes the
text rests again and again, and nobody waits for it: Prometheus gives a scrape ten seconds.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

WORK_SECONDS: Final = 0.0002
"""How long it computes before it rests; a large histogram alone is 1 ms."""
REST_SECONDS: Final = 0.001


class _Rested(Collector):
    """A registry whose families come with rests between them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        """Yields each family when the text of the one before has been made."""
        began = time.perf_counter()
        for family in self._registry.collect():
            yield family
            if time.perf_counter() - began > WORK_SECONDS:
                time.sleep(REST_SECONDS)
                began = time.perf_counter()


def exposition(registry: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """All of *registry* in the format that the header *accept* asks for, and its content type."""
    encode, content_type = choose_encoder(accept)
    return encode(_Rested(registry)), content_type
