"""A service without the embedded engine, as the image `cloud` has it: clouds listen and speak."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

import pytest

from tests.support.service import ServiceError, ServiceInstance
from voicebot import models
from voicebot.emulator.server import Emulator

pytestmark = pytest.mark.service


@pytest.fixture
def only_vad(tmp_path: Path) -> Path:
    """What the image has of the models: voice activity detection."""
    directory = tmp_path / "models"
    models.ensure(directory, embedded=False)
    return directory


def worker_kilobytes(pid: int) -> list[int]:
    """Memory of each child of the service."""
    command = ["ps", "--ppid", str(pid), "-o", "rss="]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [int(line) for line in done.stdout.split()]


def test_it_is_ready_with_prompts_in_the_voice_of_the_cloud(tmp_path: Path, only_vad: Path) -> None:
    async def story() -> None:
        async with asyncio.timeout(60), Emulator.simple() as emulator:
            service = ServiceInstance(
                tmp_path,
                EMBEDDED_ENGINE="false",
                MODELS_DIR=str(only_vad),
                CACHE_DIR=str(tmp_path / "cache"),
                **emulator.environment(),
            )
            await asyncio.to_thread(service.__enter__)
            try:
                (engines,) = [line for line in service.log() if "stt" in line and "tts" in line]
                assert engines["stt"] == ["deepgram"]
                assert engines["tts"] == ["openai", "openai_realtime", "deepgram"]
                assert service.wait_for("prompts loaded", 1)["voice"].startswith("openai ")
                workers = worker_kilobytes(service.pid)
                assert len(workers) == max(1, len(os.sched_getaffinity(0)) - 1)
                assert max(workers) < 100_000, "no engine is loaded"
            finally:
                service.kill()

    asyncio.run(story())


def test_without_a_key_it_says_which_one_it_needs(tmp_path: Path, only_vad: Path) -> None:
    service = ServiceInstance(tmp_path, EMBEDDED_ENGINE="false", MODELS_DIR=str(only_vad))
    with pytest.raises(ServiceError), service:
        raise AssertionError("it must not start")
    told = (tmp_path / "service.log").read_text()
    assert "STT_CHAIN=auto: there is nobody: EMBEDDED_ENGINE=false" in told
    assert "Set DEEPGRAM_API_KEY" in told
