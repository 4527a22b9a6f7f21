"""A real server on loopback that holds real connections, with scripted calls behind it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
import structlog
import uvloop
from structlog.typing import EventDict

from tests.support.waiting import until
from voicebot.call.transport import AudioSocketConnection, CallHandler
from voicebot.telemetry.metrics import Metrics


class Call:
    """A call handler that records, and does what the test tells it to."""

    def __init__(self, connection: AudioSocketConnection) -> None:
        self.connection = connection
        self.playout: list[bytes] = []
        self.slots = 0
        self.heard = b""
        self.digits = ""
        self.losses: list[Exception | None] = []
        self.lost = asyncio.Event()
        self.on_frame: Callable[[Call], None] = lambda call: None
        self.on_audio: Callable[[Call], None] = lambda call: None

    def next_frame(self) -> bytes | None:
        self.slots += 1
        self.on_frame(self)
        return self.playout.pop(0) if self.playout else None

    def audio_received(self, pcm: bytes, now: float) -> None:
        assert not self.losses, "connection_lost is the last call"
        assert pcm
        assert len(pcm) % 2 == 0
        self.heard += pcm
        self.on_audio(self)

    def digit_received(self, digit: str, now: float) -> None:
        self.digits += digit

    def connection_lost(self, error: Exception | None) -> None:
        self.losses.append(error)
        self.lost.set()


class Bot:
    """The server; ``admit`` decides about each call, every connection is remembered."""

    def __init__(self) -> None:
        self.port = 0
        self.metrics = Metrics()
        self.connections: list[AudioSocketConnection] = []
        self.calls: list[Call] = []
        self.admit: Callable[[uuid.UUID], bool] = lambda call_id: True
        self.prepare: Callable[[Call], None] = lambda call: None

    def make(self) -> AudioSocketConnection:
        connection = AudioSocketConnection(self.accept, self.metrics, asyncio.get_running_loop())
        self.connections.append(connection)
        return connection

    def accept(self, call_id: uuid.UUID, connection: AudioSocketConnection) -> CallHandler | None:
        if not self.admit(call_id):
            return None
        call = Call(connection)
        self.calls.append(call)
        self.prepare(call)
        return call

    async def call(self) -> Call:
        """The first call, once it has begun."""
        await until(lambda: bool(self.calls), 5, "a call")
        return self.calls[0]

    def count(self, name: str, **labels: str) -> float:
        value = self.metrics.registry.get_sample_value(f"voicebot_{name}", labels)
        assert value is not None, name
        return value


@asynccontextmanager
async def serving() -> Any:
    bot = Bot()
    server = await asyncio.get_running_loop().create_server(bot.make, "127.0.0.1", 0)
    bot.port = server.sockets[0].getsockname()[1]
    try:
        yield bot
    finally:
        server.close()
        await server.wait_closed()
        for connection in bot.connections:
            connection.abort()
        await asyncio.sleep(0)


Scenario = Callable[[Bot], Coroutine[Any, Any, None]]


@pytest.fixture
def play() -> Callable[[Scenario], None]:
    """Run a scenario against a fresh server, on the loop the service uses."""

    def run(scenario: Scenario) -> None:
        async def main() -> None:
            server: AbstractAsyncContextManager[Bot] = serving()
            async with asyncio.timeout(30), server as bot:
                await scenario(bot)

        uvloop.run(main())

    return run


@pytest.fixture
def logged() -> Any:
    """Log lines as dictionaries."""
    with structlog.testing.capture_logs() as lines:
        yield lines


def events(lines: list[EventDict]) -> list[str]:
    return [line["event"] for line in lines if line["log_level"] != "debug"]
