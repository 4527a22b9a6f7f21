"""A chain of recognisers, in virtual time: no turn is lost when one of them fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import virtual_time
from tests.support.waiting import until
from voicebot.audio.pcm import FRAME_BYTES
from voicebot.providers.errors import KeyRefusedError, ProviderLateError
from voicebot.providers.fallback import Gate
from voicebot.providers.fallback_stt import EarLink, FallbackSpeechToText
from voicebot.providers.instrumented import InstrumentedSpeechToText
from voicebot.providers.interfaces import (
    Expectation,
    ProviderError,
    SpeechStream,
    Stage,
    Transcript,
)
from voicebot.providers.sunset import Sunset
from voicebot.telemetry.metrics import Metrics

BROKEN = ProviderError(Stage.STT, "deepgram", "connection lost", retryable=True)
LATE = ProviderLateError(Stage.STT, "deepgram", "no words in 0.8 s")
REFUSED = KeyRefusedError(Stage.STT, "deepgram", "DEEPGRAM_API_KEY", "401")


def frame(value: int) -> bytes:
    return bytes([value]) * FRAME_BYTES


@dataclass
class Stream:
    """Hears a turn and answers a pause with how many frames it has of it."""

    ear: Ear
    on_transcript: Callable[[Transcript], None]
    on_error: Callable[[ProviderError], None]
    heard: list[int] = field(default_factory=list)
    in_turn: bool = False
    expectation: Expectation = Expectation.ANYTHING
    closed: bool = False
    timer: asyncio.TimerHandle | None = None

    def push(self, pcm: bytes) -> None:
        assert not self.closed
        if self.in_turn:
            self.heard += pcm[::FRAME_BYTES]

    def expect(self, expectation: Expectation) -> None:
        self.expectation = expectation

    def speech_started(self) -> None:
        self.in_turn = True

    def speech_paused(self, pause: int) -> None:
        if self.timer is not None:
            self.timer.cancel()
        answer = Transcript(" ".join(map(str, self.heard)), pause, 1.0)
        error = self.ear.failures.pop(0) if self.ear.failures else None
        loop = asyncio.get_running_loop()
        if error is None:
            self.timer = loop.call_later(0.2, self.on_transcript, answer)
        else:
            self.timer = loop.call_later(0.8 if error is LATE else 0.1, self.on_error, error)

    def turn_ended(self) -> None:
        self.in_turn = False
        self.heard.clear()

    async def close(self) -> None:
        self.closed = True
        if self.timer is not None:
            self.timer.cancel()
        await asyncio.sleep(0.3)


@dataclass
class Ear:
    """A recogniser whose next pauses fail with *failures*."""

    name: str
    failures: list[ProviderError | None] = field(default_factory=list)
    streams: list[Stream] = field(default_factory=list)

    def open(
        self,
        call_id: str,
        on_transcript: Callable[[Transcript], None],
        on_error: Callable[[ProviderError], None],
    ) -> SpeechStream:
        stream = Stream(self, on_transcript, on_error)
        self.streams.append(stream)
        return stream

    @property
    def live(self) -> int:
        return sum(not stream.closed for stream in self.streams)


class Stand:
    """One call on a chain of ears."""

    def __init__(self, *ears: Ear) -> None:
        self.metrics = Metrics()
        self.ears = ears
        self.transcripts: list[Transcript] = []
        self.errors: list[ProviderError] = []
        loop = asyncio.get_running_loop()
        self._stt = FallbackSpeechToText(
            [
                EarLink(
                    InstrumentedSpeechToText(ear, self.metrics),
                    Gate(Stage.STT, ear.name, self.metrics, loop.time, Sunset("model", None)),
                )
                for ear in ears
            ],
            attempts=2,
            patience=0.8,
        )
        self.stream = self.open()

    def open(self) -> SpeechStream:
        return self._stt.open("call", self.transcripts.append, self.errors.append)

    async def turn(self, pause: int, *values: int) -> tuple[str, float]:
        """The caller says *values*; what was understood, and how long it took."""
        loop = asyncio.get_running_loop()
        self.stream.speech_started()
        for value in values:
            self.stream.push(frame(value))
        self.stream.speech_paused(pause)
        began = loop.time()
        told = len(self.transcripts) + len(self.errors)
        await until(lambda: len(self.transcripts) + len(self.errors) > told, 10, "an answer")
        took = loop.time() - began
        self.stream.turn_ended()
        return (self.transcripts[-1].text if self.transcripts else ""), took

    def requests(self, provider: str, outcome: str) -> float | None:
        return self.metrics.registry.get_sample_value(
            "voicebot_provider_requests_total",
            {"stage": "stt", "provider": provider, "outcome": outcome},
        )


def play(story: Callable[[], Coroutine[Any, Any, Stand]]) -> None:
    async def whole() -> None:
        stand = await story()
        await stand.stream.close()
        await stand.stream.close()
        assert [ear.live for ear in stand.ears] == [0 for _ in stand.ears]
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert left == []

    virtual_time.run(whole())


@pytest.mark.parametrize(
    ("failure", "outcome", "took"), [(BROKEN, "error", 0.3), (LATE, "timeout", 1.0)]
)
def test_the_turn_that_broke_one_ear_is_heard_by_the_next(
    failure: ProviderError, outcome: str, took: float
) -> None:
    async def story() -> Stand:
        deepgram, local = Ear("deepgram", [failure]), Ear("local")
        stand = Stand(deepgram, local)
        stand.stream.expect(Expectation.YES_NO)
        said, after = await stand.turn(1, 1, 2, 3)
        assert said == "1 2 3"
        assert after == pytest.approx(took, abs=0.02)
        assert local.streams[0].expectation is Expectation.YES_NO
        assert stand.errors == []
        assert stand.requests("deepgram", outcome) == 1
        assert stand.requests("local", "ok") == 1
        # the next turn is the better ear's again, on a connection of its own
        assert (await stand.turn(2, 4))[0] == "4"
        assert stand.requests("deepgram", "ok") == 1
        assert (len(deepgram.streams), len(local.streams)) == (2, 1)
        return stand

    play(story)


def test_with_nobody_waiting_the_same_ear_is_opened_again_and_hears_the_turn_so_far() -> None:
    async def story() -> Stand:
        deepgram, local = Ear("deepgram"), Ear("local")
        stand = Stand(deepgram, local)
        stand.stream.speech_started()
        stand.stream.push(frame(1))
        deepgram.streams[0].on_error(BROKEN)
        stand.stream.push(frame(2))
        await asyncio.sleep(0.2)
        assert (await stand.turn(1, 3))[0] == "1 2 3"
        assert (len(deepgram.streams), len(local.streams)) == (2, 0)
        return stand

    play(story)


def test_after_two_tries_the_turn_goes_to_the_next() -> None:
    async def story() -> Stand:
        deepgram, local = Ear("deepgram"), Ear("local")
        stand = Stand(deepgram, local)
        stand.stream.speech_started()
        stand.stream.push(frame(1))
        deepgram.streams[0].on_error(BROKEN)
        await asyncio.sleep(0.2)
        deepgram.streams[1].on_error(BROKEN)
        assert (await stand.turn(1, 2))[0] == "1 2"
        assert len(local.streams) == 1
        return stand

    play(story)


def test_the_next_has_as_many_tries_as_the_one_before() -> None:
    async def story() -> Stand:
        deepgram, local = Ear("deepgram"), Ear("local")
        stand = Stand(deepgram, local)
        stand.stream.speech_started()
        stand.stream.push(frame(1))
        for stream in (deepgram, deepgram, local):
            stream.streams[-1].on_error(BROKEN)
            await asyncio.sleep(0.2)
        assert (len(deepgram.streams), len(local.streams)) == (2, 2)
        assert (await stand.turn(1, 2))[0] == "1 2"
        return stand

    play(story)


def test_what_an_ear_tells_that_was_left_changes_nothing() -> None:
    async def story() -> Stand:
        deepgram, local = Ear("deepgram", [BROKEN]), Ear("local")
        stand = Stand(deepgram, local)
        stand.stream.speech_started()
        stand.stream.push(frame(1))
        stand.stream.speech_paused(1)
        await until(lambda: bool(local.streams), 10, "the next")
        deepgram.streams[0].on_transcript(Transcript("late", 1, 1.0))
        deepgram.streams[0].on_error(BROKEN)
        await until(lambda: bool(stand.transcripts), 10, "an answer")
        assert [one.text for one in stand.transcripts] == ["1"]
        assert (stand.errors, len(local.streams)) == ([], 1)
        return stand

    play(story)


def test_a_turn_that_was_given_up_is_tried_once_more_for_its_words() -> None:
    async def story() -> Stand:
        local = Ear("local")
        stand = Stand(local)
        stand.stream.speech_started()
        stand.stream.push(frame(1))
        local.streams[0].on_error(REFUSED)
        assert (len(local.streams), stand.errors) == (1, []), "nobody waits yet"
        stand.stream.push(frame(2))
        stand.stream.speech_paused(1)
        await until(lambda: bool(stand.transcripts), 10, "an answer")
        assert stand.transcripts[-1].text == "1 2"
        return stand

    play(story)


def test_a_pause_while_the_ear_is_opened_again_is_answered() -> None:
    async def story() -> Stand:
        deepgram = Ear("deepgram")
        stand = Stand(deepgram, Ear("local"))
        stand.stream.speech_started()
        stand.stream.push(frame(1))
        deepgram.streams[0].on_error(BROKEN)
        assert (await stand.turn(1, 2))[0] == "1 2"
        assert len(deepgram.streams) == 2
        return stand

    play(story)


def test_an_ear_that_keeps_failing_is_left_alone_and_comes_back() -> None:
    async def story() -> Stand:
        deepgram, local = Ear("deepgram", [LATE] * 3), Ear("local")
        stand = Stand(deepgram, local)
        for number in range(6):
            assert (await stand.turn(number, number))[0] == str(number)
        assert stand.requests("deepgram", "timeout") == 3
        assert stand.requests("local", "ok") == 6
        await asyncio.sleep(5)
        await stand.turn(7, 7)  # at its end the call goes back
        assert (await stand.turn(8, 8))[0] == "8"
        assert stand.requests("deepgram", "ok") == 1
        return stand

    play(story)


def test_new_calls_begin_with_the_ear_that_works() -> None:
    async def story() -> Stand:
        deepgram, local = Ear("deepgram", [REFUSED]), Ear("local")
        stand = Stand(deepgram, local)
        assert (await stand.turn(1, 1))[0] == "1"
        other = stand.open()
        assert len(deepgram.streams) == 1
        await other.close()
        return stand

    play(story)


def test_the_last_ear_to_fail_is_reported_and_the_next_turn_is_heard() -> None:
    async def story() -> Stand:
        deepgram = Ear("deepgram", [LATE])
        local = Ear("local", [ProviderError(Stage.STT, "local", "died", retryable=False)])
        stand = Stand(deepgram, local)
        await stand.turn(1, 1)
        assert [str(error) for error in stand.errors] == ["died"]
        assert (await stand.turn(2, 2))[0] == "2"
        return stand

    play(story)


def test_the_only_ear_is_opened_again_if_the_words_can_still_be_in_time() -> None:
    async def story() -> Stand:
        deepgram = Ear("deepgram", [BROKEN])
        stand = Stand(deepgram)
        said, after = await stand.turn(1, 1, 2)
        assert said == "1 2"
        assert after == pytest.approx(0.4, abs=0.02)
        deepgram.failures = [LATE]
        await stand.turn(2, 3)
        assert stand.errors == [LATE]
        assert (await stand.turn(3, 4))[0] == "4"
        return stand

    play(story)


def test_a_probe_that_ends_unanswered_is_given_to_another_call() -> None:
    async def story() -> Stand:
        deepgram, local = Ear("deepgram", [LATE] * 3), Ear("local")
        stand = Stand(deepgram, local)
        for number in range(3):
            await stand.turn(number, number)
        await asyncio.sleep(5)
        probe = stand.open()
        assert deepgram.live == 1
        second = stand.open()
        assert deepgram.live == 1
        await probe.close()
        third = stand.open()
        assert deepgram.live == 1
        await second.close()
        await third.close()
        return stand

    play(story)


ACTIONS = st.lists(
    st.sampled_from(["speak", "pause", "end", "fail", "wait", "long wait"]), max_size=40
)


@given(ACTIONS, st.lists(st.sampled_from([None, BROKEN, LATE, REFUSED]), max_size=8))
def test_every_pause_is_answered_with_the_whole_turn_whatever_fails(
    actions: list[str], failures: list[ProviderError | None]
) -> None:
    """The last ear never fails here: so there is always an answer, and it lacks nothing."""

    async def story() -> Stand:
        deepgram, local = Ear("deepgram", list(failures)), Ear("local")
        stand = Stand(deepgram, local)
        spoken: list[int] = []
        pause = value = 0
        for action in actions:
            if action == "speak":
                stand.stream.speech_started()
                value = (value + 1) % 250
                spoken.append(value)
                stand.stream.push(frame(value))
            elif action == "pause" and spoken:
                pause += 1
                stand.stream.speech_paused(pause)
                await asyncio.sleep(3)
                assert stand.transcripts[-1].pause == pause
                assert stand.transcripts[-1].text == " ".join(map(str, spoken))
            elif action == "end":
                stand.stream.turn_ended()
                spoken.clear()
            elif action == "fail":
                for stream in deepgram.streams:
                    stream.on_error(BROKEN)
            elif action.endswith("wait"):
                await asyncio.sleep(60 if action == "long wait" else 0.05)
        assert stand.errors == []
        return stand

    play(story)
