"""The audio of one SIP call: A-law in RTP, a packet each 20 ms of an absolute clock."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from voicebot.audio import alaw
from voicebot.audio.pcm import FRAME_SAMPLES, FRAME_SECONDS
from voicebot.simulator.leg import Handset
from voicebot.simulator.tape import Tape
from voicebot.sip.rtp import PCMA, RtpPacket

Address = tuple[str, int]


class Media(asyncio.DatagramProtocol):
    """The call's audio: a packet each 20 ms of an absolute clock."""

    def __init__(self, handset: Handset, tape: Tape, hang_up: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._handset = handset
        self._tape = tape
        self._hang_up = hang_up
        self._transport: asyncio.DatagramTransport | None = None
        self._remote: Address | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._sequence = random.getrandbits(15)
        self._timestamp = random.getrandbits(31)
        self._ssrc = random.getrandbits(32)
        self.port = 0

    @classmethod
    async def open(
        cls, source: str, handset: Handset, tape: Tape, hang_up: Callable[[], None]
    ) -> Media:
        """Bind a free port of *source*; nothing is sent before :meth:`start`. Raises OSError."""
        loop = asyncio.get_running_loop()
        transport, media = await loop.create_datagram_endpoint(
            lambda: cls(handset, tape, hang_up), local_addr=(source, 0)
        )
        media._transport = transport
        media.port = transport.get_extra_info("sockname")[1]
        return media

    def start(self, remote: Address) -> None:
        """Send to *remote* from now on; only redirects if it sends already."""
        self._remote = remote
        if self._timer is None:
            self._due = self._loop.time()
            self._tick()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._remote = None

    def close(self) -> None:
        self.stop()
        if self._transport is not None:
            self._transport.close()

    def _tick(self) -> None:
        now = self._loop.time()
        while self._due <= now and self._remote is not None:
            self._slot(self._due)
            self._due += FRAME_SECONDS
        if self._remote is not None:
            self._timer = self._loop.call_at(self._due, self._tick)

    def _slot(self, at: float) -> None:
        frame = self._handset.next_frame(at)
        self._tape.sent(frame)
        packet = RtpPacket(
            PCMA,
            self._sequence & 0xFFFF,
            self._timestamp & 0xFFFFFFFF,
            self._ssrc,
            alaw.encode(frame),
        )
        assert self._transport is not None, "open() made it"
        self._transport.sendto(packet.encode(), self._remote)
        self._sequence += 1
        self._timestamp += FRAME_SAMPLES
        if self._handset.wants_hangup(at):
            self._hang_up()

    def datagram_received(self, data: bytes, addr: Address) -> None:
        try:
            packet = RtpPacket.decode(data)
        except ValueError:
            return  # RTCP
        if packet.payload_type == PCMA:
            now, pcm = self._loop.time(), alaw.decode(packet.payload)
            self._tape.received(pcm, now)
            self._handset.frame_heard(pcm, now)

    def error_received(self, exc: Exception) -> None:
        """Asterisk has closed its port: ordinary at the end of a call."""
