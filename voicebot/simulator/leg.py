"""The customer's telephone line: one AudioSocket connection, seen from Asterisk's end.

It does what Asterisk does and no more: names the call, sends a 20 ms frame in each slot of an
absolute clock from the first moment, passes keys on, reads everything at once, and closes the
connection when either side hangs up. It must not know what is said. After a stall of this
process every slot that was missed is sent, as a telephone's packets would have come.
"""

from __future__ import annotations

import asyncio
import uuid
from array import array
from enum import Enum
from typing import Protocol, cast

from voicebot.audio.pcm import FRAME_SECONDS, SAMPLE_RATE
from voicebot.audiosocket.protocol import (
    AudioReceived,
    AudioSocketProtocol,
    Event,
    HangupReceived,
    PeerClosed,
    RemoteProtocolError,
    Role,
)
from voicebot.simulator.tape import Tape


class End(Enum):
    """Who ended the call."""

    BOT = "bot"
    CALLER = "caller"
    LOST = "connection lost"
    """The service broke the connection or the protocol: Asterisk would go to a person."""
    LIMIT = "time limit of the scenario"


class Handset(Protocol):
    """Who speaks and listens on the line; see :class:`voicebot.simulator.customer.Customer`."""

    def frame_heard(self, pcm: bytes, now: float) -> None: ...
    def next_frame(self, now: float) -> bytes: ...
    def next_digit(self, now: float) -> str | None: ...
    def wants_hangup(self, now: float) -> bool: ...


class AudioSocketLeg(asyncio.Protocol):
    """One call. Await ``ended``; read ``tape`` and ``fault`` then. See :func:`dial`."""

    def __init__(
        self,
        call_id: uuid.UUID,
        handset: Handset,
        tape: Tape,
        limit: float,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._call_id = call_id
        self._handset = handset
        self._tape = tape
        self._limit = limit
        self._loop = loop
        self._protocol = AudioSocketProtocol(Role.ASTERISK)
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due = tape.start
        self._end: End | None = None
        self.ended: asyncio.Future[End] = loop.create_future()
        """Done when the connection is closed."""
        self.fault = ""
        """What broke the connection, for ``End.LOST``."""
        self.send_lateness = array("d")
        """Of each frame sent, seconds after its slot: the simulator's own punctuality."""

    def hang_up(self, end: End = End.CALLER, fault: str = "") -> None:
        """Close the line, as Asterisk does when its caller hangs up. Idempotent."""
        if self._end is None:
            self._end = end
            self.fault = fault
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.close()

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._protocol.send_uuid(self._call_id))
        self._tick()

    def data_received(self, data: bytes) -> None:
        now = self._loop.time()
        try:
            events = self._protocol.receive_data(data)
        except RemoteProtocolError as error:
            self._take(error.events, now)
            self.hang_up(End.LOST, f"the service broke the protocol: {error}")
            return
        self._take(events, now)

    def eof_received(self) -> None:
        self._take(self._protocol.receive_eof(), self._loop.time())

    def connection_lost(self, exc: Exception | None) -> None:
        self.hang_up(End.LOST, f"the connection was reset: {exc}" if exc else "")
        if not self.ended.done():
            self.ended.set_result(self._end or End.LOST)

    # -- the two directions

    def _take(self, events: list[Event], now: float) -> None:
        for event in events:
            match event:
                case AudioReceived(pcm, rate) if rate == SAMPLE_RATE:
                    self._tape.received(pcm, now)
                    self._handset.frame_heard(pcm, now)
                case AudioReceived(_, rate):
                    self.hang_up(End.LOST, f"the service sent audio at {rate} Hz, not 8000")
                case HangupReceived():
                    self.hang_up(End.BOT)
                case PeerClosed(clean):
                    # Asterisk takes a clean close without the end message for the end, too.
                    cut = "" if clean else "the service closed in the middle of a message"
                    self.hang_up(End.BOT if clean else End.LOST, cut)

    def _tick(self) -> None:
        now = self._loop.time()
        while self._due <= now and self._end is None:
            self.send_lateness.append(now - self._due)
            self._slot(self._due)
            self._due += FRAME_SECONDS
        if self._end is None:
            self._timer = self._loop.call_at(self._due, self._tick)

    def _slot(self, at: float) -> None:
        assert self._transport is not None, "slots begin when the connection is made"
        pcm = self._handset.next_frame(at)
        self._tape.sent(pcm)
        self._transport.write(self._protocol.send_audio(pcm))
        digit = self._handset.next_digit(at)
        if digit is not None:
            self._transport.write(self._protocol.send_digit(digit))
        if self._handset.wants_hangup(at):
            self.hang_up(End.CALLER)
        elif at - self._tape.start >= self._limit:
            self.hang_up(End.LIMIT)


async def dial(
    host: str, port: int, call_id: uuid.UUID, handset: Handset, tape: Tape, limit: float
) -> AudioSocketLeg:
    """Connect and start sending; the first slot is the tape's start. Raises OSError."""
    loop = asyncio.get_running_loop()
    _, leg = await loop.create_connection(
        lambda: AudioSocketLeg(call_id, handset, tape, limit, loop), host, port
    )
    return leg
