"""What it costs a worker to hear whether a caller has finished, by how long the turn was.

``python -m bench.turn_end`` prints ms for each pause, on one core, and what the worker holds:
docs/decisions/0047 is decided by it.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as a worker has it; before numpy

import statistics
import time
from pathlib import Path

import numpy as np

from voicebot.audio.pcm import SAMPLE_RATE
from voicebot.config import Settings
from voicebot.models import ensure
from voicebot.providers.smart_turn import SmartTurn

SECONDS = (1, 2, 4, 8)
ROUNDS = 30


def cost(network: SmartTurn, seconds: int) -> float:
    """Seconds for a pause after a turn of *seconds*; the median of some rounds."""
    noise = np.random.default_rng(1).normal(0, 1000, seconds * SAMPLE_RATE)
    pcm = noise.astype("<i2").tobytes()
    took = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        network.probability(pcm)
        took.append(time.perf_counter() - began)
    return statistics.median(took)


def main() -> None:
    """Print the table."""
    path = ensure(Settings().models_dir, embedded=False).turn
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    began = time.perf_counter()
    network = SmartTurn.load(path)
    print(f"loaded in {1000 * (time.perf_counter() - began):.0f} ms")
    for seconds in SECONDS:
        print(f"a turn of {seconds} s: {1000 * cost(network, seconds):3.0f} ms")
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    print(f"{pages * os.sysconf('SC_PAGE_SIZE') / 1e6:.0f} MB resident")


if __name__ == "__main__":
    main()
