"""When a voice's audio is taken: at once at first, then in few wakes, and never too late."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from tests.support import virtual_time
from voicebot.audio import pcm
from voicebot.providers.interfaces import ProviderError, Stage
from voicebot.providers.pace import Pace
from voicebot.providers.unhurried import (
    FASTEST,
    LEFT,
    LEFT_AT_THE_END,
    LONGEST,
    UnhurriedTextToSpeech,
)

PIECE = 0.1  # seconds of audio


@dataclass
class Cloud:
    """Makes *length* seconds of speech, *speed* times as fast as it is spoken, in pieces; what has
    been made waits until it is taken, as it does with the kernel, and what is there is taken at
    once."""

    speed: float
    length: float = 4.6
    breaks_at: float = float("inf")
    """Seconds from the request to its failure."""
    name: str = "cloud"
    voice: str = "cloud voice"
    closed: bool = False
    wakes: list[float] = field(default_factory=list)
    """When somebody was woken, in seconds from the request."""

    async def synthesize(self, text: str, pace: Pace) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        began = read = loop.time()
        try:
            for number in range(1, round(self.length / PIECE) + 1):
                made = began + number * PIECE / self.speed
                failing = began + self.breaks_at
                if min(failing, made) > read:
                    wait = max(pace.not_before, min(failing, made)) - loop.time()
                    await asyncio.sleep(max(0.0, wait))
                    read = loop.time()
                    self.wakes.append(read - began)
                if failing < made:
                    raise ProviderError(Stage.TTS, self.name, "gone", retryable=True)
                yield pcm.silence(PIECE)
        finally:
            self.closed = True


@dataclass
class Played:
    """What the caller hears of it, if it is played as it comes."""

    seconds: float = 0.0
    first: float = 0.0
    gaps: float = 0.0
    complete: float = 0.0
    left_at_the_end: float = 0.0


def sentence(length: float) -> str:
    """Which a voice says in *length* seconds, at 15 characters a second as most do."""
    return "." * round(15 * length)


async def play(cloud: Cloud, text: str | None = None) -> Played:
    loop = asyncio.get_running_loop()
    began = played_out = loop.time()
    played = Played()
    voice = UnhurriedTextToSpeech(cloud)
    async for audio in voice.synthesize(sentence(cloud.length) if text is None else text):
        now = loop.time()
        if not played.seconds:
            played.first = now - began
        else:
            played.gaps += max(0.0, now - played_out)
        played_out = max(played_out, now) + pcm.seconds(audio)
        played.seconds += pcm.seconds(audio)
    played.complete = loop.time() - began
    played.left_at_the_end = played_out - loop.time()
    return played


def test_a_fast_voice_wakes_the_process_a_few_times_only() -> None:
    cloud = Cloud(speed=4.0)
    played = virtual_time.run(play(cloud))
    assert played.seconds == pytest.approx(4.6)
    assert len(cloud.wakes) <= 7, "of 46 pieces"
    assert played.first == pytest.approx(PIECE / 4)
    assert played.gaps == 0.0
    assert played.complete <= 4.6 / 4 + LONGEST


@pytest.mark.parametrize("length", [0.3, 0.7, 1.0, 1.4, 2.2, 3.0, 9.0])
@pytest.mark.parametrize("speed", [0.8, 1.0, 1.5, 4.0, 50.0])
def test_nobody_hears_a_rest(speed: float, length: float) -> None:
    """Gaps are the peer's own, and at the end there is time to ask for the next sentence."""
    cloud = Cloud(speed, length)
    played = virtual_time.run(play(cloud))
    assert played.seconds == pytest.approx(length)
    lag = max(0.0, length - PIECE) * max(0.0, 1 / speed - 1)  # of a voice that is too slow
    assert played.gaps == pytest.approx(lag, abs=1e-6)
    hurried = length - PIECE - (length - PIECE) / speed + PIECE  # had at the end without rests
    assert played.left_at_the_end >= min(hurried, LEFT_AT_THE_END[1]) - 1e-6


def test_something_is_in_hand_at_each_wake_even_if_the_sentence_is_long() -> None:
    async def story() -> None:
        cloud = Cloud(speed=4.0, length=20.0)
        await play(cloud)
        made = [PIECE * int(wake * 4.0 / PIECE + 1e-6) for wake in cloud.wakes]
        for before, after, had in zip(cloud.wakes[1:], cloud.wakes[2:], made[1:], strict=False):
            in_hand = had - (before - cloud.wakes[0])
            left = had - (after - cloud.wakes[0])
            assert left >= min(in_hand, max(LEFT[0] * in_hand, LEFT[1])) - 1e-6

    virtual_time.run(story())


def test_a_sentence_that_may_be_complete_leaves_time_for_the_next() -> None:
    """The shorter the text, the sooner that is."""
    short, long = Cloud(speed=4.0), Cloud(speed=4.0)
    virtual_time.run(play(short, "Oui."))
    virtual_time.run(play(long, "." * round(FASTEST * 4.0)))
    assert short.wakes[0] == long.wakes[0]
    assert len(short.wakes) > len(long.wakes)


def test_a_failure_is_told_while_there_is_something_to_hear() -> None:
    async def story() -> None:
        loop = asyncio.get_running_loop()
        cloud = Cloud(speed=4.0, breaks_at=0.6)
        pieces: list[bytes] = []

        async def listen() -> None:
            async for audio in UnhurriedTextToSpeech(cloud).synthesize(sentence(4.6)):
                pieces.append(audio)  # noqa: PERF401 -- those before the failure count

        began = loop.time()
        with pytest.raises(ProviderError, match="gone"):
            await listen()
        heard = pcm.seconds(b"".join(pieces))
        assert heard == pytest.approx(2.4, abs=1.5 * PIECE)
        assert loop.time() - began <= 0.6 + LONGEST
        assert loop.time() - began < heard

    virtual_time.run(story())


@pytest.mark.parametrize("after", [0.01, 0.2, 0.3, 0.45])
def test_who_stops_listening_leaves_nothing_behind_even_at_rest(after: float) -> None:
    async def story() -> None:
        cloud = Cloud(speed=4.0)
        task = asyncio.create_task(play(cloud))
        await asyncio.sleep(after)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert cloud.closed
        assert asyncio.all_tasks() == {asyncio.current_task()}

    virtual_time.run(story())
