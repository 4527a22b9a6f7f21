"""Asterisk's end of one AudioSocket call, with Asterisk's own severity.

A double of ``AudioSocket()`` in Asterisk 22.10 (``apps/app_audiosocket.c``,
``res/res_audiosocket.c``), for tests that need the real rules and not the real program:

* it connects, sends the call's UUID at once, then the caller's audio and keys;
* it takes the end message and audio of 1 to 65,535 bytes, nothing else: any other kind, and audio
  of length 0, hang up on the caller;
* the end message, or a plain close, lets the dialplan go on; a reset hangs up on the caller;
* two seconds in which neither side sends anything hang up on the caller;
* it never sends the end message: when the caller hangs up, it closes.

Its parser is its own, on purpose: a mistake shared with the code under test would hide itself.
Not modelled: a payload that follows its header by more than 5 ms ends a real call (a busy test
machine is slower than that between two reads), and audio is kept instead of becoming RTP.

Use::

    async with await FakeAsterisk.dial(port) as asterisk:
        asterisk.talk()
        assert await asterisk.finished() is Outcome.CONTINUES
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Self

from tests.support.waiting import until
from voicebot.audio.pcm import FRAME_BYTES, FRAME_SECONDS

NO_ACTIVITY_SECONDS = 2.0  # MAX_WAIT_TIMEOUT_MSEC
_END, _UUID, _DTMF, _SLIN = 0x00, 0x01, 0x03, range(0x10, 0x19)


class Outcome(Enum):
    """What the dialplan saw."""

    CONTINUES = "the dialplan goes on"
    CALLER_DROPPED = "AudioSocket() failed: the caller was hung up on"
    CALLER_LEFT = "the caller hung up"


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the server's, and when it was complete (monotonic seconds)."""

    at: float
    kind: int
    payload: bytes


class FakeAsterisk:
    """One call. ``received`` grows as the server sends; ``reason`` explains the outcome."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        stays_after_end: float,
    ) -> None:
        self.received: list[Message] = []
        self.reason = ""
        self._reader = reader
        self._writer = writer
        self._stays_after_end = stays_after_end
        self._outcome: Outcome | None = None
        self._active = time.monotonic()
        self._talking: asyncio.Task[None] | None = None
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def dial(
        cls,
        port: int,
        call_id: uuid.UUID | None = None,
        *,
        named: bool = True,
        stays_after_end: float = 0.0,
    ) -> Self:
        """Connect, and name the call unless told not to.

        A real Asterisk closes at once after the end message; with *stays_after_end* it goes on
        sending for that many seconds, as it may when its thread is late.
        """
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        asterisk = cls(reader, writer, stays_after_end=stays_after_end)
        if named:
            asterisk.send(bytes((_UUID, 0, 16)) + (call_id or uuid.uuid4()).bytes)
        return asterisk

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in (self._talking, self._listening):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    # -- what the caller does

    def send(self, data: bytes) -> None:
        """Any bytes, right or wrong."""
        self._active = time.monotonic()
        if not self._writer.is_closing():
            self._writer.write(data)

    def say(self, pcm: bytes, kind: int = 0x10) -> None:
        """One audio message."""
        self.send(bytes((kind,)) + len(pcm).to_bytes(2, "big") + pcm)

    def press(self, digit: str) -> None:
        self.send(bytes((_DTMF, 0, 1)) + digit.encode("ascii"))

    def talk(self, pcm: bytes = b"") -> None:
        """Send *pcm* as 20 ms frames in real time, then silence, until the call is over."""
        self._talking = asyncio.create_task(self._talk(pcm))

    def hang_up(self) -> None:
        """The caller hangs up: Asterisk closes."""
        self._end(Outcome.CALLER_LEFT, "caller hung up")

    def stop_sending(self) -> None:
        """Close one direction only; no Asterisk does, but it makes an end without a reset."""
        self._writer.write_eof()

    # -- what came of it

    @property
    def audio(self) -> bytes:
        """All audio the caller was sent."""
        return b"".join(m.payload for m in self.received if m.kind in _SLIN)

    @property
    def ended_by_server(self) -> bool:
        return any(m.kind == _END for m in self.received)

    async def heard(self, messages: int, seconds: float = 5.0) -> None:
        """Wait until so many messages have come."""
        await until(lambda: len(self.received) >= messages, seconds, f"{messages} messages")

    async def finished(self, seconds: float = 5.0) -> Outcome:
        """Wait for the end of the call."""
        async with asyncio.timeout(seconds):
            await asyncio.shield(self._listening)
        assert self._outcome is not None
        return self._outcome

    # -- inside

    def _end(self, outcome: Outcome, reason: str) -> None:
        if self._outcome is None:
            self._outcome, self.reason = outcome, reason
        self._writer.close()

    async def _talk(self, pcm: bytes) -> None:
        due = time.monotonic()
        at = 0
        while not self._writer.is_closing():
            self.say(pcm[at : at + FRAME_BYTES].ljust(FRAME_BYTES, b"\0"))
            at += FRAME_BYTES
            due += FRAME_SECONDS
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _listen(self) -> None:
        try:
            while self._outcome is None:
                self._obey(await self._message())
            if self.ended_by_server and self._stays_after_end:
                await self._expect_only_eof()
        except asyncio.IncompleteReadError as error:
            if error.partial:
                self._end(Outcome.CALLER_DROPPED, "the server closed inside a message")
            else:
                self._end(Outcome.CONTINUES, "the server closed")
        except TimeoutError:
            self._end(Outcome.CALLER_DROPPED, "no activity for 2 s")
        except ConnectionError as error:
            self._end(Outcome.CALLER_DROPPED, f"reset: {error}")
        self._writer.close()

    async def _expect_only_eof(self) -> None:
        """Go on a while; the server must keep reading, or its kernel resets the connection."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._stays_after_end):
                late = await self._reader.read()
                assert not late, "the server spoke after its end message"
                self.reason = "the server closed first after the end"

    async def _message(self) -> Message:
        header = await self._read(3)
        payload = await self._read(int.from_bytes(header[1:], "big"))
        return Message(time.monotonic(), header[0], payload)

    async def _read(self, size: int) -> bytes:
        reading = asyncio.ensure_future(self._reader.readexactly(size))
        try:
            while True:
                left = self._active + NO_ACTIVITY_SECONDS - time.monotonic()
                done, _ = await asyncio.wait({reading}, timeout=max(0.0, left))
                if done:
                    self._active = time.monotonic()
                    return reading.result()
                if time.monotonic() - self._active >= NO_ACTIVITY_SECONDS:
                    raise TimeoutError
        finally:
            reading.cancel()

    def _obey(self, message: Message) -> None:
        self.received.append(message)
        if message.kind == _END:
            self._outcome, self.reason = Outcome.CONTINUES, "end message"
        elif message.kind not in _SLIN:
            self._end(Outcome.CALLER_DROPPED, f"message of kind 0x{message.kind:02x}")
        elif not message.payload:
            self._end(Outcome.CALLER_DROPPED, "audio of length 0")
