"""The real service over emulated clouds, with a customer who talks freely: the model is needed."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from tests.support.service import REPOSITORY, ServiceInstance
from voicebot import models
from voicebot.emulator.latency_file import PUBLISHED, load
from voicebot.emulator.server import Emulator

pytestmark = pytest.mark.service


@pytest.mark.timeout(300)
def test_a_customer_who_talks_freely_is_helped(tmp_path: Path) -> None:
    async def story() -> None:
        models.ensure(tmp_path / "models", embedded=False)
        async with asyncio.timeout(240), Emulator.simple(profile=load(PUBLISHED)) as emulator:
            service = ServiceInstance(
                tmp_path,
                EMBEDDED_ENGINE="false",
                MODELS_DIR=str(tmp_path / "models"),
                CACHE_DIR=str(tmp_path / "cache"),
                **emulator.environment(),
            )
            await asyncio.to_thread(service.__enter__)
            try:
                status, told = await customer(service, tmp_path)
                assert status == 0, told
                assert await asyncio.to_thread(replies, service, "answered") == 2
                assert await asyncio.to_thread(replies, service, "understood") == 1
                turns = service.logged("turn ended", understood="model: question")
                assert len(turns) == 2
            finally:
                service.kill()

    asyncio.run(story())


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
