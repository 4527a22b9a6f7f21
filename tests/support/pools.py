"""Pools of worker processes for a test, and what is counted of them."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvloop
from structlog.testing import capture_logs

from tests.support.jobs import job
from voicebot.telemetry.metrics import Metrics
from voicebot.workers.pool import WorkerPool

CORE = min(os.sched_getaffinity(0))


@asynccontextmanager
async def pool_of(
    size: int, metrics: Metrics | None = None, **options: Any
) -> AsyncIterator[WorkerPool]:
    pool = WorkerPool([CORE] * size, metrics or Metrics(), **options)
    await pool.start()
    try:
        yield pool
    finally:
        await pool.close()


def run(story: Callable[[], Awaitable[None]]) -> None:
    with capture_logs():
        uvloop.run(story())  # type: ignore[arg-type]


def finished(metrics: Metrics, outcome: str) -> float:
    labels = {"kind": "transcribe", "outcome": outcome}
    return metrics.registry.get_sample_value("voicebot_worker_jobs_total", labels) or 0.0


def restarts(metrics: Metrics, reason: str = "died") -> float:
    labels = {"reason": reason}
    return metrics.registry.get_sample_value("voicebot_worker_restarts_total", labels) or 0.0


async def busy(pool: WorkerPool, until: Path) -> asyncio.Task[None]:
    """Occupy one worker until the file exists."""
    task = asyncio.ensure_future(pool.run(job("wait_for"), str(until)))
    await asyncio.sleep(0)
    await eventually(lambda: not pool._queue)  # the worker has taken it
    return task


async def eventually(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110 -- processes set no event
            await asyncio.sleep(0.001)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
