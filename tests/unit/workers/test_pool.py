"""Worker processes that crash, hang, and are asked for too much."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop
from structlog.testing import capture_logs

from tests.support.jobs import job
from voicebot.telemetry.metrics import Metrics
from voicebot.workers.jobs import Call, Priority
from voicebot.workers.pool import WorkerError, WorkerPool
from voicebot.workers.process import WorkerProcess

CORE = min(os.sched_getaffinity(0))


@asynccontextmanager
async def pool_of(
    size: int, metrics: Metrics | None = None, **options: Any
) -> AsyncIterator[WorkerPool]:
    pool = WorkerPool([CORE] * size, metrics or Metrics(), **options)
    await pool.start()
    try:
        yield pool
    finally:
        await pool.close()


def run(story: Callable[[], Awaitable[None]]) -> None:
    with capture_logs():
        uvloop.run(story())  # type: ignore[arg-type]


def finished(metrics: Metrics, outcome: str) -> float:
    labels = {"kind": "transcribe", "outcome": outcome}
    return metrics.registry.get_sample_value("voicebot_worker_jobs_total", labels) or 0.0


def restarts(metrics: Metrics, reason: str = "died") -> float:
    labels = {"reason": reason}
    return metrics.registry.get_sample_value("voicebot_worker_restarts_total", labels) or 0.0


async def busy(pool: WorkerPool, until: Path) -> asyncio.Task[None]:
    """Occupy one worker until the file exists."""
    task = asyncio.ensure_future(pool.run(job("wait_for"), str(until)))
    await asyncio.sleep(0)
    await eventually(lambda: not pool._queue)  # the worker has taken it
    return task


async def eventually(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110 -- processes set no event
            await asyncio.sleep(0.001)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def oom_score(pid: int) -> int:
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


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


def test_a_crash_costs_a_worker_but_not_the_job(tmp_path: Path) -> None:
    metrics = Metrics()

    async def story() -> None:
        async with pool_of(1, metrics) as pool:
            assert await pool.run(job("crash_first"), str(tmp_path / "crashed")) == "survived"

    run(story)
    assert restarts(metrics) == 1
    assert finished(metrics, "ok") == 1


def no_more_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on the system has no room for a process."""

    async def refused(core: int) -> WorkerProcess:
        raise OSError("no room")

    monkeypatch.setattr(WorkerProcess, "start", refused)


def test_a_job_whose_worker_died_waits_no_longer_than_any_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    metrics = Metrics()

    async def story() -> None:
        async with pool_of(1, metrics) as pool, asyncio.timeout(20):
            no_more_workers(monkeypatch)
            with pytest.raises(WorkerError, match=r"no worker was free for 0.2 s"):
                await pool.run(job("crash", patience=0.2))

    run(story)
    assert finished(metrics, "timeout") == 1


def test_workers_that_do_not_come_back_are_tried_ever_more_seldom(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("voicebot.workers.pool._FIRST_BACKOFF", 0.01)
    monkeypatch.setattr("voicebot.workers.pool._LONGEST_BACKOFF", 0.03)

    async def story() -> None:
        async with pool_of(1) as pool:
            no_more_workers(monkeypatch)
            os.kill(pool.pids[0], signal.SIGKILL)
            with capture_logs() as logs:
                await eventually(lambda: len(logs) >= 5)
            assert [line["after"] for line in logs[:5]] == [0.01, 0.02, 0.03, 0.03, 0.03]

    run(story)


def test_a_job_that_crashes_twice_is_given_up_and_the_next_one_runs() -> None:
    metrics = Metrics()

    async def story() -> None:
        async with pool_of(1, metrics) as pool:
            with pytest.raises(WorkerError, match="transcribe: the worker process died, twice"):
                await pool.run(job("crash"))
            assert await pool.run(job("echo"), "well") == "well"

    run(story)
    assert restarts(metrics) == 2
    assert finished(metrics, "error") == 1


@pytest.mark.parametrize(
    ("how", "told"),
    [("crash", "(signal 9)"), ("leave", "(exit status 3)"), ("fall_silent", "(signal 9)")],
)
def test_how_a_worker_ended_is_told(how: str, told: str) -> None:
    async def story() -> None:
        async with pool_of(1) as pool:
            with pytest.raises(WorkerError):
                await pool.run(job(how))
            assert await pool.run(job("echo"), "well") == "well"

    with capture_logs() as logs:
        uvloop.run(story())
    reasons = {line["reason"] for line in logs if line["event"] == "worker replaced"}
    assert reasons == {f"the worker process died {told}"}


def test_a_job_that_hangs_is_killed_at_its_deadline() -> None:
    metrics = Metrics()

    async def story() -> None:
        async with pool_of(1, metrics) as pool:
            with pytest.raises(WorkerError, match=r"no answer in 0.05 s, twice"):
                await pool.run(job("hang", deadline=0.05))
            assert await pool.run(job("echo"), "well") == "well"

    run(story)
    assert restarts(metrics, "hung") == 2


MEGABYTE = 1_000_000


def test_a_job_that_eats_memory_is_stopped_and_the_next_one_runs() -> None:
    metrics = Metrics()

    async def story() -> None:
        async with pool_of(1, metrics, most_memory=150 * MEGABYTE) as pool:
            with pytest.raises(WorkerError, match=r"held \d+ MB, 150 are allowed .*, twice"):
                await pool.run(job("eat"))
            assert await pool.run(job("echo"), "well") == "well"

    run(story)
    assert restarts(metrics, "memory") == 2
    assert finished(metrics, "error") == 1


def test_a_worker_that_keeps_too_much_is_replaced_after_its_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    metrics = Metrics()
    # On a busy machine the job would last longer than that, and be stopped in the middle.
    monkeypatch.setattr("voicebot.workers.process.MEMORY_POLL", 60.0)

    async def story() -> None:
        async with pool_of(1, metrics, most_memory=150 * MEGABYTE) as pool:
            (leaky,) = pool.pids
            assert await pool.run(job("keep"), 40 * MEGABYTE) == leaky
            assert await pool.run(job("keep"), 150 * MEGABYTE) == leaky, "its result is good"
            assert await pool.run(job("process_id")) != leaky

    run(story)
    assert restarts(metrics, "memory") == 1
    assert finished(metrics, "ok") == 3


def test_engines_that_need_more_than_is_allowed_stop_the_start() -> None:
    async def story() -> None:
        warm = (Call("tests.support.jobs:keep", (150 * MEGABYTE,)),)
        with pytest.raises(WorkerError, match=r"did not start: .*\(WORKER_MEMORY\)"):
            async with pool_of(1, warm=warm, most_memory=150 * MEGABYTE):
                raise AssertionError("it started")

    run(story)


def test_memory_is_told_and_the_kernel_takes_a_worker_before_the_calls() -> None:
    metrics = Metrics()

    async def story() -> None:
        async with pool_of(1, metrics) as pool:
            await pool.run(job("keep"), 60 * MEGABYTE)
            await pool.run(job("echo"), 1)
            assert oom_score(pool.pids[0]) == min(1000, oom_score(os.getpid()) + 500)

    run(story)
    held = metrics.registry.get_sample_value("voicebot_worker_memory_bytes", {"cpu": str(CORE)})
    assert held is not None
    assert 60 * MEGABYTE < held < 150 * MEGABYTE


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


def test_an_idle_worker_that_is_killed_is_replaced_at_once(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    warm = (Call("tests.support.jobs:note", (str(notes), "warm")),)

    async def story() -> None:
        async with pool_of(1, warm=warm) as pool:
            (victim,) = pool.pids
            os.kill(victim, signal.SIGKILL)
            await eventually(lambda: pool.pids not in ((victim,), ()))
            assert await pool.run(job("process_id")) == pool.pids[0] != victim

    run(story)
    assert notes.read_text().splitlines() == ["warm", "warm"], "the new one was warmed too"


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


SERVICE = """
import asyncio, os, sys
from tests.support.jobs import job
from voicebot.telemetry.metrics import Metrics
from voicebot.workers.pool import WorkerPool

async def main():
    pool = WorkerPool([int(sys.argv[1])], Metrics())
    await pool.start()
    hanging = asyncio.ensure_future(pool.run(job("hang")))
    await asyncio.sleep(0.05)
    print(pool.pids[0], flush=True)
    await hanging

asyncio.run(main())
"""


def test_workers_die_with_a_service_that_is_killed() -> None:
    """Even busy ones, which do not see that the other end of their socket is gone."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVICE, str(CORE)], stdout=subprocess.PIPE, text=True
    ) as service:
        assert service.stdout is not None
        while not (line := service.stdout.readline()).strip().isdigit():
            assert line, "the service did not start"
        service.kill()

    asyncio.run(eventually(lambda: not alive(int(line))))
