"""A pool of worker processes that is asked for much: order, patience, and what is given up."""

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.support.jobs import job
from tests.support.pools import CORE, alive, busy, eventually, finished, pool_of, restarts, run
from voicebot.telemetry.metrics import Metrics
from voicebot.workers.jobs import Call, Priority
from voicebot.workers.pool import WorkerError, WorkerPool


def test_a_job_goes_there_and_back() -> None:
    metrics = Metrics()

    async def story() -> None:
        async with pool_of(1, metrics) as pool:
            assert await pool.run(job("echo"), b"\0\1" * 500_000) == b"\0\1" * 500_000

    run(story)
    assert finished(metrics, "ok") == 1


def test_a_worker_is_pinned_polite_single_threaded_and_light() -> None:
    async def story() -> None:
        async with pool_of(1) as pool:
            found = await pool.run(job("circumstances"))
        assert found["cores"] == {CORE}
        assert found["niceness"] >= 5
        assert found["threads"] == "1"
        assert found["heavy"] == []
        assert found["ignores"] == [True, True]

    run(story)


def test_the_most_urgent_job_goes_first_then_the_oldest(tmp_path: Path) -> None:
    notes, gate = tmp_path / "notes", tmp_path / "gate"

    async def story() -> None:
        async with pool_of(1) as pool:
            occupied = await busy(pool, gate)
            queued = [
                asyncio.ensure_future(pool.run(job("note"), str(notes), word, priority=priority))
                for word, priority in [
                    ("batch", Priority.BATCH),
                    ("speak", Priority.SPEAK),
                    ("turn", Priority.TURN),
                    ("later turn", Priority.TURN),
                ]
            ]
            await asyncio.sleep(0)
            assert waiting(pool) == {"turn": 2, "speak": 1, "batch": 1}
            gate.touch()
            await asyncio.gather(occupied, *queued)
            assert waiting(pool) == {"turn": 0, "speak": 0, "batch": 0}

    run(story)
    assert notes.read_text().splitlines() == ["turn", "later turn", "speak", "batch"]


def waiting(pool: WorkerPool) -> dict[str, float]:
    """What the metric says, by priority."""
    (family,) = pool._metrics.worker_jobs_waiting.collect()
    return {sample.labels["priority"]: sample.value for sample in family.samples}


def test_a_cancelled_job_is_not_run_and_a_running_one_is_thrown_away(tmp_path: Path) -> None:
    notes, gate = tmp_path / "notes", tmp_path / "gate"
    metrics = Metrics()

    async def story() -> None:
        async with pool_of(1, metrics) as pool:
            running = await busy(pool, gate)
            queued = asyncio.ensure_future(pool.run(job("note"), str(notes), "unwanted"))
            await asyncio.sleep(0)
            queued.cancel()
            running.cancel()
            await asyncio.wait((queued, running))
            gate.touch()
            assert await pool.run(job("echo"), "next") == "next"

    run(story)
    assert not notes.exists()
    assert finished(metrics, "cancelled") == 2
    assert finished(metrics, "ok") == 1
    assert restarts(metrics) == 0


def test_a_worker_is_kept_for_those_who_wait(tmp_path: Path) -> None:
    gate = tmp_path / "gate"

    async def story() -> None:
        async with pool_of(2) as pool:
            pool.spare(1)
            batches = [
                asyncio.ensure_future(pool.run(job("wait_for"), str(gate))) for _ in range(3)
            ]
            for urgent in (Priority.TURN, Priority.SPEAK):
                async with asyncio.timeout(10):
                    assert await pool.run(job("echo"), 1, priority=urgent) == 1
            assert len(pool._queue) == 2
            gate.touch()
            await asyncio.gather(*batches)

    run(story)


def test_the_only_worker_does_everything() -> None:
    async def story() -> None:
        async with pool_of(1) as pool:
            pool.spare(1)
            assert await pool.run(job("echo"), 1) == 1

    run(story)


def test_an_exception_in_a_job_is_told_without_what_was_said() -> None:
    async def story() -> None:
        async with pool_of(1) as pool:
            (pid,) = pool.pids
            with capture_logs() as logs, pytest.raises(WorkerError) as caught:
                await pool.run(job("fail"), "je suis Pierre Dupont")
            assert pool.pids == (pid,), "the worker itself is well"
        assert "ValueError" in str(caught.value)
        assert "Dupont" not in str(caught.value)
        (entry,) = logs
        assert [key for key, value in entry.items() if "Dupont" in str(value)] == ["pii_detail"]

    run(story)


def test_a_full_queue_refuses_at_once_and_only_at_that_priority(tmp_path: Path) -> None:
    gate = tmp_path / "gate"

    async def story() -> None:
        async with pool_of(1, queue_limit=1) as pool:
            occupied = await busy(pool, gate)
            queued = asyncio.ensure_future(pool.run(job("echo"), 1))
            urgent = asyncio.ensure_future(pool.run(job("echo"), 2, priority=Priority.TURN))
            await asyncio.sleep(0)
            with pytest.raises(WorkerError, match="1 jobs of priority BATCH are waiting"):
                await pool.run(job("echo"), 3)
            gate.touch()
            assert (await queued, await urgent) == (1, 2)
            await occupied

    run(story)


def test_a_job_that_no_worker_takes_in_time_is_given_up(tmp_path: Path) -> None:
    gate, notes = tmp_path / "gate", tmp_path / "notes"
    metrics = Metrics()

    async def story() -> None:
        async with pool_of(1, metrics) as pool:
            occupied = await busy(pool, gate)
            with pytest.raises(WorkerError, match=r"no worker was free for 0.01 s"):
                await pool.run(job("note", patience=0.01), str(notes), "late")
            gate.touch()
            await occupied

    run(story)
    assert finished(metrics, "timeout") == 1
    assert not notes.exists()


def test_an_engine_that_does_not_load_stops_the_start() -> None:
    async def story() -> None:
        with pytest.raises(WorkerError, match=r"core \d+ did not start: .*ValueError: no model"):
            async with pool_of(3, warm=(Call("tests.support.jobs:fail", ("no model",)),)):
                raise AssertionError("it started")

    run(story)


def test_closing_kills_the_workers_and_fails_what_waits(tmp_path: Path) -> None:
    async def story() -> None:
        async with pool_of(2) as pool:
            pids = pool.pids
            jobs = [asyncio.ensure_future(pool.run(job("hang"))) for _ in range(3)]
            await asyncio.sleep(0)
            await eventually(lambda: len(pool._queue) == 1)  # the others are running
            await pool.close()
            for result in await asyncio.gather(*jobs, return_exceptions=True):
                assert isinstance(result, WorkerError)
                assert "the service is stopping" in str(result)
            assert not any(map(alive, pids))
            with pytest.raises(WorkerError, match="not running"):
                await pool.run(job("echo"), 1)

    run(story)
