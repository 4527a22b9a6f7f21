"""The real service over emulated clouds, with a customer who talks freely: the model is needed, and
the ends of what they say are heard."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.service import REPOSITORY, ServiceInstance
from voicebot import models
from voicebot.emulator.latency_file import PUBLISHED, load
from voicebot.emulator.server import Emulator

pytestmark = pytest.mark.service


@asynccontextmanager
async def service_on_clouds(directory: Path) -> AsyncIterator[ServiceInstance]:
    models.ensure(directory / "models", embedded=False)
    async with asyncio.timeout(240), Emulator.simple(profile=load(PUBLISHED)) as emulator:
        service = ServiceInstance(
            directory,
            EMBEDDED_ENGINE="false",
            MODELS_DIR=str(directory / "models"),
            CACHE_DIR=str(directory / "cache"),
            **emulator.environment(),
        )
        await asyncio.to_thread(service.__enter__)
        try:
            yield service
        finally:
            service.kill()


@pytest.mark.timeout(300)
def test_a_customer_who_talks_freely_is_helped(tmp_path: Path) -> None:
    async def story() -> None:
        async with service_on_clouds(tmp_path) as service:
            status, told = await customer(service, tmp_path)
            assert status == 0, told
            assert await asyncio.to_thread(replies, service, "answered") == 2
            assert await asyncio.to_thread(replies, service, "understood") == 1
            turns = service.logged("turn ended", understood="model: question")
            assert len(turns) == 2
            heard = await asyncio.to_thread(judged, service)
            assert heard["finished"] >= 1

    asyncio.run(story())


@pytest.mark.timeout(300)
def test_workers_that_hang_and_die_while_they_listen_cost_the_caller_nothing(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with service_on_clouds(tmp_path) as service:
            workers = [int(line["pid"]) for line in service.logged("worker ready")]
            for worker in workers:
                os.kill(worker, signal.SIGSTOP)
            status, told = await customer(service, tmp_path)
            assert status == 0, told
            hung = await asyncio.to_thread(service.count, "worker_restarts_total", reason="hung")
            assert hung >= 1
            heard = await asyncio.to_thread(judged, service)
            assert heard["late"] + heard["failed"] >= 1, "nobody answered in time"

    asyncio.run(story())


def judged(service: ServiceInstance) -> dict[str, float]:
    """How often the pauses sounded how."""
    return {
        outcome: service.count("turn_end_judgements_total", outcome=outcome)
        for outcome in ("finished", "unfinished", "late", "failed")
    }


async def customer(service: ServiceInstance, directory: Path) -> tuple[int | None, str]:
    """How the simulated customer's call went, and what they tell of it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "voicebot", "call", "asks-freely",
        "--port", str(service.audiosocket_port), "--control", str(service.control_port),
        "--out", str(directory),
        cwd=REPOSITORY, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    told, _ = await process.communicate()
    return process.returncode, told.decode()


def replies(service: ServiceInstance, outcome: str) -> float:
    return service.count("llm_replies_total", outcome=outcome)
