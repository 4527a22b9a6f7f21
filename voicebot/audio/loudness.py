"""How loud a clip is to a listener, and the same clip at another loudness.

ITU-R BS.1770-4, as EBU R 128 uses it: power behind the K filter (a head's shelf, and no bass), in
blocks of 400 ms, of which those count that are louder than silence and than the clip's own pauses.
Only power is wanted, so the filter is applied to the spectrum. The libraries that do this bring
SciPy with them, 100 MB for one filter; a test compares this with ffmpeg's ``ebur128``.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from voicebot.audio.pcm import SAMPLE_RATE

TARGET: Final = -20.8
"""LUFS: what the embedded voice has on average, and what a telephone is not too loud with: peaks of
speech stay below the 0 dBm0 of G.711."""
TOLERANCE: Final = 0.3
"""LU to which :func:`levelled` comes; listeners notice about 1."""
SILENCE: Final = -70.0
"""LUFS: the absolute gate, and the loudness of nothing."""
MOST_GAIN: Final = 30.0
"""dB; beyond it, noise would be made loud."""
PEAK: Final = 10 ** (-1 / 20)
_GATE = -10.0  # LU below the mean of what is above SILENCE
_BLOCK, _STEP = round(0.4 * SAMPLE_RATE), round(0.1 * SAMPLE_RATE)
_SHORTEST = 8 * _BLOCK  # a shorter clip is repeated: one block of it would be half pause
_PAD = SAMPLE_RATE // 4  # for the filter to ring out
_DESIGN_RATE = 48_000
# BS.1770-4, tables 1 and 2.
_SHELF = (
    (1.53512485958697, -2.69169618940638, 1.19839281085285),
    (-1.69065929318241, 0.73248077421585),
)
_HIGH_PASS = ((1.0, -2.0, 1.0), (-1.99004745483398, 0.99007225036621))

Float = npt.NDArray[Any]


def integrated(samples: Float) -> float:
    """Loudness in LUFS of *samples* (8 kHz, mono, full scale 1); SILENCE if there is none."""
    if not len(samples):
        return SILENCE
    if len(samples) < _SHORTEST:
        samples = np.tile(samples, -(-_SHORTEST // len(samples)))
    power = _k_weighted(samples.astype(np.float64)) ** 2
    sums = np.concatenate(([0.0], np.cumsum(power)))
    starts = np.arange(0, len(power) - _BLOCK + 1, _STEP)
    blocks = (sums[starts + _BLOCK] - sums[starts]) / _BLOCK
    loud = blocks[_lufs(blocks) > SILENCE]
    if not len(loud):
        return SILENCE
    loud = loud[_lufs(loud) > _lufs(loud.mean()) + _GATE]
    return float(_lufs(loud.mean()))


def levelled(pcm: bytes, target: float = TARGET) -> bytes:
    """Slin at *target* LUFS; the few peaks that would be too high are bent, not clipped.

    A clip of silence comes back as it is.
    """
    samples = np.frombuffer(pcm, "<i2").astype(np.float32) / 32768
    found = integrated(samples)
    gain = 0.0
    louder = samples
    for _ in range(4):  # bending takes a little away: once or twice more brings it there
        if found <= SILENCE or abs(target - found) <= TOLERANCE / 3:
            break
        gain = min(gain + target - found, MOST_GAIN)
        louder = _bent(samples * np.float32(10 ** (gain / 20)))
        found = integrated(louder)
    return bytes(np.rint(louder * 32767).astype("<i2").tobytes()) if gain else pcm


def _bent(samples: Float) -> Float:
    knee = PEAK / 2
    over = np.abs(samples) - knee
    bent = knee + (PEAK - knee) * np.tanh(over / (PEAK - knee))
    return np.where(over > 0, np.sign(samples) * bent, samples).astype(np.float32)


def _k_weighted(samples: Float) -> Float:
    size = 1 << (len(samples) + _PAD - 1).bit_length()
    spectrum = np.fft.rfft(samples, size) * _k_filter(size)
    filtered: Float = np.fft.irfft(spectrum, size)[: len(samples)]
    return filtered


@lru_cache(maxsize=4)
def _k_filter(size: int) -> Float:
    """The filter's response at the frequencies of a spectrum of *size* samples."""
    turns = np.exp(-2j * np.pi * np.fft.rfftfreq(size, 1 / SAMPLE_RATE) / _DESIGN_RATE)
    response: Float = np.ones_like(turns)
    for (b0, b1, b2), (a1, a2) in (_SHELF, _HIGH_PASS):
        response *= (b0 + b1 * turns + b2 * turns**2) / (1 + a1 * turns + a2 * turns**2)
    return response


def _lufs(power: Any) -> Any:
    with np.errstate(divide="ignore"):
        return -0.691 + 10 * np.log10(power)
