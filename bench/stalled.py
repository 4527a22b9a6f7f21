"""The service with an event loop that stands still for 60 ms once a second.

As a slow disk, a noisy neighbour or a bug would make it. Run as ``python -m bench.stalled``; it
takes no arguments and the settings of the service. There is no such switch in the service itself.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time

from voicebot import service
from voicebot.commands import serve
from voicebot.config import Settings
from voicebot.telemetry.metrics import Metrics

PERIOD_SECONDS = 1.0
STALL_SECONDS = 0.060

_run = service.run


async def run_stalling(settings: Settings, metrics: Metrics) -> None:
    """The service's ``run`` with the stalls beside it."""
    stalls = asyncio.create_task(_stall())
    try:
        await _run(settings, metrics)
    finally:
        stalls.cancel()


async def _stall() -> None:
    while True:
        await asyncio.sleep(PERIOD_SECONDS - STALL_SECONDS)
        time.sleep(STALL_SECONDS)  # noqa: ASYNC251 -- holding up the loop is the point


if __name__ == "__main__":
    service.run = run_stalling
    sys.exit(serve.run(argparse.Namespace()))
