"""What a window of voice activity costs, by how many calls' windows are judged together.

``python -m bench.voice_activity`` prints µs for each window, with the processor's caches as they
are and after something else has used them: docs/decisions/0040 is decided by it.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the service has it; before numpy

import statistics
import time

import numpy as np

from voicebot.audio.vad import WINDOW_SAMPLES, SileroVad, SileroWeights
from voicebot.config import Settings
from voicebot.models import ensure

TOGETHER = (1, 2, 3, 4, 6, 8, 12, 20)
EVICTED_MB = (0, 3, 40)
"""Memory that is written over before each round: nothing, what the second-level cache holds, and
what the third does."""
ROUNDS = 60


def cost(vad: SileroVad, together: int, evicted_mb: int) -> float:
    """Seconds for each window; the median of some rounds."""
    noise = np.random.default_rng(1).normal(0, 3000, (ROUNDS, together, WINDOW_SAMPLES))
    windows = noise.astype("<i2")
    callers = [vad.caller() for _ in range(together)]
    others = np.zeros(evicted_mb * 1_000_000 // 8)
    took = []
    for round_ in windows:
        pcm = [window.tobytes() for window in round_]
        others += 1
        began = time.perf_counter()
        vad.process(callers, pcm)
        took.append(time.perf_counter() - began)
    return statistics.median(took) / together


def main() -> None:
    """Print the table."""
    vad = SileroVad(SileroWeights.load(ensure(Settings().models_dir, embedded=False).vad))
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    print("MB between | µs for each of " + ", ".join(map(str, TOGETHER)) + " windows together")
    for evicted_mb in EVICTED_MB:
        costs = (f"{1e6 * cost(vad, together, evicted_mb):4.0f}" for together in TOGETHER)
        print(f"{evicted_mb:10} |", *costs)


if __name__ == "__main__":
    main()
