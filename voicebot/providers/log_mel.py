"""Whisper's input: the logarithmic mel spectrogram of 16 kHz audio.

Eighty bands over 25 ms windows, 10 ms apart, with Whisper's own padding and scaling (openai
whisper: ``audio.py``). Pure numpy; runs in a speech worker.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32]

RATE = 16_000  #: hertz
HOP = 160  #: samples between two columns: 10 ms
_WINDOW = 400
_BANDS = 80


def _mel_to_hertz(mel: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Slaney's scale: linear to 1 kHz (15 mel), then 27 mel to a factor of 6.4."""
    linear = mel * (200 / 3)
    return np.where(mel < 15, linear, 1000 * 6.4 ** ((mel - 15) / 27))


def _filters() -> Float:
    """One triangle a band, each of unit area, over the bins of the transform."""
    top = 15 + 27 * np.log(8) / np.log(6.4)  # 8 kHz
    edges = _mel_to_hertz(np.linspace(0, top, _BANDS + 2))
    bins = np.fft.rfftfreq(_WINDOW, 1 / RATE)
    low, peak, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    triangles = np.minimum((bins - low) / (peak - low), (high - bins) / (high - peak))
    return (np.maximum(triangles, 0) * (2 / (high - low))).astype(np.float32)


_FILTERS = _filters()
_HANN = np.hanning(_WINDOW + 1)[:-1].astype(np.float32)


def log_mel(audio: Float, seconds: float) -> Float:
    """Spectrogram of *audio* (16 kHz, -1 to 1), cut or padded with silence to *seconds*.

    Shape: 80 bands by 100 columns a second.
    """
    columns = round(seconds * RATE) // HOP
    padded = np.zeros(columns * HOP, np.float32)
    padded[: len(audio)] = audio[: len(padded)]
    padded = np.pad(padded, _WINDOW // 2, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::HOP][:columns]
    power = np.abs(np.fft.rfft(windows * _HANN, axis=1)).astype(np.float32) ** 2
    loudness = np.log10(np.maximum(_FILTERS @ power.T, 1e-10))
    scaled: Float = (np.maximum(loudness, loudness.max() - 8) + 4) / 4
    return scaled.astype(np.float32)
