"""One telephone's audio: RTP on loopback, A-law, 20 ms a packet, digits by RFC 4733.

Sends a packet every 20 ms from ``start`` to ``close``: what was queued by ``play``, or what the
person at the handset says (``give_to``); silence otherwise, as a telephone does. Keeps every
packet it receives with its arrival time (``loop.time()``), so that a test can say what was
heard, when, and how evenly.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from tests.support.waiting import count_pieces, until
from voicebot.audio import alaw
from voicebot.audio.pcm import FRAME_BYTES, FRAME_SAMPLES, FRAME_SECONDS
from voicebot.simulator.leg import Handset
from voicebot.simulator.tape import Tape
from voicebot.sip.rtp import PCMA, RtpPacket

AUDIBLE = 1_000  #: a peak that everybody hears; 30 dB below full scale
TELEPHONE_EVENT = 101  #: payload type of digits, by our SDP
DIGITS = "0123456789*#ABCD"  #: in the order of RFC 4733's event codes
DIGIT_FRAMES = 5  # 100 ms a digit; Asterisk holds the shortest at 80 ms
GAP_FRAMES = 4  # 80 ms between two digits
END_PACKETS = 3  # RFC 4733 2.5.1.4: the end is said three times
DIGIT_VOLUME = 10  # -10 dBm0
_EVENT = struct.Struct(">BBH")
_RECEIVE_BUFFER = 1 << 20


@dataclass(frozen=True, slots=True)
class Heard:
    """A packet that arrived."""

    at: float
    packet: RtpPacket


class RtpStream(asyncio.DatagramProtocol):
    """Both directions of one call. Use ``open``; the caller owes ``close``."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.DatagramTransport | None = None
        self._remote: tuple[str, int] | None = None
        self._sender: asyncio.Task[None] | None = None
        self._sequence = random.getrandbits(15)
        self._timestamp = random.getrandbits(31)
        self._ssrc = random.getrandbits(32)
        self._speech = bytearray()
        self._events: deque[tuple[bytes, bool, int] | None] = deque()  # payload, marker, offset
        self._drained = asyncio.Event()
        self._handset: Handset | None = None
        self._tape: Tape | None = None
        self._hang_up: Callable[[], None] = lambda: None
        self.heard: list[Heard] = []
        self.port = 0

    @classmethod
    async def open(cls, address: str) -> RtpStream:
        """Bind a free port of *address*. Nothing is sent before ``start``."""
        loop = asyncio.get_running_loop()
        transport, stream = await loop.create_datagram_endpoint(cls, local_addr=(address, 0))
        handle = transport.get_extra_info("socket")
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        stream._transport, stream.port = transport, handle.getsockname()[1]
        return stream

    def start(self, remote: tuple[str, int]) -> None:
        """Send to *remote*, from now on; only redirects when it sends already."""
        self._remote = remote
        if self._sender is None:
            self._sender = self._loop.create_task(self._send())

    async def close(self) -> None:
        """Stop sending and free the port. What was heard stays."""
        if self._sender is not None:
            self._sender.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sender
        if self._transport is not None:
            self._transport.close()
        self._drained.set()

    # -- speaking

    def play(self, pcm: bytes) -> None:
        """Say *pcm* after what is queued already."""
        self._speech += pcm
        self._drained.clear()

    async def say(self, pcm: bytes) -> None:
        """Until *pcm* has been sent, in real time."""
        self.play(pcm)
        await self.spoken()

    def press(self, digits: str) -> None:
        """Press the keys of *digits*, one after the other; silent meanwhile."""
        for digit in digits:
            code = DIGITS.index(digit)
            for frame in range(DIGIT_FRAMES):
                payload = _EVENT.pack(code, DIGIT_VOLUME, (frame + 1) * FRAME_SAMPLES)
                self._events.append((payload, frame == 0, frame))
            last = _EVENT.pack(code, 0x80 | DIGIT_VOLUME, DIGIT_FRAMES * FRAME_SAMPLES)
            for extra in range(END_PACKETS):
                self._events.append((last, False, DIGIT_FRAMES + extra))
            self._events.extend([None] * GAP_FRAMES)
        self._drained.clear()

    def give_to(self, handset: Handset, tape: Tape, hang_up: Callable[[], None]) -> None:
        """From now on *handset* says what is sent and hears what comes; *tape* keeps both."""
        self._handset, self._tape, self._hang_up = handset, tape, hang_up

    def take_back(self) -> None:
        """End of ``give_to``: the test speaks again."""
        self._handset = None

    async def spoken(self, within: float = 30.0) -> None:
        """Until all that ``play`` and ``press`` queued has been sent."""
        async with asyncio.timeout(within):
            await self._drained.wait()

    async def _send(self) -> None:
        start = self._loop.time()
        slot = 0
        while True:
            self._send_slot(start + slot * FRAME_SECONDS)
            slot += 1
            await asyncio.sleep(max(0.0, start + slot * FRAME_SECONDS - self._loop.time()))

    def _send_slot(self, at: float) -> None:
        if self._handset is not None:
            self._ask(self._handset, at)
        kind, marker, timestamp = PCMA, False, self._timestamp
        event = self._events.popleft() if self._events else None
        if event is not None:
            payload, marker, offset = event
            kind = TELEPHONE_EVENT
            timestamp -= offset * FRAME_SAMPLES  # all packets of a digit carry its start
        else:
            frame = bytes(self._speech[:FRAME_BYTES]).ljust(FRAME_BYTES, b"\0")
            del self._speech[:FRAME_BYTES]
            payload = alaw.encode(frame)
        packet = RtpPacket(
            kind, self._sequence & 0xFFFF, timestamp & 0xFFFFFFFF, self._ssrc, payload, marker
        )
        assert self._transport is not None
        self._transport.sendto(packet.encode(), self._remote)
        self._sequence += 1
        self._timestamp += FRAME_SAMPLES
        if not self._speech and not self._events:
            self._drained.set()

    def _ask(self, handset: Handset, at: float) -> None:
        """Queue what the person at the handset does in the slot that begins at *at*."""
        frame = handset.next_frame(at)
        if self._tape is not None:
            self._tape.sent(frame)
        digit = handset.next_digit(at)
        if digit is not None:
            self.press(digit)
        if not self._events:
            self._speech[:] = frame
        if handset.wants_hangup(at):
            self._hang_up()

    # -- hearing

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        with contextlib.suppress(ValueError):  # RTCP, on a port next to nobody's
            packet = RtpPacket.decode(data)
            if packet.payload_type == PCMA:
                now = self._loop.time()
                self.heard.append(Heard(now, packet))
                if self._handset is not None and self._tape is not None:
                    pcm = alaw.decode(packet.payload)
                    self._tape.received(pcm, now)
                    self._handset.frame_heard(pcm, now)

    def error_received(self, exc: Exception) -> None:
        """The other side's port is closed: ordinary at the end of a call."""

    def audio(self, since: float = 0.0) -> bytes:
        """Slin of all that arrived after *since* (``loop.time()``), in order of arrival."""
        return alaw.decode(self._codes(since))

    def _codes(self, since: float = 0.0) -> bytes:
        return b"".join(h.packet.payload for h in self.heard if h.at >= since)

    def loudest(self, since: float = 0.0) -> int:
        """The peak of all that arrived after *since*, 0 to 32767; A-law silence has 8."""
        samples = struct.iter_unpack("<h", self.audio(since))
        return max((abs(sample) for (sample,) in samples), default=0)

    async def hears(self, pcm: bytes, within: float = 10.0) -> None:
        """Until *pcm* has been heard, bit for bit (A-law's rounding apart).

        Raises TimeoutError.
        """
        wanted = alaw.encode(pcm)
        await until(
            lambda: wanted in self._codes(),
            within,
            "the telephone hears that speech",
            lambda: f"({count_pieces(wanted, self._codes(), FRAME_SAMPLES)})",
        )

    def rate(self, since: float, until: float) -> float:
        """Packets a second that arrived between the two times; 50 is a whole stream."""
        return sum(since <= h.at < until for h in self.heard) / (until - since)
