"""What the service does before the first call."""

from __future__ import annotations

import asyncio
import threading
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from voicebot import service
from voicebot.config import Settings
from voicebot.telemetry.metrics import Metrics


def test_the_loop_moves_while_the_recordings_of_many_days_are_looked_through(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Or the watchdog would end a start that takes as long as a cold disk with years of days."""
    seen = threading.Event()

    def slow(directory: Path) -> None:
        assert directory == tmp_path
        assert seen.wait(10), "nothing else moved meanwhile"

    monkeypatch.setattr("voicebot.call.recording_file.recover", slow)

    async def story() -> None:
        async with AsyncExitStack() as stack:
            settings = Settings(recordings_dir=tmp_path)
            starting = asyncio.ensure_future(service._start_recorder(settings, Metrics(), stack))
            await asyncio.sleep(0)
            seen.set()
            assert await starting is not None

    asyncio.run(story())
