"""G.711 A-law: what European telephone lines carry, one byte a sample.

For tapes and telephones of our own (clips, the test telephone); on a live call Asterisk does
this. Knows nothing of packets or pacing. Both directions are tables, computed once from the
recommendation's segments: ITU-T G.711 (11/88), tables 1a and 1b, even bits inverted.
"""

from __future__ import annotations

import functools
import struct

SILENCE = 0xD5  #: the code of the smallest positive level
_EVEN_BITS = 0x55
_SIGN = 0x80  # set for positive values, before and after the inversion
_MAGNITUDES = 1 << 15


def encode(pcm: bytes) -> bytes:
    """A-law of slin *pcm* (signed 16-bit little-endian); half as many bytes.

    Raises ValueError when *pcm* has an odd size.
    """
    if len(pcm) % 2:
        raise ValueError(f"{len(pcm)} bytes are not a whole number of 16-bit samples")
    codes = _codes()
    return bytes([codes[sample] for (sample,) in struct.iter_unpack("<H", pcm)])


def decode(codes: bytes) -> bytes:
    """Slin of A-law *codes*; twice as many bytes."""
    return b"".join(map(_levels().__getitem__, codes))


@functools.cache
def _codes() -> bytes:
    """The code of each 16-bit pattern, the index being the pattern taken as unsigned."""
    positive = [_code(magnitude) ^ _SIGN for magnitude in range(_MAGNITUDES)]
    # In the recommendation the interval next to zero is half open on either side: -1 is the
    # mirror image of 0, not of 1.
    negative = [code ^ _SIGN for code in reversed(positive)]
    return bytes(positive + negative)


def _code(magnitude: int) -> int:
    """Segment and step of a 15-bit magnitude; even bits inverted, sign bit clear."""
    segment = max(magnitude.bit_length() - 8, 0)
    step = magnitude >> (max(segment, 1) + 3) & 0x0F
    return (segment << 4 | step) ^ _EVEN_BITS


@functools.cache
def _levels() -> list[bytes]:
    """The sample of each code: the middle of its interval."""
    return [struct.pack("<h", _level(code)) for code in range(256)]


def _level(code: int) -> int:
    plain = code ^ _EVEN_BITS
    segment, step = plain >> 4 & 0x07, plain & 0x0F
    half_steps = step * 2 + 1 + (32 if segment else 0)
    magnitude = half_steps << (max(segment, 1) + 2)
    return magnitude if plain & _SIGN else -magnitude
