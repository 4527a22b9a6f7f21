"""What a chat service writes about a request that cannot be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from voicebot.providers.groq_llm import CHECK_MESSAGES, GroqLanguageModel
from voicebot.providers.in_time import Limits
from voicebot.providers.interfaces import ModelRequest
from voicebot.providers.prices import Unit


class Stream:
    """A reply of one word, and then *usage*."""

    def __init__(self, usage: Any) -> None:
        word = SimpleNamespace(delta=SimpleNamespace(content="Oui."))
        self._chunks = [
            SimpleNamespace(choices=[word]),
            SimpleNamespace(choices=[], x_groq=SimpleNamespace(usage=usage)),
        ]

    async def __aenter__(self) -> Stream:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def __aiter__(self) -> AsyncIterator[Any]:
        for chunk in self._chunks:
            yield chunk


class Counted:
    """A meter."""

    def __init__(self) -> None:
        self.used: dict[Unit, float] = {}

    def count(self, unit: Unit, amount: float) -> None:
        assert amount >= 0, "as every counter wants"
        self.used[unit] = amount


def reply(usage: Any) -> tuple[list[str], dict[Unit, float]]:
    """What is read of it, and what is counted."""

    async def create(**_: Any) -> Stream:
        return Stream(usage)

    completions = SimpleNamespace(create=create)
    client: Any = SimpleNamespace(
        sdk=SimpleNamespace(chat=SimpleNamespace(completions=completions))
    )
    meter: Any = Counted()
    model = GroqLanguageModel(
        client, Limits(1, 1, 1), name="groq", model="m", effort="", meter=meter
    )

    async def story() -> list[str]:
        return [piece async for piece in model.answer(ModelRequest(CHECK_MESSAGES, 10))]

    return asyncio.run(story()), meter.used


def usage(read: int, cached: int, written: int) -> Any:
    return SimpleNamespace(
        prompt_tokens=read,
        completion_tokens=written,
        prompt_tokens_details=SimpleNamespace(cached_tokens=cached),
    )


def test_what_it_used_is_counted() -> None:
    assert reply(usage(10, 4, 3)) == (
        ["Oui."], {Unit.INPUT_TOKENS: 6, Unit.CACHED_TOKENS: 4, Unit.OUTPUT_TOKENS: 3},
    )  # fmt: skip


@pytest.mark.parametrize("told", [(10, 11, 3), (10, -1, 3), (-1, 0, 3), (10, 0, -3)])
def test_figures_that_cannot_be_cost_no_reply(told: tuple[int, int, int]) -> None:
    words, used = reply(usage(*told))
    assert words == ["Oui."]
    assert used[Unit.OUTPUT_TOKENS] == 1, "an estimate takes their place"
