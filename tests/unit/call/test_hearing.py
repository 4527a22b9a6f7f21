"""When what the caller said was said, by audio that comes in heaps or not at all."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from voicebot.audio.pcm import FRAME_BYTES, FRAME_SECONDS
from voicebot.audio.vad import WINDOW_SECONDS
from voicebot.call.hearing import LATEST, Hearing


class Ears:
    """The detector: notes when each window is said to have ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def open(self, judged: Callable[..., None], failed: Callable[..., None]) -> Ears:
        return self

    def hear(self, window: bytes, end: float) -> None:
        self.ends.append(end)


class Stream:
    def push(self, pcm: bytes) -> None: ...


def heard(arrivals: list[float]) -> list[float]:
    """The ends of the windows of frames that came then; the call begins at 0."""
    ears: Any = Ears()
    stream: Any = Stream()
    hearing = Hearing(ears, stream, 0.0, lambda event: None, lambda error: None)
    for at in arrivals:
        hearing.audio(bytes(FRAME_BYTES), at)
    return list(ears.ends)


def distances(ends: list[float]) -> list[float]:
    return [later - earlier for earlier, later in itertools.pairwise(ends)]


def test_frames_that_were_held_up_together_keep_their_distances() -> None:
    on_time = [k * FRAME_SECONDS for k in range(1, 9)]
    held_up = [0.24, 0.24, 0.24, 0.24]  # the last three of them in a heap
    ends = heard([*on_time, *held_up, *[k * FRAME_SECONDS for k in range(13, 21)]])
    assert distances(ends) == pytest.approx([WINDOW_SECONDS] * (len(ends) - 1), abs=0.021)
    assert max(distances(heard([*on_time, *[0.24] * 4]))) < WINDOW_SECONDS + FRAME_SECONDS


def test_after_a_gap_the_clock_is_that_of_the_time() -> None:
    before = [k * FRAME_SECONDS for k in range(1, 9)]
    after = [10.0 + k * FRAME_SECONDS for k in range(1, 9)]
    ends = heard([*before, *after])
    assert ends[-1] == pytest.approx(after[-1], abs=LATEST + WINDOW_SECONDS)
