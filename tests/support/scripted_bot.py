"""The voicebot's side of the line, driven by a test: an AudioSocket server and its control API.

It parses and builds the wire format by itself, from Asterisk's ``res/res_audiosocket.c``, and
shares no code with the service: it is what the tests of Asterisk's behaviour measure with. It
sends a frame every 20 ms from the moment Asterisk connects, as the service does.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from tests.support.waiting import count_pieces, until
from voicebot.audio.pcm import BYTES_PER_SECOND, FRAME_BYTES, FRAME_SECONDS

HANGUP, UUID, DIGIT, AUDIO = 0x00, 0x01, 0x03, 0x10
END = bytes(3)
_HEADER = struct.Struct(">BH")


@dataclass(slots=True, eq=False)
class BotCall:
    """One AudioSocket connection. Times are ``loop.time()``."""

    writer: asyncio.StreamWriter
    connected_at: float
    call_id: uuid.UUID | None = None
    received: bytearray = field(default_factory=bytearray)  # every byte, as it came
    kinds: list[int] = field(default_factory=list)
    frames: list[bytes] = field(default_factory=list)
    digits: str = ""
    closed_at: float | None = None  # when Asterisk closed its side
    speech: bytearray = field(default_factory=bytearray)
    silent: bool = False  # send nothing at all, not even silence
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    async def say(self, pcm: bytes) -> None:
        """Until *pcm* has been sent, in real time."""
        self.speech += pcm
        seconds = len(self.speech) / BYTES_PER_SECOND
        await until(lambda: not self.speech or self.closed.is_set(), seconds + 2, "all said")

    async def hears(self, pcm: bytes, within: float = 10.0) -> None:
        """Until *pcm* has come from the caller, bit for bit. Raises TimeoutError."""

        def came() -> bytes:
            return b"".join(self.frames)

        await until(
            lambda: pcm in came(),
            within,
            "the bot hears that speech",
            lambda: f"({count_pieces(pcm, came(), FRAME_BYTES)}, of {len(self.frames)} frames)",
        )

    async def dialled(self, digits: str, within: float = 10.0) -> None:
        """Until *digits* have come. Raises TimeoutError."""
        await until(lambda: self.digits == digits, within, f"the bot gets digits {digits}")

    async def end(self, within: float = 2.0) -> float:
        """End properly: end message, then wait for Asterisk to close. When it was sent."""
        sent_at = asyncio.get_running_loop().time()
        self.silent = True
        self.writer.write(END)
        await self.ended(within)
        return sent_at

    async def ended(self, within: float = 10.0) -> float:
        """Until Asterisk has closed the connection; the time it did."""
        async with asyncio.timeout(within):
            await self.closed.wait()
        assert self.closed_at is not None
        return self.closed_at

    def reset(self) -> float:
        """Die as a killed process does with unread audio: RST. The time."""
        self.silent = True
        handle = self.writer.get_extra_info("socket")
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()
        return asyncio.get_running_loop().time()


class ScriptedBot:
    """Async context manager: listens on two free loopback ports.

    ``next_action`` is what the control API answers: "transfer", "hangup", or None to accept
    the request and never answer. With ``refuse`` set, calls are turned away as a full service
    does: the end message as soon as the call is identified.
    """

    def __init__(self, next_action: str | None = "hangup", *, refuse: bool = False) -> None:
        self.next_action = next_action
        self.refuse = refuse
        self.calls: list[BotCall] = []
        self.asked: list[str] = []  # the paths of the control requests
        self.audiosocket_port = 0
        self.control_port = 0
        self._arrived: asyncio.Queue[BotCall] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._servers = [
            await asyncio.start_server(self._audiosocket, "127.0.0.1", 0),
            await asyncio.start_server(self._control, "127.0.0.1", 0),
        ]
        ports = [server.sockets[0].getsockname()[1] for server in self._servers]
        self.audiosocket_port, self.control_port = ports
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for server in self._servers:
            server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def next_call(self, within: float = 5.0) -> BotCall:
        """The next connection that has said which call it is."""
        async with asyncio.timeout(within):
            return await self._arrived.get()

    # -- AudioSocket

    async def _audiosocket(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        call = BotCall(writer, self._loop.time())
        self.calls.append(call)
        with self._own_task():
            sender = asyncio.create_task(self._send(call))
            try:
                await self._receive(call, reader)
            finally:
                call.closed_at = self._loop.time()
                call.closed.set()
                sender.cancel()
                writer.close()
                with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                    await writer.wait_closed()

    async def _receive(self, call: BotCall, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                header = await reader.readexactly(_HEADER.size)
                kind, size = _HEADER.unpack(header)
                payload = await reader.readexactly(size)
                call.received += header + payload
                call.kinds.append(kind)
                self._take(call, kind, payload)

    def _take(self, call: BotCall, kind: int, payload: bytes) -> None:
        if kind == UUID:
            call.call_id = uuid.UUID(bytes=payload)
            if self.refuse:
                call.silent = True
                call.writer.write(END)
            self._arrived.put_nowait(call)
        elif kind == DIGIT:
            call.digits += payload.decode("ascii")
        elif kind == AUDIO:
            call.frames.append(payload)

    async def _send(self, call: BotCall) -> None:
        start, slot = self._loop.time(), 0
        while True:
            if not call.silent:
                frame = bytes(call.speech[:FRAME_BYTES]).ljust(FRAME_BYTES, b"\0")
                del call.speech[:FRAME_BYTES]
                call.writer.write(_HEADER.pack(AUDIO, FRAME_BYTES) + frame)
            slot += 1
            await asyncio.sleep(max(0.0, start + slot * FRAME_SECONDS - self._loop.time()))

    # -- control API

    async def _control(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with self._own_task():
            try:
                head = await reader.readuntil(b"\r\n\r\n")
                self.asked.append(head.split()[1].decode())
                if self.next_action is None:
                    await asyncio.Event().wait()
                else:
                    body = self.next_action.encode()
                    writer.write(
                        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
                    )
                    await writer.drain()
            except (asyncio.IncompleteReadError, ConnectionError):
                pass  # Asterisk gave up waiting
            finally:
                writer.close()

    @contextlib.contextmanager
    def _own_task(self) -> Iterator[None]:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            yield
        except asyncio.CancelledError:
            pass  # the server closes; asyncio's own callback would report it as a fault
        finally:
            self._tasks.discard(task)
