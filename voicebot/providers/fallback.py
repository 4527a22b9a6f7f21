"""What both chains share: the gate before each provider, and how fast it has been of late.

A chain asks its providers in the order of the settings. The gate keeps the time of callers from
being spent on one that is down (:mod:`voicebot.providers.breaker`), whose key is refused, or whose
model has been switched off (:mod:`voicebot.providers.sunset`); it tells log and metrics of every
change, once.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from datetime import UTC, date, datetime

import structlog

from voicebot.providers.breaker import Circuit, CircuitBreaker
from voicebot.providers.errors import KeyRefusedError, ModelGoneError, ProviderBusyError
from voicebot.providers.interfaces import ProviderError, Stage
from voicebot.providers.sunset import Sunset
from voicebot.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

FIRST_BACKOFF = 0.1
"""Seconds before the second attempt; doubled for each further one."""


def backoff(failed_attempts: int) -> float:
    """Seconds to wait after so many failed attempts, one or more."""
    return float(FIRST_BACKOFF * 2 ** (failed_attempts - 1))


def today() -> date:
    return datetime.now(UTC).date()


class Gate:
    """Of one provider in one stage, shared by all calls. Times are *clock*'s, monotonic."""

    def __init__(
        self,
        stage: Stage,
        provider: str,
        metrics: Metrics,
        clock: Callable[[], float],
        sunset: Sunset,
        *,
        today: Callable[[], date] = today,
    ) -> None:
        self.provider = provider
        self._stage = stage.value
        self._breaker = CircuitBreaker()
        self._clock = clock
        self.sunset = sunset
        self._today = today
        self._retired = False
        self._gauge = metrics.provider_circuit_open.labels(self._stage, provider)

    def allows(self) -> bool:
        """May it be asked? A yes is owed :meth:`answered`, :meth:`failed` or :meth:`abandoned`."""
        if self.sunset.passed(self._today()):
            if not self._retired:
                self._retired = True
                log.warning(
                    "retired model is passed over",
                    stage=self._stage,
                    provider=self.provider,
                    model=self.sunset.model,
                    since=str(self.sunset.day),
                )
            return False
        return self._breaker.allow(self._clock())

    def answered(self) -> None:
        was_open = self._breaker.open
        self._breaker.succeeded()
        if was_open and not self._breaker.open:
            log.info("provider is back", stage=self._stage, provider=self.provider)
        self._gauge.set(self._breaker.open)

    def failed(self, error: ProviderError) -> None:
        was = self._breaker.state
        if isinstance(error, KeyRefusedError):
            self._breaker.lock()
            if was is not Circuit.LOCKED:
                log.error(
                    "key refused", stage=self._stage, setting=error.setting, reason=str(error)
                )
        elif isinstance(error, ModelGoneError):
            self._breaker.lock()
            if was is not Circuit.LOCKED:
                log.error(
                    "model is gone",
                    stage=self._stage,
                    provider=self.provider,
                    model=self.sunset.model,
                    reason=str(error),
                )
        else:
            retry_after = error.retry_after if isinstance(error, ProviderBusyError) else None
            self._breaker.failed(self._clock(), retry_after)
            if was is Circuit.CLOSED and self._breaker.open:
                log.warning(
                    "provider is given a rest",
                    stage=self._stage,
                    provider=self.provider,
                    reason=str(error),
                )
        self._gauge.set(self._breaker.open)

    def abandoned(self) -> None:
        """We stopped waiting, for reasons of our own."""
        self._breaker.abandoned(self._clock())


class RecentTimes:
    """The latest durations of one thing, and what is unusually long for it."""

    LEAST = 20  #: before that many, nothing is known
    MOST = 100

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=self.MOST)

    def add(self, seconds: float) -> None:
        self._times.append(seconds)

    @property
    def p95(self) -> float | None:
        if len(self._times) < self.LEAST:
            return None
        return sorted(self._times)[math.ceil(0.95 * len(self._times)) - 1]
