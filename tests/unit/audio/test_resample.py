"""Resampling: what telephones carry passes, what they cannot carry does not fold back."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest

from voicebot.audio.resample import StreamResampler

AMPLITUDE = 16_000


def tone(frequency: float, rate: int, seconds: float = 1.0) -> bytes:
    t = np.arange(round(rate * seconds)) / rate
    return (AMPLITUDE * np.sin(2 * np.pi * frequency * t)).astype("<i2").tobytes()


def resampled(pcm: bytes, rate: int, piece: int = 962) -> bytes:
    stream = StreamResampler(rate, 8000)
    pieces = [stream.push(pcm[k : k + piece]) for k in range(0, len(pcm), piece)]
    return b"".join([*pieces, stream.flush()])


def level(pcm: bytes) -> float:
    """In dB against the tone that went in, without the edges."""
    samples = np.frombuffer(pcm, "<i2").astype(float)[400:-400]
    power = float(np.mean(samples**2)) / (AMPLITUDE**2 / 2)
    return 10 * math.log10(power + 1e-12)


@pytest.mark.parametrize("frequency", [4_500, 5_000, 6_000, 7_000])
def test_what_is_above_a_telephone_does_not_fold_back(frequency: int) -> None:
    assert level(resampled(tone(frequency, 24_000), 24_000)) < -60


@pytest.mark.parametrize("rate", [12_000, 16_000, 24_000, 32_000, 44_100, 48_000, 96_000, 192_000])
@pytest.mark.parametrize("frequency", [300, 1_000, 3_400])
def test_what_a_telephone_carries_passes(rate: int, frequency: int) -> None:
    out = resampled(tone(frequency, rate), rate)
    assert abs(level(out)) < 1
    assert len(out) == 16_000, "a second stays a second"


def test_the_pieces_do_not_matter() -> None:
    pcm = tone(440, 24_000, 0.3)
    small, whole = (np.frombuffer(resampled(pcm, 24_000, n), "<i2") for n in (2, len(pcm)))
    assert len(small) == len(whole)
    # The dither of the last bit is drawn anew for each piece.
    assert np.max(np.abs(small.astype(int) - whole)) <= 2


def test_the_module_costs_nothing_until_it_is_used() -> None:
    code = "import sys, voicebot.audio.resample; sys.exit('soxr' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
