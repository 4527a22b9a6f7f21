"""What arrival times say about a clock. Pure; all times are seconds.

A message is due when the audio before it has been played: the grid has the period of the audio
itself (20 ms a frame), and is absolute, so a clock that slips once shows for the rest of the call.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from voicebot.audio.pcm import BYTES_PER_SECOND

SENT_AHEAD = 5
"""Messages at the start of a call that are not judged: a service sends its lead in one go."""
EDGE_SECONDS = 5.0
"""At each end of a call, what its drift is measured between."""


def grid_lateness(arrivals: Sequence[float], sizes: Sequence[int]) -> NDArray[np.float64]:
    """How long after its place on the grid each message of a call arrived.

    The grid is fitted to the call: it begins as late as it can without any message being early.
    *sizes* are bytes of audio. Empty if there are too few messages to judge.
    """
    behind = _behind(arrivals, sizes)
    return behind - behind.min() if behind.size else behind


def drift_per_minute(arrivals: Sequence[float], sizes: Sequence[int]) -> float:
    """Seconds of audio that a minute of the call is short of (below zero: too many).

    Between the medians of the first and last EDGE_SECONDS, so that a frame that is late by
    chance, or the phase of a stall that repeats, does not count. Raises ValueError for a call
    that is too short for that.
    """
    behind = _behind(arrivals, sizes)
    times = np.asarray(arrivals, dtype=np.float64)[SENT_AHEAD:]
    if not times.size or times[-1] - times[0] < 3 * EDGE_SECONDS:
        raise ValueError(f"a drift needs a call of {3 * EDGE_SECONDS:g} s or more")
    first, last = times < times[0] + EDGE_SECONDS, times > times[-1] - EDGE_SECONDS
    slipped = float(np.median(behind[last]) - np.median(behind[first]))
    minutes = float(np.median(times[last]) - np.median(times[first])) / 60.0
    return slipped / minutes


def percentile(values: Sequence[float] | NDArray[np.float64], share: float) -> float:
    """The value that *share* (0 to 100) of *values* do not exceed. ValueError if there are none."""
    if not len(values):
        raise ValueError("a percentile of nothing")
    return float(np.percentile(np.asarray(values), share))


def _behind(arrivals: Sequence[float], sizes: Sequence[int]) -> NDArray[np.float64]:
    """Arrival of each judged message less the audio that came before it."""
    if len(arrivals) != len(sizes):
        raise ValueError("each arrival needs its size")
    if len(arrivals) <= SENT_AHEAD:
        return np.empty(0)
    before = np.concatenate(([0.0], np.cumsum(np.asarray(sizes[:-1])))) / BYTES_PER_SECOND
    behind: NDArray[np.float64] = (np.asarray(arrivals, dtype=np.float64) - before)[SENT_AHEAD:]
    return behind
