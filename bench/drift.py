"""A clock that must not drift: audio against wall clock while the event loop stalls each second.

The service runs as :mod:`bench.stalled`. A stall of 60 ms is below the 100 ms from which the frame
clock starts anew, so every frame of it must be caught up with.
"""

from __future__ import annotations

import asyncio
import uuid

import numpy as np

from bench.arithmetic import drift_per_minute, grid_lateness
from bench.figures import Measured, Say
from bench.service import MeasuredService
from bench.stalled import STALL_SECONDS
from voicebot.audio.pacing import LEAD_FRAMES
from voicebot.audio.pcm import FRAME_SECONDS, SILENCE_FRAME
from voicebot.simulator.leg import dial
from voicebot.simulator.tape import Tape

CALLS = 4
SECONDS = 61.0
KEY_SECONDS = 10.0
"""Between two keys, which keep the bot talking."""


class Listener:
    """A caller who has the greeting repeated for ever."""

    def __init__(self, start: float) -> None:
        self._next = start + KEY_SECONDS

    def frame_heard(self, pcm: bytes, now: float) -> None:
        pass

    def next_frame(self, now: float) -> bytes:
        return SILENCE_FRAME

    def next_digit(self, now: float) -> str | None:
        if now < self._next:
            return None
        self._next += KEY_SECONDS
        return "*"

    def wants_hangup(self, now: float) -> bool:
        return False


async def measure(say: Say) -> Measured:
    """The part's figures: the worst of the calls. Raises ValueError if they were cut short."""
    with MeasuredService(module=("bench.stalled",)) as service:
        say(f"{CALLS} calls of {SECONDS:g} s; the service's loop stands still once a second")
        tapes = await asyncio.gather(*(_call(service) for _ in range(CALLS)))
    drifts = [1000 * drift_per_minute(tape.arrivals, tape.sizes) for tape in tapes]
    late = 1000 * np.concatenate([grid_lateness(tape.arrivals, tape.sizes) for tape in tapes])
    if late.max() < 1000 * (STALL_SECONDS - LEAD_FRAMES * FRAME_SECONDS):
        raise ValueError("no frame was late: the loop did not stand still")
    worst = max(drifts, key=abs)
    return Measured(
        {"drift_ms_per_min": abs(worst), "stalled_lateness_max_ms": float(late.max())},
        {
            "drift_ms_per_min": f"worst of {CALLS} calls {worst:+.2f}; frames came up to "
            f"{late.max():.0f} late, and were caught up with"
        },
    )


async def _call(service: MeasuredService) -> Tape:
    start = asyncio.get_running_loop().time()
    tape = Tape(start)
    target = service.target
    leg = await dial(target.host, target.port, uuid.uuid4(), Listener(start), tape, SECONDS)
    try:
        await leg.ended
    finally:
        leg.hang_up()
    return tape
