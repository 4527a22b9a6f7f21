"""What the emulator did: the delay of each answer, and what it was asked.

Pure. A benchmark subtracts these delays from what a caller waited for, and what is left is the
bot's own. Times are seconds of the machine's monotonic clock, which all its processes share. The
oldest are forgotten beyond a bound, and the numbers show that they were.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

from voicebot.emulator.faults import Service
from voicebot.emulator.latency import Step

MOST_DELAYS: Final = 100_000
MOST_REQUESTS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Delay:
    """How long one answer was kept back."""

    number: int
    """Counts from 0, without gaps."""
    step: Step
    tag: str
    """Who asked: the ``tag`` query parameter, or the header ``x-call-id`` or
    ``x-client-request-id``."""
    since: float
    """When the wait began: the end of the caller's speech, or the request."""
    at: float
    """When the answer was sent."""
    planned: float
    """Seconds that were drawn; ``at - since`` is what it came to, never less but for rounding."""

    @property
    def seconds(self) -> float:
        return self.at - self.since

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "step": self.step.value, "seconds": self.seconds}


@dataclass(frozen=True, slots=True)
class Request:
    """What one client asked for."""

    service: Service
    tag: str
    at: float
    query: dict[str, list[str]]
    """Of the address; for WebSockets these are the options."""
    body: Any
    """JSON; None for a WebSocket."""


class Records:
    """The delays and the requests, newest last."""

    def __init__(self) -> None:
        self._delays: deque[Delay] = deque(maxlen=MOST_DELAYS)
        self._next = 0
        self.requests: deque[Request] = deque(maxlen=MOST_REQUESTS)
        self.unrecognised = 0
        """Stretches of speech that are not among the known recordings (``--recognise script``)."""

    @property
    def next_number(self) -> int:
        """Of the next delay; pass it to :meth:`delays` later, to see what came since."""
        return self._next

    def delayed(self, step: Step, tag: str, since: float, at: float, planned: float) -> None:
        """An answer went out."""
        self._delays.append(Delay(self._next, step, tag, since, at, planned))
        self._next += 1

    def delays(self, since: int = 0, step: Step | None = None, tag: str = "") -> Iterator[Delay]:
        """Those from number *since* on, of *step* and *tag* only if given."""
        for delay in self._delays:
            if delay.number >= since and step in (None, delay.step) and tag in ("", delay.tag):
                yield delay

    def asked(self, service: Service) -> list[Request]:
        """The requests to *service*, oldest first."""
        return [request for request in self.requests if request.service is service]
