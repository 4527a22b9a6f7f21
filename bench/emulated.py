"""The clouds of a measurement, and the delays that they made on purpose."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voicebot.commands.emulated import EmulatedClouds

CACHE = Path("var/bench/cache")
STEPS = ("listen_final", "chat_first_token", "chat_written", "speech_first_byte")
"""What a caller waits for, one after the other."""


@dataclass(frozen=True, slots=True)
class Delay:
    """One answer that was kept back."""

    step: str
    call: str
    at: float
    """When it was sent, on the clock of :func:`time.monotonic`."""
    seconds: float
    """As drawn; what it took beyond that is the client's, who asked late, or this machine's."""


def delays(clouds: EmulatedClouds) -> list[Delay]:
    """Every answer's, oldest first. Raises OSError."""
    with urllib.request.urlopen(f"{clouds.direction}/_emulator/delays", timeout=10) as answer:
        told: Any = json.load(answer)
    return [Delay(one["step"], one["tag"], one["at"], one["planned"]) for one in told["delays"]]


def vendor_seconds(
    delays: Sequence[Delay], call: str, said: float, heard: float
) -> dict[str, float]:
    """What the clouds kept back of the answer to one turn, by step.

    *said* and *heard*: when the caller fell silent and when the answer was heard. The last answer
    of each step counts: earlier ones were of pauses in the turn, or were thrown away.
    """
    own = [one for one in delays if one.call == call and said - 0.05 <= one.at <= heard]
    return {one.step: one.seconds for one in own if one.step in STEPS}
