"""How a pause sounds, as a test tells it: in place of the network and the workers that run it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from voicebot.providers.turn_ends import TurnEnds
from voicebot.telemetry.metrics import Metrics
from voicebot.workers.pool import WorkerError

Answer = float | WorkerError | None
"""A probability, what the workers raise, or nothing ever."""


class ToldEnds(TurnEnds):
    """Gives *answers* in turn after *delay* seconds each; the last goes on."""

    def __init__(self, metrics: Metrics, answers: list[Answer], delay: float) -> None:
        super().__init__(cast(Any, None), Path("unused"), metrics)
        self._answers = answers
        self._delay = delay
        self.asked: list[bytes] = []

    async def probability(self, pcm: bytes) -> float:
        self.asked.append(pcm)
        answer = self._answers[min(len(self.asked), len(self._answers)) - 1]
        await asyncio.sleep(self._delay)
        if answer is None:
            await asyncio.Event().wait()
        if isinstance(answer, WorkerError):
            raise answer
        assert answer is not None
        return answer


def told(*answers: Answer, delay: float = 0.05) -> Callable[[Metrics], ToldEnds]:
    """For :class:`tests.support.call_stage.CallStage`."""
    return lambda metrics: ToldEnds(metrics, list(answers), delay)
