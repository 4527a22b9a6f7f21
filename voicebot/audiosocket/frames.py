"""AudioSocket's messages as bytes: a kind, a length, a payload.

``kind (1 byte) | length (2 bytes, big endian) | payload``, the same in both directions. Audio
samples inside the payload are *little* endian (Asterisk: ``include/asterisk/res_audiosocket.h``,
``res/res_audiosocket.c``). This module knows the layout and nothing of who may send what when:
that is :mod:`voicebot.audiosocket.protocol`.
"""

from __future__ import annotations

import struct
import uuid
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

_HEADER: Final = struct.Struct(">BH")
HEADER_BYTES: Final = _HEADER.size
MAX_PAYLOAD: Final = 0xFFFF


class Kind(IntEnum):
    """First byte of a message. The slin kinds say the sample rate."""

    HANGUP = 0x00
    UUID = 0x01
    DTMF = 0x03
    SLIN8 = 0x10
    SLIN12 = 0x11
    SLIN16 = 0x12
    SLIN24 = 0x13
    SLIN32 = 0x14
    SLIN44 = 0x15
    SLIN48 = 0x16
    SLIN96 = 0x17
    SLIN192 = 0x18
    ERROR = 0xFF  # in Asterisk's header file; none of its code sends it


#: Hertz for each audio kind. The dialplan application only ever sends SLIN8.
SLIN_RATES: Final[dict[int, int]] = {
    Kind.SLIN8: 8_000,
    Kind.SLIN12: 12_000,
    Kind.SLIN16: 16_000,
    Kind.SLIN24: 24_000,
    Kind.SLIN32: 32_000,
    Kind.SLIN44: 44_100,
    Kind.SLIN48: 48_000,
    Kind.SLIN96: 96_000,
    Kind.SLIN192: 192_000,
}


@dataclass(frozen=True, slots=True)
class Frame:
    """One message. *kind* is any byte: peers may send kinds that :class:`Kind` lacks."""

    kind: int
    payload: bytes

    def __str__(self) -> str:
        """For a log line. Shows no payload but a call's UUID: digits are personal data."""
        if self.kind == Kind.UUID and len(self.payload) == 16:
            return f"UUID {uuid.UUID(bytes=self.payload)}"
        return f"{kind_name(self.kind)} ({len(self.payload)} bytes)"


def kind_name(kind: int) -> str:
    """``SLIN8`` for 0x10, ``kind 0x47`` for one that is not AudioSocket's."""
    try:
        return Kind(kind).name
    except ValueError:
        return f"kind 0x{kind:02x}"


def encode(kind: int, payload: bytes = b"") -> bytes:
    """The bytes of one message, to be written in *one* call.

    Asterisk gives up on a payload that follows its header by more than 5 ms, and some versions
    misread a header that arrives in two pieces. Raises ValueError above 65,535 bytes.
    """
    if len(payload) > MAX_PAYLOAD:
        raise ValueError(f"a payload holds at most {MAX_PAYLOAD} bytes, not {len(payload)}")
    return _HEADER.pack(kind, len(payload)) + payload


class FrameReader:
    """Messages out of a byte stream that was cut anywhere.

    Holds at most one incomplete message beside what the last :meth:`feed` brought, so take all
    frames after each feed. Time is linear in the bytes fed, however they were cut.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._start = 0

    def feed(self, data: bytes) -> None:
        """Append *data*. The caller owes: :meth:`next` until it gives None."""
        if self._start:
            del self._buffer[: self._start]
            self._start = 0
        self._buffer += data

    @property
    def head(self) -> bytes:
        """What is known of the next message's header: 0 to 3 bytes."""
        return bytes(self._buffer[self._start : self._start + HEADER_BYTES])

    @property
    def pending(self) -> int:
        """Bytes fed and not yet given out."""
        return len(self._buffer) - self._start

    def next(self) -> Frame | None:
        """The next complete message, or None until more is fed."""
        if self.pending < HEADER_BYTES:
            return None
        kind, length = _HEADER.unpack_from(self._buffer, self._start)
        begin = self._start + HEADER_BYTES
        end = begin + length
        if end > len(self._buffer):
            return None
        self._start = end
        return Frame(kind, bytes(self._buffer[begin:end]))
