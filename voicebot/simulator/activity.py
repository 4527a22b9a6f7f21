"""Where there is sound: speech activity by energy, on a whole recorded track.

Offline, so it can do what a detector on a live call cannot: look at the whole track for its noise
floor first. The energy of 5 ms windows gives onsets and ends to 5 ms, which is what a latency
measured in tenths of a second needs. It does not tell speech from noise: the tracks measured here
hold one voice each on a quiet line.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voicebot.audio.pcm import SAMPLE_RATE

Samples = NDArray[np.int16]

WINDOW = 40  #: samples: 5 ms
FULL_SCALE = 32_768.0
#: Sound this far below full scale is never speech: the idle steps of A-law are at -72 dBFS, quiet
#: consonants of a voice at -20 dBFS at -45.
LEAST_THRESHOLD = -50.0
#: Sound must rise this far above the noise floor.
ABOVE_FLOOR = 10.0
#: Silence shorter than this lies within one utterance of a voice (a comma, a closed consonant).
JOIN_SECONDS = 0.30
#: Shorter sounds are clicks.
LEAST_SOUND_SECONDS = 0.04


@dataclass(frozen=True, slots=True)
class Segment:
    """One stretch of sound, in seconds from the beginning of the track."""

    start: float
    end: float


def levels(samples: Samples) -> NDArray[np.float64]:
    """RMS level of each full 5 ms window, dBFS; digital silence is -120."""
    count = samples.size // WINDOW
    windows = samples[: count * WINDOW].reshape(count, WINDOW).astype(np.float64)
    power = np.mean(np.square(windows), axis=1) / FULL_SCALE**2
    decibels: NDArray[np.float64] = 10.0 * np.log10(np.maximum(power, 1e-12))
    return decibels


def threshold(level: NDArray[np.float64]) -> float:
    """Level in dBFS above which a window of this track holds sound."""
    if level.size == 0:
        return LEAST_THRESHOLD
    floor = float(np.percentile(level, 10))
    # A track that is speech from end to end has no floor to find: -35 still lies below speech.
    return min(max(floor + ABOVE_FLOOR, LEAST_THRESHOLD), -35.0)


def active(samples: Samples) -> NDArray[np.bool_]:
    """For each 5 ms window, whether it holds sound."""
    level = levels(samples)
    return level > threshold(level)


def segments(samples: Samples, join: float = JOIN_SECONDS) -> list[Segment]:
    """The stretches of sound of a track, in order, those less than *join* seconds apart as one."""
    mask = active(samples).astype(np.int8)
    edges = np.flatnonzero(np.diff(mask, prepend=0, append=0))
    window = WINDOW / SAMPLE_RATE
    joined: list[Segment] = []
    for start, end in zip(edges[::2] * window, edges[1::2] * window, strict=True):
        if joined and start - joined[-1].end < join:
            joined[-1] = Segment(joined[-1].start, float(end))
        else:
            joined.append(Segment(float(start), float(end)))
    return [one for one in joined if one.end - one.start >= LEAST_SOUND_SECONDS]


def audible_span(samples: Samples) -> tuple[float, float] | None:
    """Seconds of the first and the end of the last sound; None if there is none."""
    found = segments(samples)
    return (found[0].start, found[-1].end) if found else None
