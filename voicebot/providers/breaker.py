"""A circuit breaker: whether a provider that has failed is worth asking again yet.

Pure: times are arguments, monotonic seconds. Closed, it lets everything through and counts
failures in a row. Open, it lets nothing through until a pause is over; then one request, the probe,
may try (half open), and its outcome closes the circuit or opens it for twice as long.
"""

from __future__ import annotations

from enum import Enum

THRESHOLD = 3
"""Failures in a row that open it. Two may be one bad turn and its retry."""
PAUSE = 5.0
"""Seconds before the first probe: about a turn of one caller, and 20 callers share the probe."""
LONGEST_PAUSE = 60.0
PROBE_LASTS = 30.0
"""Seconds after which a probe that nobody reported on no longer blocks the next one."""


class Circuit(Enum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    LOCKED = "locked"


class CircuitBreaker:
    """One provider's. Every :meth:`allow` that says yes is owed one of the three reports."""

    def __init__(
        self,
        *,
        threshold: int = THRESHOLD,
        pause: float = PAUSE,
        longest_pause: float = LONGEST_PAUSE,
    ) -> None:
        self._threshold = threshold
        self._first_pause = pause
        self._longest_pause = longest_pause
        self._failures = 0
        self._pause = pause
        self._until = 0.0
        self._state = Circuit.CLOSED

    @property
    def state(self) -> Circuit:
        return self._state

    @property
    def open(self) -> bool:
        """Whether requests are being turned away (a probe or two aside)."""
        return self._state is not Circuit.CLOSED

    def allow(self, now: float) -> bool:
        """May a request be sent? In half-open state the first to ask gets the probe."""
        match self._state:
            case Circuit.CLOSED:
                return True
            case Circuit.LOCKED:
                return False
            case Circuit.OPEN | Circuit.HALF_OPEN:
                if now < self._until:
                    return False
                self._state = Circuit.HALF_OPEN
                self._until = now + PROBE_LASTS
                return True

    def succeeded(self) -> None:
        """The provider answered."""
        if self._state is Circuit.LOCKED:
            return
        self._state = Circuit.CLOSED
        self._failures = 0
        self._pause = self._first_pause

    def failed(self, now: float, retry_after: float | None = None) -> None:
        """It did not. *retry_after*: seconds for which the provider itself asked."""
        if self._state is Circuit.LOCKED:
            return
        if self._state is Circuit.OPEN:
            return  # a request from before it opened
        self._failures += 1
        wait = min(retry_after or 0.0, self._longest_pause)
        if self._state is Circuit.HALF_OPEN:
            self._pause = min(2 * self._pause, self._longest_pause)
            wait = max(wait, self._pause)
        elif self._failures >= self._threshold:
            wait = max(wait, self._pause)
        if wait > 0:
            self._state = Circuit.OPEN
            self._until = now + wait

    def abandoned(self, now: float) -> None:
        """The request was cancelled before its outcome was known: the probe goes to another."""
        if self._state is Circuit.HALF_OPEN:
            self._until = now

    def lock(self) -> None:
        """Open for good: the key was refused, and only a restart brings another."""
        self._state = Circuit.LOCKED
