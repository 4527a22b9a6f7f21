"""Does the caller sound finished? Asked of the workers at each pause.

The network hears the turn so far (:mod:`voicebot.providers.smart_turn`) at the moment in which the
pause is noticed, and once more a little later, if the caller did not sound finished and is still
silent: the silence is part of what it listens to. An answer that fails, or comes when the pause is
over, changes nothing but a counter: the words and the silence end the turn as if nobody had asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from voicebot.providers.turn_audio import TurnAudio
from voicebot.turns.endpointing import FINISHED
from voicebot.workers.jobs import JUDGE_END, Call, Priority
from voicebot.workers.pool import WorkerError, WorkerPool

if TYPE_CHECKING:
    from voicebot.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

HEARD: Final = 8.0
"""Seconds of a turn that are kept: what the network hears (``smart_turn.SECONDS``, which is not
imported, nor is what it computes with: that is for the workers)."""
SECOND_LOOK: Final = 0.28
"""Seconds from the last sound. Of whole sentences 74 % sound finished after 0.2 s, 83 % after 0.28
to 0.3 s; the shortest wait that this can cut short is 0.5 s."""

Judged = Callable[[int, float], bool]
"""Told a pause and the probability that the caller has finished; False: it came too late."""


def warm_call(model: Path) -> Call:
    """What a worker must run beforehand, so that the first pause finds the network loaded."""
    return Call("voicebot.providers.smart_turn:load", (str(model),))


class TurnEnds:
    """For all calls: the network in the file *model*, run by the workers of *pool*."""

    def __init__(self, pool: WorkerPool, model: Path, metrics: Metrics) -> None:
        self._pool = pool
        self._model = str(model)
        self.metrics = metrics

    def open(self, call_id: str, judged: Judged) -> TurnEndListener:
        return TurnEndListener(self, call_id, judged)

    async def probability(self, pcm: bytes) -> float:
        """How likely the speaker of *pcm* has finished. Raises WorkerError."""
        found = await self._pool.run(JUDGE_END, self._model, pcm, priority=Priority.TURN)
        assert isinstance(found, float), "what the job returns"
        return found


class TurnEndListener:
    """One call's. All methods return at once."""

    def __init__(self, ends: TurnEnds, call_id: str, judged: Judged) -> None:
        self._ends = ends
        self._judged = judged
        self._log = log.bind(call_id=call_id)
        self._audio = TurnAudio(HEARD)
        self._pause: int | None = None
        """The pause under way, while there is something to find out about it."""
        self._second_look = 0.0
        self._looked_again = False
        self._failed = False
        self._request: asyncio.Task[None] | None = None

    def push(self, pcm: bytes) -> None:
        """Take the next piece of caller audio."""
        self._audio.push(pcm)

    def speech_started(self) -> None:
        self._forget_pause()
        self._audio.begin()

    def speech_paused(self, pause: int, at: float) -> None:
        """The caller made the last sound *at*, and may have finished."""
        self._forget_pause()
        self._pause = pause
        self._second_look = at + SECOND_LOOK
        self._looked_again = False
        self._ask(pause)

    def poll(self, now: float) -> None:
        """Time has passed: look again, if that is due."""
        if self._pause is None or self._request is not None or self._looked_again:
            return
        if now >= self._second_look:
            self._looked_again = True
            self._ask(self._pause)

    def turn_ended(self) -> None:
        self._forget_pause()
        self._audio.end()

    def close(self) -> None:
        """Nothing more is told. Idempotent."""
        self.turn_ended()

    def _forget_pause(self) -> None:
        self._pause = None
        request, self._request = self._request, None
        if request is not None:
            request.cancel()
            self._count("late")

    def _ask(self, pause: int) -> None:
        work = self._ask_workers(pause, self._audio.pcm)
        self._request = asyncio.get_running_loop().create_task(work, name=f"end at pause {pause}")

    async def _ask_workers(self, pause: int, pcm: bytes) -> None:
        try:
            probability = await self._ends.probability(pcm)
        except WorkerError as error:
            if self._failed_at(pause):
                self._log.warning("nobody knows how a pause sounds", reason=str(error))
            return
        except Exception:  # a bug of ours costs the caller no more
            if self._failed_at(pause):
                self._log.exception("listening to a pause failed")
            return
        if self._pause != pause:
            return
        self._request = None
        finished = probability >= FINISHED
        if not self._judged(pause, probability):
            self._count("late")
            self._pause = None
            return
        self._count("finished" if finished else "unfinished")
        if finished or self._looked_again:
            self._pause = None

    def _failed_at(self, pause: int) -> bool:
        """Nothing will be known of *pause*. Whether to say so: once a call, the counter has all."""
        if self._pause != pause:
            return False
        self._request = self._pause = None
        self._count("failed")
        said, self._failed = self._failed, True
        return not said

    def _count(self, outcome: str) -> None:
        self._ends.metrics.turn_end_judgements.labels(outcome).inc()
