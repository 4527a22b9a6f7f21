"""Audio as the services take and give it: encodings and rates, to and from signed 16 bit.

Pure; numpy tables. µ-law is ITU-T G.711 (11/88), tables 2a and 2b; A-law is
:mod:`voicebot.audio.alaw`.
"""

from __future__ import annotations

import struct
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt
import soxr

from voicebot.audio import alaw

WIDTHS: Final = {"linear16": 2, "mulaw": 1, "alaw": 1}
"""Encodings that are understood, and the bytes of a sample in each."""

Samples = npt.NDArray[np.int16]
_BIAS: Final = 0x84
_CLIP: Final = 32_635


def decode(data: bytes, encoding: str) -> bytes:
    """*data* as signed 16-bit little-endian; a half sample at its end is dropped."""
    if encoding == "linear16":
        return data[: len(data) & ~1]
    codes = np.frombuffer(data, np.uint8)
    levels = _mulaw_levels() if encoding == "mulaw" else _alaw_levels()
    return levels[codes].astype("<i2").tobytes()


def encode(pcm: bytes, encoding: str) -> bytes:
    """Signed 16-bit *pcm* in *encoding*."""
    if encoding == "linear16":
        return pcm
    if encoding == "alaw":
        return alaw.encode(pcm)
    samples = np.frombuffer(pcm, "<i2").astype(np.int32)
    magnitude = np.minimum(np.abs(samples), _CLIP) + _BIAS
    segment = np.floor(np.log2(magnitude)).astype(np.int32) - 7
    step = magnitude >> (segment + 3) & 0x0F
    sign = np.where(samples < 0, 0x80, 0)
    return bytes((~(sign | segment << 4 | step) & 0xFF).astype(np.uint8).tobytes())


@cache
def _mulaw_levels() -> Samples:
    codes = ~np.arange(256) & 0xFF
    magnitude = (((codes & 0x0F) << 3) + _BIAS << (codes >> 4 & 0x07)) - _BIAS
    return np.where(codes & 0x80, -magnitude, magnitude).astype(np.int16)


@cache
def _alaw_levels() -> Samples:
    return np.frombuffer(alaw.decode(bytes(range(256))), "<i2")


def resample(pcm: bytes, rate_in: int, rate_out: int) -> bytes:
    """Whole *pcm* at another rate."""
    if rate_in == rate_out:
        return pcm
    samples = np.frombuffer(pcm, "<i2")
    return bytes(soxr.resample(samples, rate_in, rate_out, quality="MQ").astype("<i2").tobytes())


def wav(pcm: bytes, rate: int, *, streamed: bool = True) -> bytes:
    """A mono WAV file; *streamed*: with the sizes unknown, as services that stream write them."""
    size = 0xFFFF_FFFF if streamed else len(pcm)
    riff = 0xFFFF_FFFF if streamed else 36 + len(pcm)
    form = struct.pack("<IHHIIHH", 16, 1, 1, rate, 2 * rate, 2, 16)
    return b"RIFF%sWAVEfmt %sdata%s%s" % (
        struct.pack("<I", riff), form, struct.pack("<I", size), pcm,
    )  # fmt: skip
