"""Asking real workers how a pause sounds: what they find, and what becomes of it if they fail."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.support.jobs import job
from tests.support.waiting import until
from voicebot.audio.pcm import BYTES_PER_SECOND
from voicebot.providers import turn_ends
from voicebot.providers.smart_turn import SECONDS
from voicebot.providers.turn_ends import HEARD, TurnEndListener, TurnEnds
from voicebot.telemetry.metrics import Metrics
from voicebot.workers.jobs import JUDGE_END, Job
from voicebot.workers.pool import WorkerError, WorkerPool

SPEECH = b"\x10\x20" * (BYTES_PER_SECOND // 2)
CORE = min(os.sched_getaffinity(0))


class Line:
    """A caller who has spoken for a second, and paused."""

    def __init__(self, pool: WorkerPool, model: Path, metrics: Metrics) -> None:
        self.metrics = metrics
        self.told: list[tuple[int, float]] = []
        self.logged: Sequence[Mapping[str, Any]] = ()
        """In the end: what an operator reads about it."""
        self.timely = True
        self.ears: TurnEndListener = TurnEnds(pool, model, metrics).open("call", self._told)

    def _told(self, pause: int, probability: float) -> bool:
        self.told.append((pause, probability))
        return self.timely

    def pause(self, number: int = 1) -> None:
        self.ears.speech_started()
        self.ears.push(SPEECH)
        self.ears.speech_paused(number, 10.0)

    def counted(self) -> dict[str, float]:
        found = {}
        for outcome in ("finished", "unfinished", "late", "failed"):
            name = "voicebot_turn_end_judgements_total"
            value = self.metrics.registry.get_sample_value(name, {"outcome": outcome})
            if value:
                found[outcome] = value
        return found


def run(
    monkeypatch: pytest.MonkeyPatch,
    work: Job,
    story: Callable[[Line], Awaitable[None]],
    model: Path = Path("a file"),
) -> Line:
    """*story* with a worker that does *work* in place of listening."""

    async def whole() -> Line:
        metrics = Metrics()
        pool = WorkerPool([CORE], metrics)
        await pool.start()
        try:
            line = Line(pool, model, metrics)
            await story(line)
            line.ears.close()
            return line
        finally:
            await pool.close()

    # The functions of tests.support.jobs take what they are given: a path, and audio.
    monkeypatch.setattr(turn_ends, "JUDGE_END", work)
    with capture_logs() as logs:
        line = asyncio.run(whole())
    line.logged = [entry for entry in logs if "pause" in entry["event"]]
    return line


@pytest.mark.parametrize("probability", [0.9, 0.2])
def test_what_a_worker_finds_is_told_with_its_pause(
    monkeypatch: pytest.MonkeyPatch, probability: float
) -> None:
    async def story(line: Line) -> None:
        line.pause(7)
        await until(lambda: bool(line.told), 30, "the worker has answered")
        line.ears.poll(10.2)
        await asyncio.sleep(0)
        assert len(line.told) == 1, "the second look is not due"
        line.ears.poll(10.31)
        line.ears.poll(10.32)
        if probability < 0.5:
            await until(lambda: len(line.told) == 2, 30, "it has looked again")
        line.ears.poll(12.0)
        await asyncio.sleep(0)

    line = run(monkeypatch, job(f"says_{round(100 * probability)}"), story)
    if probability == 0.9:
        assert (line.told, line.counted()) == ([(7, 0.9)], {"finished": 1})
    else:
        assert (line.told, line.counted()) == ([(7, 0.2)] * 2, {"unfinished": 2})


def test_a_worker_that_dies_over_it_is_counted_and_the_next_pause_is_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story(line: Line) -> None:
        for pause in (1, 2):
            line.pause(pause)
            await until(lambda: line.counted().get("failed") == pause, 30, "it died twice")  # noqa: B023

    line = run(monkeypatch, job("crash_at"), story)
    assert line.told == []


def test_a_bug_is_counted_and_told_once_and_the_next_pause_is_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It would leave a request that is never over, and be told when the call is, if at all."""

    async def story(line: Line) -> None:
        for pause in (1, 2):
            line.pause(pause)
            await until(lambda: line.counted().get("failed") == pause, 30, "it failed")  # noqa: B023
            line.ears.poll(11.0)
            assert line.counted() == {"failed": pause}, "it is not looked at again, nor late"

    line = run(monkeypatch, job("says_nothing"), story)
    assert line.told == []
    (entry,) = line.logged
    assert (entry["log_level"], entry["call_id"]) == ("error", "call")
    assert entry["exc_info"], "with its trace"


def test_nobody_free_is_a_failure_after_the_patience_of_the_job(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"

    async def story(line: Line) -> None:
        line.pause(1)
        await until(begun.exists, 30, "it has the worker")
        line.pause(2)
        await until(lambda: line.counted().get("failed") == 1, 30, "nobody was free")
        assert line.counted() == {"late": 1, "failed": 1}

    run(monkeypatch, replace(job("hang_at"), patience=0.5), story, begun)


def test_who_goes_on_or_hangs_up_is_told_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(line: Line) -> None:
        line.pause(1)
        line.ears.speech_started()
        line.pause(2)
        line.ears.turn_ended()
        line.pause(3)
        line.ears.close()
        line.ears.close()
        await asyncio.sleep(0.2)

    line = run(monkeypatch, job("says_90"), story)
    assert (line.told, line.counted()) == ([], {"late": 3})


def test_an_answer_for_which_there_is_no_use_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(line: Line) -> None:
        line.timely = False
        line.pause(1)
        await until(lambda: line.counted() == {"late": 1}, 30, "it is counted")
        line.ears.poll(11.0)
        await asyncio.sleep(0.1)

    line = run(monkeypatch, job("says_20"), story)
    assert line.counted() == {"late": 1}, "and it is not looked at again"


def test_it_keeps_what_the_network_hears() -> None:
    assert HEARD == SECONDS


def test_the_workers_are_not_running_is_a_worker_error() -> None:
    async def story() -> None:
        ends = TurnEnds(WorkerPool([CORE], Metrics()), Path("a file"), Metrics())
        with pytest.raises(WorkerError, match=f"{JUDGE_END.name}: the workers are not running"):
            await ends.probability(SPEECH)

    asyncio.run(story())
