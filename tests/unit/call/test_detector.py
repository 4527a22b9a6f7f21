"""Windows of all calls are judged together, in time, and no call suffers by another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from tests.support import virtual_time
from voicebot.audio.pacing import GRID_SECONDS
from voicebot.call.detector import Detector, Ear


class Counting:
    """A window is its caller's name, and of nobody else; :func:`probability` says what each is
    given."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.broken = False

    def caller(self) -> dict[bytes, int]:
        return {}

    def process(self, callers: Sequence[dict[bytes, int]], windows: Sequence[bytes]) -> list[float]:
        if self.broken:
            raise ArithmeticError("of all of them")
        assert len({id(caller) for caller in callers}) == len(callers), "each is there once"
        self.batches.append(len(windows))
        found = []
        for caller, window in zip(callers, windows, strict=True):
            assert set(caller) <= {window}, "windows are not mixed up"
            caller[window] = caller.get(window, 0) + 1
            found.append(probability(window.decode(), caller[window]))
        return found


def probability(name: str, number: int) -> float:
    """Of a caller's first, second, … window: no two callers have the same."""
    return ord(name[0]) / 1000 + number / 100


class House:
    """A detector and its callers."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.vad = Counting()
        self.detector = Detector(self.vad, self.loop)
        self.told: dict[str, list[tuple[float, float, float]]] = {}
        """For each caller: end and probability of a window, and when that was known."""
        self.failed: dict[str, list[Exception]] = {}

    def caller(self, name: str, breaks: bool = False) -> Ear:
        told = self.told[name] = []
        failed = self.failed[name] = []

        def judged(window: bytes, end: float, speech: float) -> None:
            assert window == name.encode()
            if breaks:
                raise KeyError(name)
            told.append((end, speech, self.loop.time()))

        return self.detector.open(judged, failed.append)


Story = Callable[[House], Coroutine[Any, Any, None]]


def play(story: Story) -> None:
    async def main() -> None:
        await story(House())

    virtual_time.run(main())


def test_windows_that_come_close_together_are_judged_together_and_soon() -> None:
    async def story(house: House) -> None:
        ears = {name: house.caller(name) for name in ("anna", "berta", "clara")}
        ends = {}
        for name, ear in ears.items():
            ends[name] = house.loop.time()
            ear.hear(name.encode(), ends[name])
            await asyncio.sleep(GRID_SECONDS / 10)
        await asyncio.sleep(GRID_SECONDS)
        assert house.vad.batches in ([3], [1, 2], [2, 1]), "the grid may lie in between"
        for name, end in ends.items():
            ((told_of, told, at),) = house.told[name]
            assert (told_of, told) == (end, probability(name, 1))
            assert at - end <= GRID_SECONDS + 1e-9

    play(story)


def test_a_call_whose_frame_is_due_does_not_wait() -> None:
    async def story(house: House) -> None:
        anna, berta = house.caller("anna"), house.caller("berta")
        anna.hear(b"anna", 1.0)
        berta.hear(b"berta", 1.0)
        house.detector.judge()
        assert house.vad.batches == [2]
        assert len(house.told["anna"]) == len(house.told["berta"]) == 1
        await asyncio.sleep(2 * GRID_SECONDS)
        assert house.vad.batches == [2], "once"
        anna.hear(b"anna", 2.0)
        await asyncio.sleep(GRID_SECONDS)
        assert house.vad.batches == [2, 1], "and it goes on"

    play(story)


def test_what_has_piled_up_of_one_caller_is_judged_in_its_order() -> None:
    async def story(house: House) -> None:
        anna, berta = house.caller("anna"), house.caller("berta")
        for end in (1.0, 2.0, 3.0):
            anna.hear(b"anna", end)
        berta.hear(b"berta", 3.0)
        await asyncio.sleep(GRID_SECONDS)
        assert house.vad.batches == [2, 1, 1]
        assert [told[:2] for told in house.told["anna"]] == [
            (float(number), probability("anna", number)) for number in (1, 2, 3)
        ]
        assert [told[:2] for told in house.told["berta"]] == [(3.0, probability("berta", 1))]

    play(story)


def test_a_call_that_is_over_is_told_nothing() -> None:
    async def story(house: House) -> None:
        anna, berta = house.caller("anna"), house.caller("berta")
        anna.hear(b"anna", 1.0)
        berta.hear(b"berta", 1.0)
        anna.close()
        await asyncio.sleep(GRID_SECONDS)
        assert house.told["anna"] == []
        assert len(house.told["berta"]) == 1

    play(story)


@pytest.mark.parametrize("first", [True, False])
def test_a_bug_in_one_call_is_that_calls_alone(first: bool) -> None:
    async def story(house: House) -> None:
        names = ("bad", "good") if first else ("good", "bad")
        for name in names:
            house.caller(name, breaks=name == "bad").hear(name.encode(), 1.0)
        await asyncio.sleep(GRID_SECONDS)
        assert len(house.told["good"]) == 1
        assert house.failed["good"] == []
        assert [type(error) for error in house.failed["bad"]] == [KeyError]

    play(story)


def test_a_detector_that_fails_is_told_to_every_call_it_failed() -> None:
    async def story(house: House) -> None:
        anna, berta = house.caller("anna"), house.caller("berta")
        house.vad.broken = True
        anna.hear(b"anna", 1.0)
        await asyncio.sleep(GRID_SECONDS)
        house.vad.broken = False
        berta.hear(b"berta", 1.0)
        await asyncio.sleep(GRID_SECONDS)
        assert [type(error) for error in house.failed["anna"]] == [ArithmeticError]
        assert len(house.told["berta"]) == 1

    play(story)
