"""Voice activity of all calls, judged together.

The detector's weights do not stay in the processor's cache from one window to the next, and to
fetch them costs more than to compute with them (docs/decisions/0040). So windows wait for those of
other calls: until the next moment on the frames' grid, or until a call's next frame is due. What
callers hear is not later for it, since decisions are carried out in a call's next frame anyway.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from voicebot.audio.pacing import grid


class VoiceActivity(Protocol):
    """Tells speech from everything else, window after window of each caller."""

    def caller(self) -> Any:
        """What to remember of a new caller."""

    def process(self, callers: Sequence[Any], windows: Sequence[bytes]) -> Sequence[float]:
        """The probability that *windows*, the next of each of *callers*, hold speech. No caller is
        there twice."""


Judged = Callable[[bytes, float, float], None]
"""Told a window, the time of its end, and the probability of speech."""


class Ear:
    """One caller's place at the detector; made by :meth:`Detector.open`."""

    def __init__(
        self, detector: Detector, caller: Any, judged: Judged, failed: Callable[[Exception], None]
    ) -> None:
        self.caller = caller
        self.judged = judged
        self.failed = failed
        self.waiting: deque[tuple[bytes, float]] = deque()
        self._detector = detector

    def hear(self, window: bytes, end: float) -> None:
        """Have the caller's next *window* judged, whose last sample came at *end*."""
        self.waiting.append((window, end))
        if len(self.waiting) == 1:
            self._detector.expect(self)

    def close(self) -> None:
        """Nothing more is told. Idempotent."""
        self.waiting.clear()


class Detector:
    """One for the process, on its event loop."""

    def __init__(self, vad: VoiceActivity, loop: asyncio.AbstractEventLoop) -> None:
        self._vad = vad
        self._loop = loop
        self._ears: list[Ear] = []
        self._armed = False

    def open(self, judged: Judged, failed: Callable[[Exception], None]) -> Ear:
        """A place for a caller. What *judged* raises goes to *failed*, and to no other call."""
        return Ear(self, self._vad.caller(), judged, failed)

    def expect(self, ear: Ear) -> None:
        """A window of *ear* waits."""
        self._ears.append(ear)
        if not self._armed:
            self._armed = True
            self._loop.call_at(grid(self._loop.time()), self._due)

    def judge(self) -> None:
        """Judge what waits, of all calls."""
        while ears := [ear for ear in self._ears if ear.waiting]:
            batch = [(ear, *ear.waiting.popleft()) for ear in ears]
            self._ears = [ear for ear in ears if ear.waiting]  # after a stall there are several
            self._judge(batch)
        self._ears.clear()

    def _due(self) -> None:
        self._armed = False
        self.judge()

    def _judge(self, batch: Sequence[tuple[Ear, bytes, float]]) -> None:
        try:
            probabilities = self._vad.process(
                [ear.caller for ear, _, _ in batch], [window for _, window, _ in batch]
            )
        except Exception as error:
            for ear, _, _ in batch:
                ear.failed(error)
            return
        for (ear, window, end), probability in zip(batch, probabilities, strict=True):
            try:
                ear.judged(window, end, probability)
            except Exception as error:
                ear.failed(error)
