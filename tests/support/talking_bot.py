"""A voicebot of a few lines: speaks in tones, on cue, over real sockets of loopback.

It has the two doors the simulated customer knows: AudioSocket, and the event feed of the control
API. What it does in a call is a list of acts, so a test knows exactly what there was to measure.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from types import TracebackType

from tests.support.stage import LOUD_FRAME
from voicebot.audio.pcm import FRAME_SECONDS, SILENCE_FRAME
from voicebot.audiosocket.protocol import (
    AudioReceived,
    AudioSocketProtocol,
    CallIdentified,
    DigitReceived,
    Event,
    Role,
)
from voicebot.simulator.customer import is_audible

LOOPBACK = "127.0.0.1"

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True)
class Say:
    """Speak: publish *text*, sound for *seconds* (or as long as a quick voice would need for it);
    cut short by the caller if *yields*."""

    text: str
    seconds: float | None = None
    yields: bool = False


@dataclass(frozen=True)
class Hear:
    """Wait until the caller has spoken and been silent for *pause*; understand *text*."""

    text: str = ""
    pause: float = 0.3


@dataclass(frozen=True)
class Dialled:
    """Wait for this many keys."""

    keys: int


@dataclass(frozen=True)
class Enter:
    """Publish a state."""

    state: str


@dataclass(frozen=True)
class End:
    """Publish the outcome and hang up."""

    outcome: str = "completed"


@dataclass(frozen=True)
class Send:
    """Write these very bytes."""

    data: bytes


@dataclass(frozen=True)
class Reset:
    """Break the connection."""


Act = Say | Hear | Dialled | Enter | End | Send | Reset


class _Call:
    """One caller."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._protocol = AudioSocketProtocol(Role.SERVER)
        self._loop = asyncio.get_running_loop()
        self._due = self._loop.time()
        self._loud_at = float("-inf")
        self.keys = ""
        self.id: asyncio.Future[uuid.UUID] = self._loop.create_future()
        self.closed = asyncio.Event()

    async def listen(self) -> None:
        try:
            while data := await self._reader.read(65_536):
                for event in self._protocol.receive_data(data):
                    self._take(event)
        except ConnectionError:
            pass
        finally:
            self.closed.set()

    def _take(self, event: Event) -> None:
        match event:
            case CallIdentified(call_id):
                self.id.set_result(call_id)
            case AudioReceived(pcm, _) if is_audible(pcm):
                self._loud_at = self._loop.time()
            case DigitReceived(digit):
                self.keys += digit

    async def say(self, seconds: float, yields: bool) -> bool:
        """Sound for *seconds*; True if the caller cut it short."""
        for _ in range(round(seconds / FRAME_SECONDS)):
            await self.frame(LOUD_FRAME)
            if yields and self._loop.time() - self._loud_at < 0.1:
                return True
        return False

    async def hear(self, pause: float) -> None:
        while self._loop.time() - self._loud_at > 0.1:
            await self.frame(SILENCE_FRAME)
        while self._loop.time() - self._loud_at < pause:
            await self.frame(SILENCE_FRAME)

    async def dialled(self, keys: int) -> None:
        while len(self.keys) < keys:
            await self.frame(SILENCE_FRAME)

    async def frame(self, pcm: bytes) -> None:
        self._due += FRAME_SECONDS
        await asyncio.sleep(self._due - self._loop.time())
        if self.closed.is_set():
            raise ConnectionError("the caller hung up")
        self._writer.write(self._protocol.send_audio(pcm))

    def end(self) -> None:
        self._writer.write(self._protocol.hang_up())

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    def reset(self) -> None:
        """Break the connection as a crash does: without linger, closing sends RST."""
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


class TalkingBot:
    """``async with TalkingBot(acts) as bot``: every caller gets the same acts.

    ``port`` and ``control_port`` are where it listens; ``keys`` is what callers dialled.
    """

    def __init__(self, acts: Sequence[Act]) -> None:
        self._acts = acts
        self._feeds: dict[str, list[dict[str, object]]] = {}
        self._news = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()
        self.keys: list[str] = []
        self.lost = 0
        """Callers who hung up before the acts were over."""

    async def __aenter__(self) -> TalkingBot:
        self._audio = await asyncio.start_server(self._serve(self._call), LOOPBACK, 0)
        self._control = await asyncio.start_server(self._serve(self._request), LOOPBACK, 0)
        self.port: int = self._audio.sockets[0].getsockname()[1]
        self.control_port: int = self._control.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._audio.close()
        self._control.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _serve(self, handler: Handler) -> Handler:
        """Own the task of each connection, and close it whatever happens."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._tasks.add(task)
            try:
                await handler(reader, writer)
            finally:
                writer.close()
                self._tasks.discard(task)

        return serve

    async def _call(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        call = _Call(reader, writer)
        listening = asyncio.ensure_future(call.listen())
        try:
            feed = self._feeds.setdefault(str(await call.id), [])
            try:
                await self._perform(call, feed)
            except ConnectionError:
                self.lost += 1
                await self._publish(feed, "ended", outcome="caller_hangup")
            await call.closed.wait()
            self.keys.append(call.keys)
        finally:
            listening.cancel()

    async def _perform(self, call: _Call, feed: list[dict[str, object]]) -> None:
        for act in self._acts:
            match act:
                case Say(text, seconds, yields):
                    await self._publish(feed, "bot_said", text=text)
                    if await call.say(seconds or 0.1 + len(text) / 25, yields):
                        await self._publish(feed, "bot_cut", text=text[: len(text) // 2])
                case Hear(text, pause):
                    await call.hear(pause)
                    await self._publish(feed, "caller_said", text=text)
                case Dialled(keys):
                    await call.dialled(keys)
                case Enter(state):
                    await self._publish(feed, "state", state=state)
                case End(outcome):
                    await self._publish(feed, "ended", outcome=outcome)
                    call.end()
                case Send(data):
                    call.send(data)
                case Reset():
                    call.reset()

    async def _publish(self, feed: list[dict[str, object]], event: str, **fields: object) -> None:
        async with self._news:
            feed.append({"t": 0.0, "event": event, **fields})
            self._news.notify_all()

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readline()).split()[1].decode()
        while (await reader.readline()).strip():
            pass
        parts = path.split("/")
        feed = self._feeds.get(parts[3]) if len(parts) > 3 else None
        if path == "/v1/calls" or feed is not None:
            writer.write(b"HTTP/1.0 200 OK\r\n\r\n")
        else:
            writer.write(b"HTTP/1.0 404 Not Found\r\n\r\n")
        sent = 0
        while feed is not None:
            for event in feed[sent:]:
                writer.write(json.dumps(event).encode() + b"\n")
            sent = len(feed)
            await writer.drain()
            if feed and feed[-1]["event"] == "ended":
                return
            async with self._news:
                while len(feed) == sent:
                    await self._news.wait()
