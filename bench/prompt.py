"""From a decision to the first frame of a cached prompt: a key is pressed, the bot answers at once.

``*`` has the bot say again what it said last. At the greeting that is the greeting itself, which
is known by its first audible frame, to the bit: so a sample is from the moment at which the caller
sends the key to the moment at which that very frame is received, whatever was being said before.
Nothing is taken off for the way there and back, nor for the wait for the next slot (0 to 20 ms).
"""

from __future__ import annotations

import asyncio
import uuid

from bench.arithmetic import percentile
from bench.figures import Measured, Say
from bench.service import MeasuredService
from voicebot.audio.pcm import FRAME_SECONDS, SILENCE_FRAME
from voicebot.simulator.customer import is_audible
from voicebot.simulator.leg import dial
from voicebot.simulator.runner import Target
from voicebot.simulator.tape import Tape

CALLS = 16
PRESSES = 15
"""In each call."""
INTERVAL_SECONDS = 0.61
FIRST_PRESS_SECONDS = 1.5
STAGGER_SECONDS = 0.037
"""Between two calls."""
KEY = "*"


class KeyPresser:
    """A caller who presses one key at intervals and listens for the answer to it."""

    def __init__(self, start: float) -> None:
        self.waits: list[float] = []
        """Seconds from each key to its answer."""
        self.pressed = 0
        self._loop = asyncio.get_running_loop()
        self._next = start + FIRST_PRESS_SECONDS
        self._answer: bytes | None = None
        self._since: float | None = None

    def frame_heard(self, pcm: bytes, now: float) -> None:
        if self._answer is None and is_audible(pcm):
            self._answer = pcm  # how the greeting begins
        elif self._since is not None and pcm == self._answer:
            self.waits.append(now - self._since)
            self._since = None

    def next_frame(self, now: float) -> bytes:
        return SILENCE_FRAME

    def next_digit(self, now: float) -> str | None:
        if now < self._next or self.pressed == PRESSES:
            return None
        self._next += INTERVAL_SECONDS
        self.pressed += 1
        self._since = self._loop.time()
        return KEY

    def wants_hangup(self, now: float) -> bool:
        return self.pressed == PRESSES and now >= self._next


async def measure(say: Say) -> Measured:
    """The part's figures. Raises ValueError if no key was ever answered."""
    with MeasuredService() as service:
        say(f"{CALLS} callers press {KEY} {PRESSES} times each")
        callers = await asyncio.gather(*(_call(service.target, n) for n in range(CALLS)))
    waits = [1000 * wait for caller in callers for wait in caller.waits]
    pressed = sum(caller.pressed for caller in callers)
    median = percentile(waits, 50)
    return Measured(
        {"prompt_to_wire_p95_ms": percentile(waits, 95), "prompt_to_wire_p50_ms": median},
        {
            "prompt_to_wire_p95_ms": f"{len(waits)} of {pressed} keys answered; "
            f"median {median:.1f}, most {max(waits):.1f}; waiting for a slot is 10 on average"
        },
    )


async def _call(target: Target, number: int) -> KeyPresser:
    await asyncio.sleep(number * STAGGER_SECONDS)
    # Both clocks begin with the call. A caller whose frames were in step with the service's would
    # always press at the same moment of its slot: spread them over the slot evenly.
    start = asyncio.get_running_loop().time() + FRAME_SECONDS * number / CALLS
    caller = KeyPresser(start)
    limit = FIRST_PRESS_SECONDS + (PRESSES + 2) * INTERVAL_SECONDS
    leg = await dial(target.host, target.port, uuid.uuid4(), caller, Tape(start), limit)
    try:
        await leg.ended
    finally:
        leg.hang_up()
    return caller
