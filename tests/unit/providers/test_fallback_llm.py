"""A chain of language models, in virtual time: who answers, who is not asked, what is not insisted
upon. How a chain of streams retries and races is tested with the voices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import pytest
import structlog

from tests.support import virtual_time
from voicebot.providers.errors import KeyRefusedError, ModelGoneError, ProviderLateError
from voicebot.providers.fallback import Gate
from voicebot.providers.fallback_llm import FallbackLanguageModel, ModelLink
from voicebot.providers.instrumented import InstrumentedLanguageModel
from voicebot.providers.interfaces import Judge, Message, ModelRequest, ProviderError, Role, Stage
from voicebot.providers.sunset import Sunset
from voicebot.telemetry.metrics import Metrics

BROKEN = ProviderError(Stage.LLM, "groq", "500", retryable=True)
LATE = ProviderLateError(Stage.LLM, "groq", "no words in 1 s")
GONE = ModelGoneError(Stage.LLM, "groq", "404 model_not_found")
REFUSED = KeyRefusedError(Stage.LLM, "groq", "GROQ_API_KEY", "401")


@dataclass
class Mind:
    """For each request, one script: words, seconds to wait, or what to raise; the last goes on."""

    name: str
    scripts: list[list[Any]]
    asked: int = 0
    running: int = 0

    async def answer(self, request: ModelRequest) -> AsyncIterator[str]:
        script = self.scripts[min(self.asked, len(self.scripts) - 1)]
        self.asked += 1
        self.running += 1
        try:
            for step in script:
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, str):
                    yield step
                else:
                    await asyncio.sleep(step)
        finally:
            self.running -= 1


def request(**how: Any) -> ModelRequest:
    return ModelRequest((Message(Role.USER, "Bonjour"),), 100, **how)


class Stand:
    def __init__(self, *minds: Mind, hedging: bool = False) -> None:
        self.metrics = Metrics()
        self.minds = minds
        loop = asyncio.get_running_loop()
        links = [
            ModelLink(
                InstrumentedLanguageModel(mind, self.metrics),
                Gate(Stage.LLM, mind.name, self.metrics, loop.time, Sunset("model", None)),
            )
            for mind in minds
        ]
        self.chain = FallbackLanguageModel(
            links, self.metrics, attempts=2, timeout=1.0, hedging=hedging
        )

    async def ask(self, **how: Any) -> str:
        return "".join([text async for text in self.chain.answer(request(**how))])

    def count(self, name: str, **labels: str) -> float:
        value = self.metrics.registry.get_sample_value(f"voicebot_{name}", labels)
        assert value is not None, name
        return value

    def requests(self, provider: str, outcome: str) -> float:
        return self.count(
            "provider_requests_total", stage="llm", provider=provider, outcome=outcome
        )


def play(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        await story()
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert left == []

    virtual_time.run(whole())


def test_the_first_model_answers_while_it_can() -> None:
    async def story() -> None:
        stand = Stand(Mind("groq", [[0.2, "Oui", "."]]), Mind("groq_spare", [["Non"]]))
        assert await stand.ask() == "Oui."
        assert stand.requests("groq", "ok") == 1
        first = stand.count("llm_first_token_seconds_count", provider="groq")
        assert first == 1
        assert stand.minds[1].asked == 0

    play(story)


def test_a_quick_failure_is_tried_again_and_then_another_model_is_asked() -> None:
    async def story() -> None:
        stand = Stand(Mind("groq", [[BROKEN]]), Mind("groq_spare", [["Non"]]))
        assert await stand.ask() == "Non"
        assert (stand.minds[0].asked, stand.requests("groq", "error")) == (2, 2)

    play(story)


def test_after_one_that_was_late_the_next_has_its_time_and_nobody_is_asked_twice() -> None:
    async def story() -> None:
        stand = Stand(Mind("groq", [[1.0, LATE]]), Mind("groq_spare", [[0.4, "Non"], [1.0, LATE]]))
        assert await stand.ask() == "Non"
        assert (stand.minds[0].asked, stand.requests("groq", "timeout")) == (1, 1)
        began = asyncio.get_running_loop().time()
        with pytest.raises(ProviderLateError):
            await stand.ask()
        assert asyncio.get_running_loop().time() - began == pytest.approx(2.0)
        assert (stand.minds[0].asked, stand.minds[1].asked) == (2, 2)

    play(story)


def test_the_only_model_is_not_asked_again_when_it_was_late() -> None:
    async def story() -> None:
        stand = Stand(Mind("groq", [[1.0, LATE]]))
        with pytest.raises(ProviderLateError):
            await stand.ask()
        assert stand.minds[0].asked == 1, "the rules need no time"

    play(story)


def of_use_from(pieces: int) -> Callable[[], Judge]:
    """A judge who finds that many pieces of use, and no fewer."""

    def new() -> Judge:
        left = iter(range(pieces - 1, -1, -1))
        return lambda piece: None if next(left, 0) else 1.0

    return new


@pytest.mark.parametrize("failure", [LATE, BROKEN], ids=["drips", "breaks off"])
def test_what_cannot_be_used_yet_is_not_read_if_it_does_not_go_on(failure: Exception) -> None:
    async def story() -> None:
        stand = Stand(Mind("groq", [["O", 0.9, "u", failure]]), Mind("groq_spare", [["Non"]]))
        assert await stand.ask(new_judge=of_use_from(3)) == "Non"

    play(story)


def test_what_can_be_used_is_read_and_its_end_is_not_another_models() -> None:
    async def story() -> None:
        stand = Stand(Mind("groq", [["O", "u", "i", 0.5, LATE]]), Mind("groq_spare", [["Non"]]))
        answer = stand.chain.answer(request(new_judge=of_use_from(3)))
        assert [await anext(answer) for _ in range(3)] == ["O", "u", "i"]
        with pytest.raises(ProviderLateError):
            await anext(answer)
        assert stand.minds[1].asked == 0

    play(story)


def test_a_reply_that_is_complete_is_read_whatever_it_is_worth() -> None:
    async def story() -> None:
        stand = Stand(Mind("groq", [["Oui"]]), Mind("groq_spare", [["Non"]]))
        assert await stand.ask(new_judge=of_use_from(9)) == "Oui"

    play(story)


def test_a_speculative_request_is_not_insisted_upon() -> None:
    async def story() -> None:
        stand = Stand(Mind("groq", [[BROKEN]]), Mind("groq_spare", [["Non"]]))
        assert await stand.ask(speculative=True) == "Non"
        assert stand.minds[0].asked == 1

    play(story)


@pytest.mark.parametrize("error", [REFUSED, GONE], ids=["key refused", "model gone"])
def test_what_cannot_work_is_not_asked_again_and_said_once(error: ProviderError) -> None:
    async def story() -> None:
        stand = Stand(Mind("groq", [[error]]))
        with structlog.testing.capture_logs() as logs:
            for _ in range(3):
                with pytest.raises(ProviderError):
                    await stand.ask()
        assert stand.minds[0].asked == 1
        assert stand.count("provider_circuit_open", stage="llm", provider="groq") == 1
        said = [entry["event"] for entry in logs if entry["log_level"] == "error"]
        assert said in (["key refused"], ["model is gone"])

    play(story)


def test_when_all_are_given_a_rest_the_request_fails_at_once() -> None:
    async def story() -> None:
        stand = Stand(Mind("groq", [[0.3, BROKEN]]), Mind("groq_spare", [[0.3, BROKEN]]))
        for _ in range(3):
            with pytest.raises(ProviderError):
                await stand.ask()
        began = asyncio.get_running_loop().time()
        with pytest.raises(ProviderError, match="nobody can be asked"):
            await stand.ask()
        assert asyncio.get_running_loop().time() == began
        await asyncio.sleep(6)
        stand.minds[0].scripts = [["Oui"]]
        assert await stand.ask() == "Oui", "the probe"

    play(story)


def test_a_slow_model_gets_competition_and_the_loser_is_cancelled() -> None:
    async def story() -> None:
        quick, slow = [[0.1, "Oui"]] * 20, [[0.9, "Oui"]]
        stand = Stand(Mind("groq", quick + slow), Mind("groq_spare", [[0.2, "Non"]]), hedging=True)
        for _ in range(20):
            await stand.ask()
        assert await stand.ask() == "Non"
        assert stand.count("provider_hedges_total", stage="llm", outcome="won") == 1
        assert stand.minds[0].running == 0
        assert stand.requests("groq", "cancelled") == 1

    play(story)


def test_leaving_early_cancels_the_request() -> None:
    async def story() -> None:
        stand = Stand(Mind("groq", [["Oui", 5.0, "."]]))
        answer = stand.chain.answer(request())
        assert await anext(answer) == "Oui"
        await answer.aclose()  # type: ignore[attr-defined]
        assert stand.minds[0].running == 0
        assert stand.requests("groq", "cancelled") == 1

    play(story)
