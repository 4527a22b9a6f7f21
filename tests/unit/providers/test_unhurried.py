"""When a voice's audio is taken: at once at first, then in few wakes, and never too late."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from tests.support import virtual_time
from voicebot.audio import pcm
from voicebot.providers.interfaces import ProviderError, Stage
from voicebot.providers.unhurried import ENOUGH, LONGEST, UnhurriedTextToSpeech

PIECE = 0.1  # seconds of audio


@dataclass
class Cloud:
    """Makes *length* seconds of speech, *speed* times as fast as it is spoken, in pieces; what has
    been made waits until it is taken, as it does with the kernel."""

    speed: float
    length: float = 4.6
    breaks_at: float = float("inf")
    """Seconds from the request to its failure."""
    name: str = "cloud"
    voice: str = "cloud voice"
    closed: bool = False
    waits: list[float] = field(default_factory=list)
    """When somebody was woken by a piece."""

    async def synthesize(self, text: str) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            for number in range(1, round(self.length / PIECE) + 1):
                made = began + number * PIECE / self.speed
                failing = began + self.breaks_at
                if failing < made:
                    await asyncio.sleep(max(0.0, failing - loop.time()))
                    raise ProviderError(Stage.TTS, self.name, "gone", retryable=True)
                if made > loop.time():
                    await asyncio.sleep(made - loop.time())
                    self.waits.append(loop.time() - began)
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
    least_at_the_end: float = 0.0


async def play(cloud: Cloud) -> Played:
    loop = asyncio.get_running_loop()
    began = played_out = loop.time()
    played = Played()
    async for audio in UnhurriedTextToSpeech(cloud).synthesize("Bonjour."):
        now = loop.time()
        if not played.seconds:
            played.first = now - began
        else:
            played.gaps += max(0.0, now - played_out)
        played_out = max(played_out, now) + pcm.seconds(audio)
        played.seconds += pcm.seconds(audio)
    played.complete = loop.time() - began
    played.least_at_the_end = played_out - loop.time()
    return played


def test_a_fast_voice_wakes_the_process_a_few_times_only() -> None:
    cloud = Cloud(speed=4.0)
    played = virtual_time.run(play(cloud))
    assert played.seconds == pytest.approx(4.6)
    assert len(cloud.waits) <= 12, "of 46 pieces"
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
    assert played.least_at_the_end >= min(hurried, ENOUGH / 2) - 1e-6


def test_a_failure_is_told_while_there_is_something_to_hear() -> None:
    async def story() -> None:
        loop = asyncio.get_running_loop()
        cloud = Cloud(speed=4.0, breaks_at=0.6)
        pieces: list[bytes] = []

        async def listen() -> None:
            async for audio in UnhurriedTextToSpeech(cloud).synthesize("Bonjour."):
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
