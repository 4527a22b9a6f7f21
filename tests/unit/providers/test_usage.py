"""Use is counted for the process and for the call that it was for."""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from datetime import date

import pytest

from voicebot.providers.interfaces import Stage
from voicebot.providers.prices import Prices, Unit
from voicebot.providers.usage import Bill, Meter, charged_to
from voicebot.telemetry.metrics import Metrics

PRICES = Prices(
    "EUR",
    date(2026, 11, 1),
    {"ear": {Unit.AUDIO_SECONDS: 0.01}, "mind": {Unit.INPUT_TOKENS: 1.0, Unit.OUTPUT_TOKENS: 2.0}},
)


def meter(metrics: Metrics, stage: Stage, model: str) -> Meter:
    return Meter(stage, "deepgram", model, PRICES, metrics)


def test_what_tasks_of_two_calls_use_is_on_two_bills() -> None:
    metrics = Metrics()
    ear = meter(metrics, Stage.STT, "ear")

    async def deep(seconds: float) -> None:
        ear.count(Unit.AUDIO_SECONDS, seconds)

    async def call(seconds: float) -> None:
        await asyncio.create_task(deep(seconds))
        ear.count(Unit.AUDIO_SECONDS, 1.0)

    async def main() -> list[Bill]:
        bills = [Bill(), Bill()]
        tasks = []
        for bill, seconds in zip(bills, (10.0, 20.0), strict=True):
            context = copy_context()
            context.run(charged_to.set, bill)
            tasks.append(asyncio.create_task(call(seconds), context=context))
        await asyncio.gather(*tasks)
        ear.count(Unit.AUDIO_SECONDS, 100.0)  # of no call: prompts, say
        return bills

    one, other = asyncio.run(main())
    assert [use.amount for use in one] == [11.0]
    assert other.cost == pytest.approx(0.21)
    value = metrics.registry.get_sample_value
    of_deepgram = {"provider": "deepgram"}
    assert value("voicebot_stt_audio_seconds_total", of_deepgram) == 132.0
    assert value(
        "voicebot_cost_total", {"stage": "stt", "traffic": "live", **of_deepgram}
    ) == pytest.approx(1.32)


def test_what_has_no_price_has_no_cost_and_nor_has_the_call() -> None:
    metrics = Metrics()
    bill = Bill()

    def use() -> None:
        charged_to.set(bill)
        meter(metrics, Stage.STT, "ear").count(Unit.AUDIO_SECONDS, 3.0)
        assert bill.cost == pytest.approx(0.03)
        meter(metrics, Stage.TTS, "unheard of").count(Unit.CHARACTERS, 12)

    copy_context().run(use)
    assert bill.cost is None
    assert {use.model: use.cost for use in bill} == {"ear": pytest.approx(0.03), "unheard of": None}
    assert (
        metrics.registry.get_sample_value("voicebot_tts_characters_total", {"provider": "deepgram"})
        == 12
    )


def test_a_call_that_uses_nothing_costs_nothing() -> None:
    assert Bill().cost == 0.0
