"""A chain of voices, in virtual time: who says the sentence, and who is not asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pytest
import structlog

from tests.support import virtual_time
from voicebot.providers.errors import KeyRefusedError, ProviderBusyError, ProviderLateError
from voicebot.providers.fallback import Gate
from voicebot.providers.fallback_tts import FallbackTextToSpeech, VoiceLink
from voicebot.providers.instrumented import InstrumentedTextToSpeech
from voicebot.providers.interfaces import ProviderError, Stage
from voicebot.providers.sunset import Sunset
from voicebot.telemetry.metrics import Metrics

BROKEN = ProviderError(Stage.TTS, "openai", "500", retryable=True)
LATE = ProviderLateError(Stage.TTS, "openai", "no audio in 1 s")
REFUSED = KeyRefusedError(Stage.TTS, "openai", "OPENAI_API_KEY", "401")


@dataclass
class Voice:
    """For each sentence asked, one script: bytes to say, seconds to wait, or what to raise.

    The last script goes on for ever.
    """

    name: str
    scripts: list[list[Any]]
    voice: str = "test"
    asked: int = 0
    running: int = 0
    said: list[str] = field(default_factory=list)

    async def synthesize(self, text: str) -> AsyncIterator[bytes]:
        script = self.scripts[min(self.asked, len(self.scripts) - 1)]
        self.asked += 1
        self.running += 1
        try:
            for step in script:
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, bytes):
                    yield step
                else:
                    await asyncio.sleep(step)
            self.said.append(text)
        finally:
            self.running -= 1


class Stand:
    """A chain of *voices*, the last one local."""

    def __init__(self, *voices: Voice, hedging: bool = False, day: date | None = None) -> None:
        self.metrics = Metrics()
        self.voices = voices
        self.today = date(2026, 11, 23)
        loop = asyncio.get_running_loop()
        links = [
            VoiceLink(
                InstrumentedTextToSpeech(voice, self.metrics),
                Gate(
                    Stage.TTS,
                    voice.name,
                    self.metrics,
                    loop.time,
                    Sunset("model", day if voice is voices[0] else None),
                    today=lambda: self.today,
                ),
            )
            for voice in voices
        ]
        self.chain = FallbackTextToSpeech(
            links, self.metrics, attempts=2, patience=1.0, hedging=hedging
        )

    async def say(self, text: str = "Bonjour.") -> bytes:
        return b"".join([piece async for piece in self.chain.synthesize(text)])

    def count(self, name: str, **labels: str) -> float:
        value = self.metrics.registry.get_sample_value(f"voicebot_{name}", labels)
        assert value is not None, name
        return value

    def requests(self, provider: str, outcome: str) -> float:
        return self.count(
            "provider_requests_total", stage="tts", provider=provider, outcome=outcome
        )

    def is_open(self, provider: str) -> bool:
        return self.count("provider_circuit_open", stage="tts", provider=provider) == 1


def play(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        await story()
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert left == []

    virtual_time.run(whole())


def test_the_first_voice_says_it_while_it_can() -> None:
    async def story() -> None:
        openai, local = Voice("openai", [[b"aa", 0.2, b"bb"]]), Voice("local", [[b"zz"]])
        stand = Stand(openai, local)
        assert await stand.say() == b"aabb"
        assert local.asked == 0
        assert stand.requests("openai", "ok") == 1

    play(story)


def test_a_quick_failure_is_tried_again_and_then_another_voice_says_the_same() -> None:
    async def story() -> None:
        openai, local = Voice("openai", [[0.05, BROKEN]]), Voice("local", [[b"zz"]])
        stand = Stand(openai, local)
        began = asyncio.get_running_loop().time()
        assert await stand.say("Le modem.") == b"zz"
        assert asyncio.get_running_loop().time() - began == pytest.approx(0.2)
        assert (openai.asked, local.said) == (2, ["Le modem."])
        assert stand.requests("openai", "error") == 2

    play(story)


@pytest.mark.parametrize(
    ("failure", "outcome"),
    [
        ([1.0, LATE], "timeout"),
        ([0.6, BROKEN], "error"),
        ([ProviderError(Stage.TTS, "openai", "404", retryable=False)], "error"),
    ],
    ids=["it was late", "a second try would be", "it would fail again"],
)
def test_what_cannot_be_in_time_is_not_tried_again(failure: list[Any], outcome: str) -> None:
    async def story() -> None:
        openai, local = Voice("openai", [failure]), Voice("local", [[b"zz"]])
        stand = Stand(openai, local)
        assert await stand.say() == b"zz"
        assert openai.asked == 1
        assert stand.requests("openai", outcome) == 1

    play(story)


@pytest.mark.parametrize(
    ("failure", "said"), [([0.05, BROKEN], b"dd"), ([1.0, LATE], b"zz")], ids=["fast", "slow"]
)
def test_the_voices_between_are_asked_only_while_they_can_be_in_time(
    failure: list[Any], said: bytes
) -> None:
    async def story() -> None:
        openai, deepgram = Voice("openai", [failure]), Voice("deepgram", [[0.2, b"dd"]])
        stand = Stand(openai, deepgram, Voice("local", [[b"zz"]]))
        assert await stand.say() == said

    play(story)


def test_after_three_failures_a_voice_is_left_alone_until_a_probe_succeeds() -> None:
    async def story() -> None:
        openai, local = Voice("openai", [[1.0, LATE]] * 3 + [[b"aa"]]), Voice("local", [[b"zz"]])
        stand = Stand(openai, local)
        for _ in range(5):
            assert await stand.say() == b"zz"
        assert openai.asked == 3
        assert stand.is_open("openai")
        await asyncio.sleep(5.0)
        assert await stand.say() == b"aa"
        assert not stand.is_open("openai")

    play(story)


def test_only_one_caller_is_the_probe() -> None:
    async def story() -> None:
        openai = Voice("openai", [[1.0, LATE]] * 3 + [[0.9, b"aa"]])
        local = Voice("local", [[b"zz"]])
        stand = Stand(openai, local)
        for _ in range(3):
            await stand.say()
        await asyncio.sleep(5.0)
        said = await asyncio.gather(*(stand.say() for _ in range(20)))
        assert sorted(said) == [b"aa"] + [b"zz"] * 19

    play(story)


def test_once_begun_a_voice_has_to_finish_and_the_rest_is_reported_lost() -> None:
    async def story() -> None:
        openai, local = Voice("openai", [[b"aa", 0.1, BROKEN]]), Voice("local", [[b"zz"]])
        stand = Stand(openai, local)
        sentence = stand.chain.synthesize("Bonjour.")
        assert await anext(sentence) == b"aa"
        with pytest.raises(ProviderError, match="500"):
            await anext(sentence)
        assert local.asked == 0

    play(story)


def test_a_voice_that_always_breaks_off_is_left_alone_too() -> None:
    async def story() -> None:
        openai, local = Voice("openai", [[b"aa", 0.1, BROKEN]]), Voice("local", [[b"zz"]])
        stand = Stand(openai, local)
        for _ in range(3):
            with pytest.raises(ProviderError):
                await stand.say()
        assert await stand.say() == b"zz"

    play(story)


def test_a_refused_key_is_named_once_and_never_used_again() -> None:
    async def story() -> None:
        openai, local = Voice("openai", [[REFUSED]]), Voice("local", [[b"zz"]])
        stand = Stand(openai, local)
        with structlog.testing.capture_logs() as logged:
            for _ in range(3):
                assert await stand.say() == b"zz"
                await asyncio.sleep(3600)
        assert openai.asked == 1
        assert stand.is_open("openai")
        refusals = [line for line in logged if line["event"] == "key refused"]
        assert [line["setting"] for line in refusals] == ["OPENAI_API_KEY"]

    play(story)


def test_a_provider_that_asks_for_a_rest_gets_it() -> None:
    async def story() -> None:
        busy = ProviderBusyError(Stage.TTS, "openai", "429", retry_after=20.0)
        openai, local = Voice("openai", [[busy], [b"aa"]]), Voice("local", [[b"zz"]])
        stand = Stand(openai, local)
        assert await stand.say() == b"zz"
        await asyncio.sleep(19)
        assert await stand.say() == b"zz"
        await asyncio.sleep(1)
        assert await stand.say() == b"aa"

    play(story)


def test_a_model_is_passed_over_from_the_day_it_is_switched_off() -> None:
    async def story() -> None:
        openai, local = Voice("openai", [[b"aa"]]), Voice("local", [[b"zz"]])
        stand = Stand(openai, local, day=date(2027, 1, 6))
        assert await stand.say() == b"aa"
        stand.today = date(2027, 1, 6)
        with structlog.testing.capture_logs() as logged:
            assert await stand.say() == b"zz"
            assert await stand.say() == b"zz"
        assert [line["event"] for line in logged] == ["retired model is passed over"]

    play(story)


def test_the_last_voice_is_always_asked_and_its_failure_is_the_chains() -> None:
    async def story() -> None:
        openai, local = Voice("openai", [[1.0, LATE]]), Voice("local", [[BROKEN]])
        stand = Stand(openai, local)
        for _ in range(6):
            with pytest.raises(ProviderError, match="500"):
                await stand.say()
        assert local.asked > 6

    play(story)


def test_a_bug_is_raised_and_not_taken_for_a_failure() -> None:
    async def story() -> None:
        stand = Stand(Voice("openai", [[KeyError("ours")]]), Voice("local", [[b"zz"]]))
        with pytest.raises(KeyError):
            await stand.say()

    play(story)


@pytest.mark.parametrize("at", [0.1, 0.25, 0.5], ids=["waiting", "backing off", "speaking"])
def test_a_cancelled_sentence_leaves_nothing_running(at: float) -> None:
    async def story() -> None:
        openai = Voice("openai", [[0.2, BROKEN], [0.1, b"aa", 5.0, b"bb"]])
        local = Voice("local", [[b"zz"]])
        stand = Stand(openai, local)
        task = asyncio.create_task(stand.say())
        await asyncio.sleep(at)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert openai.running == 0
        assert local.asked == 0
        assert not stand.is_open("openai")

    play(story)


class TestHedging:
    def stand(self, *slow: Any, hedge: Any = (0.1, b"zz")) -> tuple[Stand, Voice, Voice]:
        """A voice that has taken 0.3 s twenty times, and now does as *slow* says."""
        openai = Voice("openai", [[0.3, b"aa"]] * 20 + [list(slow)])
        local = Voice("local", [list(hedge)])
        return Stand(openai, local, hedging=True), openai, local

    def hedges(self, stand: Stand) -> tuple[float, float]:
        won, lost = (
            stand.count("provider_hedges_total", stage="tts", outcome=outcome)
            for outcome in ("won", "lost")
        )
        return won, lost

    @pytest.mark.parametrize(
        ("slow", "hedge", "said", "after", "hedges"),
        [
            ((0.29, b"aa"), (0.1, b"zz"), b"aa", 0.29, (0, 0)),
            ((0.9, b"aa"), (0.1, b"zz"), b"zz", 0.4, (1, 0)),
            ((0.35, b"aa"), (0.1, b"zz"), b"aa", 0.35, (0, 1)),
            ((0.35, BROKEN), (0.1, b"zz"), b"zz", 0.4, (1, 0)),
            ((0.8, b"aa"), (0.1, BROKEN), b"aa", 0.8, (0, 1)),
        ],
        ids=["in time", "slower", "slow, still first", "slow, then fails", "hedge fails"],
    )
    def test_a_slow_voice_gets_competition(
        self, slow: Any, hedge: Any, said: bytes, after: float, hedges: tuple[int, int]
    ) -> None:
        async def story() -> None:
            stand, openai, local = self.stand(*slow, hedge=hedge)
            for _ in range(20):
                await stand.say()
            assert local.asked == 0
            began = asyncio.get_running_loop().time()
            assert await stand.say() == said
            assert asyncio.get_running_loop().time() - began == pytest.approx(after)
            assert self.hedges(stand) == hedges
            assert (openai.running, local.running) == (0, 0)

        play(story)

    def test_cancelling_stops_both(self) -> None:
        async def story() -> None:
            stand, openai, local = self.stand(5.0, b"aa", hedge=(5.0, b"zz"))
            for _ in range(20):
                await stand.say()
            task = asyncio.create_task(stand.say())
            await asyncio.sleep(0.5)
            assert (openai.running, local.running) == (1, 1)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert (openai.running, local.running) == (0, 0)

        play(story)
