"""A caller at the real service: one AudioSocket call from Asterisk's end, and what became of it.

Keys carry a whole conversation, so nothing here depends on what is recognised. The service is
asked in threads, so that the calls' own frames go on meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import uuid
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.support.fake_asterisk import FakeAsterisk
from tests.support.service import ServiceInstance
from tests.support.waiting import until
from voicebot.simulator.customer import is_audible

NUMBER = "0612345678"
ANSWER_SECONDS = 5.0
GAP_SECONDS = 0.5
"""A gap between two frames that cannot be this machine's business with something else."""


class Telephone:
    """One call; use :func:`calling`."""

    def __init__(self, line: FakeAsterisk, call_id: uuid.UUID, service: ServiceInstance) -> None:
        self.line = line
        self.call_id = call_id
        self._service = service

    async def press(self, keys: str) -> None:
        """One key after the other, as fast as a thumb can."""
        for key in keys:
            self.line.press(key)
            await asyncio.sleep(0.02)

    async def hears_speech(self) -> None:
        """Until the bot is audible."""
        await until(
            lambda: any(is_audible(m.payload) for m in self.line.received), 5, "the bot speaks"
        )

    async def is_told(self, words: str) -> None:
        """Until the bot has begun to say something that holds *words*."""
        await until(
            lambda: any(words in text for text in self.texts()), ANSWER_SECONDS, f"{words!r}"
        )

    async def event(self, event: str, **fields: object) -> dict[str, Any]:
        """The first log line about this call with that event and those fields."""
        return await asyncio.to_thread(
            self._service.wait_for, event, ANSWER_SECONDS, call_id=str(self.call_id), **fields
        )

    async def next_step(self) -> str:
        """What the dialplan is told to do with the caller."""
        return await asyncio.to_thread(self._service.get, f"/v1/calls/{self.call_id}/next")

    def texts(self) -> list[str]:
        """What the bot has said in this call."""
        lines = self._service.logged("bot says", call_id=str(self.call_id))
        return [line["pii_text"] for line in lines]

    def longest_gap(self) -> float:
        """Seconds between two frames that followed each other."""
        times = [message.at for message in self.line.received if message.payload]
        return max(after - before for before, after in pairwise(times))

    def journal(self) -> dict[str, Any]:
        """The call as ``voicebot calls`` shows it."""
        found: dict[str, Any] = json.loads(
            self._service.command("calls", str(self.call_id), "--json")
        )
        return found


@asynccontextmanager
async def calling(
    service: ServiceInstance,
    call_id: uuid.UUID | None = None,
    *,
    silent: bool = False,
    stays_after_end: float = 0.0,
) -> AsyncIterator[Telephone]:
    """A call that sends frames of silence (none at all if *silent*) from its beginning."""
    call_id = call_id or uuid.uuid4()
    async with await FakeAsterisk.dial(
        service.audiosocket_port, call_id, stays_after_end=stays_after_end
    ) as line:
        if not silent:
            line.talk()
        yield Telephone(line, call_id, service)


def duration(recording: Path) -> float:
    """Seconds of a WAV file. Raises wave.Error if it cannot be read."""
    with wave.open(str(recording), "rb") as file:
        frames = len(file.readframes(file.getnframes())) // (
            file.getnchannels() * file.getsampwidth()
        )
        assert frames == file.getnframes(), "the header says how much there is"
        return frames / file.getframerate()
