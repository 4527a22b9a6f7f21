"""Worker processes that crash, hang, keep too much memory or are killed, and who takes over."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import uvloop
from structlog.testing import capture_logs

from tests.support.jobs import job
from tests.support.pools import CORE, alive, eventually, finished, pool_of, restarts, run
from voicebot.telemetry.metrics import Metrics
from voicebot.workers.jobs import Call
from voicebot.workers.pool import WorkerError
from voicebot.workers.process import WorkerProcess


def oom_score(pid: int) -> int:
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


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
