"""RTP packets (RFC 3550), as far as one A-law stream on a quiet network needs them."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final, Self

PCMA: Final = 8  #: payload type of A-law (RFC 3551)
_HEADER: Final = struct.Struct(">BBHII")
_VERSION_2: Final = 0x80


@dataclass(frozen=True, slots=True)
class RtpPacket:
    """RFC 3550 section 5.1, without CSRC list and extension, which nobody here sends."""

    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes
    marker: bool = False

    def encode(self) -> bytes:
        second = self.payload_type | self.marker << 7
        return (
            _HEADER.pack(_VERSION_2, second, self.sequence, self.timestamp, self.ssrc)
            + self.payload
        )

    @classmethod
    def decode(cls, datagram: bytes) -> Self:
        """Raises ValueError when *datagram* is not RTP version 2 as above."""
        if len(datagram) < _HEADER.size or datagram[0] != _VERSION_2:
            raise ValueError(f"not plain RTP: {datagram[:16].hex()}")
        _, second, sequence, timestamp, ssrc = _HEADER.unpack_from(datagram)
        payload = datagram[_HEADER.size :]
        return cls(second & 0x7F, sequence, timestamp, ssrc, payload, bool(second >> 7))
