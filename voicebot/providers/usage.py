"""What is used of providers that charge for it, and what that costs: of each call, and of all.

Whoever sends something that is charged has a :class:`Meter` and counts when it is sent, so what is
hedged, tried again, asked of the next one or thrown away is counted like the rest. Which call it
was for is known from the context: a session sets :data:`charged_to` in the context in which it
starts things, and tasks inherit it. Without one (prompts rendered at start) only the metrics count.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass

import structlog
from prometheus_client import Counter

from voicebot.providers.interfaces import Stage
from voicebot.providers.prices import Prices, Unit
from voicebot.telemetry.metrics import TRAFFIC, Metrics
from voicebot.telemetry.requests import in_progress

_DIRECTIONS = {
    Unit.INPUT_TOKENS: "input",
    Unit.CACHED_TOKENS: "cached",
    Unit.OUTPUT_TOKENS: "output",
}


@dataclass(frozen=True, slots=True)
class Use:
    """So much of one model."""

    stage: Stage
    provider: str
    model: str
    unit: Unit
    amount: float
    cost: float | None
    """In the currency of the price table; None: it has no price for the model."""


class Bill:
    """What one call has used so far. Not thread safe: for the event loop."""

    def __init__(self, traffic: str = "live") -> None:
        """*traffic*: ``live`` or ``probe``, whose cost is no business of a caller's."""
        self.traffic = traffic
        self._uses: dict[tuple[Stage, str, str, Unit], tuple[float, float | None]] = {}

    def add(
        self, stage: Stage, provider: str, model: str, unit: Unit, amount: float, cost: float | None
    ) -> None:
        key = stage, provider, model, unit
        before, paid = self._uses.get(key, (0.0, 0.0))
        total = None if cost is None or paid is None else paid + cost
        self._uses[key] = before + amount, total

    def __iter__(self) -> Iterator[Use]:
        for key, (amount, cost) in self._uses.items():
            yield Use(*key, amount, cost)

    @property
    def cost(self) -> float | None:
        """Of everything; None if something in it has no price."""
        total = 0.0
        for _, cost in self._uses.values():
            if cost is None:
                return None
            total += cost
        return total


charged_to: ContextVar[Bill | None] = ContextVar("charged_to", default=None)
"""Whose use it is."""


def this_call() -> str:
    """Id of the call that the context names, for a provider's own log; empty if it names none."""
    return str(structlog.contextvars.get_contextvars().get("call_id", ""))


class Meter:
    """Of one model of one provider, shared by all calls."""

    def __init__(
        self, stage: Stage, provider: str, model: str, prices: Prices, metrics: Metrics
    ) -> None:
        self._key = stage, provider, model
        self._who = stage.value, provider
        self._model = model
        self._prices = prices
        self._money = {
            traffic: metrics.cost.labels(stage.value, provider, traffic) for traffic in TRAFFIC
        }
        self._counters = _counters(stage, provider, metrics)

    def count(self, unit: Unit, amount: float) -> None:
        """*amount* more has been used, for the call that the context names."""
        counter = self._counters.get(unit)
        if counter is not None:
            counter.inc(amount)
        cost = self._prices.cost(self._model, unit, amount)
        bill = charged_to.get()
        if cost:
            self._money["live" if bill is None else bill.traffic].inc(cost)
        request = in_progress.get()
        if request is not None and (request.stage, request.provider) == self._who:
            request.used[unit.value] = request.used.get(unit.value, 0.0) + amount
        if bill is not None:
            bill.add(*self._key, unit, amount, cost)


def _counters(stage: Stage, provider: str, metrics: Metrics) -> dict[Unit, Counter]:
    match stage:
        case Stage.STT:
            return {Unit.AUDIO_SECONDS: metrics.stt_audio.labels(provider)}
        case Stage.TTS:
            return {Unit.CHARACTERS: metrics.tts_characters.labels(provider)}
        case Stage.LLM:
            return {
                unit: metrics.llm_tokens.labels(provider, direction)
                for unit, direction in _DIRECTIONS.items()
            }
