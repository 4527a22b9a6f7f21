"""RTP as it passes on loopback, with the kernel's time stamps: who measures so adds nothing.

A packet socket sees each datagram when the kernel hands it to the receiver, however late that one
is to read it.
"""

from __future__ import annotations

import socket
import struct
import threading
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from voicebot.audio.pcm import SAMPLE_RATE, SAMPLE_WIDTH
from voicebot.sip.rtp import PCMA, RtpPacket

_ETH_P_IP = 0x0800
_SO_TIMESTAMPNS = 35  # asm-generic/socket.h; also the type of the message that carries it
_SO_RCVBUFFORCE = 33
_SOL_PACKET, _PACKET_STATISTICS = 263, 6  # linux/if_packet.h
_BUFFER = 16 << 20
_UDP = 17
_QUIET = 0.05  # seconds without a packet, after which all has been read
_TIMESPEC = struct.Struct("qq")


@dataclass(slots=True)
class Flow:
    """One direction of one call. Times are seconds of the clock."""

    arrivals: list[float] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    """Bytes of slin that each holds."""
    stamps: list[int] = field(default_factory=list)
    first: int = 0
    last: int = 0
    """Sequence numbers, counted on beyond 65535."""

    @property
    def lost(self) -> int:
        return self.last - self.first + 1 - len(self.arrivals)

    def jitter(self) -> float:
        """Interarrival jitter at the end, in seconds (RFC 3550, 6.4.1)."""
        estimate = 0.0
        for i in range(1, len(self.arrivals)):
            sent = (self.stamps[i] - self.stamps[i - 1]) / SAMPLE_RATE
            late = abs(self.arrivals[i] - self.arrivals[i - 1] - sent)
            estimate += (late - estimate) / 16
        return estimate

    def add(self, at: float, packet: RtpPacket) -> None:
        """The next one that arrived."""
        if not self.arrivals:
            self.first = self.last = packet.sequence
        else:
            self.last += (packet.sequence - self.last + 0x8000) % 0x10000 - 0x8000
        self.arrivals.append(at)
        self.stamps.append(packet.timestamp)
        self.sizes.append(SAMPLE_WIDTH * len(packet.payload))


class WireTap:
    """Context manager: notes A-law that leaves *ports* on loopback of this network namespace.
    Needs root. Leaving it raises ValueError if something passed unseen."""

    def __init__(self, ports: range) -> None:
        self._ports = ports
        self._flows: dict[tuple[int, int, int], Flow] = {}
        self._ending = threading.Event()

    def __enter__(self) -> Self:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_IP))
        self._socket.bind(("lo", _ETH_P_IP))
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        except PermissionError:  # root of a namespace only; what is lost then is noticed at the end
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._socket.settimeout(_QUIET)
        self._thread = threading.Thread(target=self._run, name="wire-tap")
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ending.set()
        self._thread.join()
        counts = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        self._socket.close()
        _, dropped = struct.unpack("II", counts)
        if dropped and kind is None:
            raise ValueError(f"{dropped} packets were not seen: this machine has too much to do")

    def flows(self) -> list[Flow]:
        """What was sent, a flow for each listener. After the end."""
        return list(self._flows.values())

    def _run(self) -> None:
        while True:
            try:
                packet, notes, _, _ = self._socket.recvmsg(256, 64)
            except TimeoutError:
                if self._ending.is_set():  # and nothing is waiting any more
                    return
                continue
            if packet[9] == _UDP:
                self._note(packet, notes)

    def _note(self, datagram: bytes, notes: list[tuple[int, int, bytes]]) -> None:
        header = 4 * (datagram[0] & 0x0F)
        source, target, length = struct.unpack_from(">HHH", datagram, header)
        if source not in self._ports:
            return
        try:
            packet = RtpPacket.decode(datagram[header + 8 : header + length])
        except ValueError:
            return
        if packet.payload_type == PCMA:  # what RTCP has there is none of a payload
            seconds, nanoseconds = _TIMESPEC.unpack(notes[0][2])
            flow = self._flows.setdefault((source, target, packet.ssrc), Flow())
            flow.add(seconds + nanoseconds / 1e9, packet)
