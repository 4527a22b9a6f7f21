"""Start, drain, stop, crash: what callers and the operator see of it."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest

from tests.service.test_admission import readiness
from tests.support.fake_asterisk import Outcome
from tests.support.scene import story
from tests.support.service import REPOSITORY, ServiceInstance
from tests.support.telephone import calling, duration
from tests.support.waiting import until

pytestmark = pytest.mark.service


def free_port() -> int:
    """For the control API, which must be known before the service says it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def models_with_a_damaged_file(directory: Path) -> Path:
    """Links to the models of this machine, but for one file that was cut off."""
    for file in sorted((REPOSITORY / "var/models").rglob("*")):
        copy = directory / file.relative_to(REPOSITORY / "var/models")
        if file.is_dir():
            copy.mkdir(parents=True)
        else:
            copy.symlink_to(file)
    damaged = directory / "whisper-base/tokenizer.json"
    damaged.unlink()
    damaged.write_bytes((REPOSITORY / "var/models/whisper-base/tokenizer.json").read_bytes()[:999])
    return damaged


@story
async def test_from_start_to_drain(service: ServiceInstance, tmp_path: Path) -> None:
    """*service* only because it has made models and prompts, if they were missing."""
    (tmp_path / "models").mkdir()
    damaged = models_with_a_damaged_file(tmp_path / "models")
    port = free_port()
    instance = ServiceInstance(
        tmp_path, MODELS_DIR=str(tmp_path / "models"), CONTROL_PORT=str(port)
    )
    instance.control_port = port
    instance.start()
    try:
        await until(lambda: alive(instance), 10, "the control API answers")
        assert readiness(instance) == (503, "starting\n")
        await asyncio.to_thread(instance.wait_until_ready)
        assert readiness(instance) == (200, "ready\n")
        assert instance.logged("damaged model file is replaced", file=str(damaged))
        assert damaged.stat().st_size > 999

        async with calling(instance) as caller:
            await caller.hears_speech()
            instance.terminate()
            await asyncio.to_thread(instance.wait_for, "drain started", 5)
            assert readiness(instance) == (503, "draining\n")
            async with calling(instance) as late:
                assert await late.line.finished() is Outcome.CONTINUES
                assert await late.next_step() == "transfer"
            assert instance.count("connections_refused_total", reason="draining") == 1

            await caller.press("0")
            await caller.is_told("technicien")
            assert await caller.line.finished(10) is Outcome.CONTINUES
            await caller.event("call ended", outcome="transferred")

        assert await asyncio.to_thread(instance.wait, 10) == 0
    finally:
        instance.kill()

    assert instance.logged("drain ended", drained=True, cut=0)


def drain(instance: ServiceInstance) -> None:
    url = f"http://127.0.0.1:{instance.control_port}/v1/drain"
    urllib.request.urlopen(urllib.request.Request(url, method="POST"), timeout=10).close()


def alive(instance: ServiceInstance) -> bool:
    try:
        return instance.get("/healthz") == "ok\n"
    except (OSError, urllib.error.URLError):
        return False


@story
async def test_the_second_sigterm_hands_the_callers_to_a_person(tmp_path: Path) -> None:
    with ServiceInstance(tmp_path) as instance:
        async with calling(instance, stays_after_end=0.6) as caller:
            await caller.hears_speech()
            for _ in range(2):
                await asyncio.to_thread(drain, instance)
            await asyncio.to_thread(instance.wait_for, "drain started", 5)
            instance.terminate()
            await caller.line.heard(len(caller.line.received) + 25)
            assert not caller.line.ended_by_server, "one signal, after two requests to drain"
            instance.terminate()
            await until(lambda: caller.line.ended_by_server, 5, "the end message")
            assert await caller.next_step() == "transfer"
            assert await caller.line.finished() is Outcome.CONTINUES
            sent = len(caller.line.received)
        assert await asyncio.to_thread(instance.wait, 10) == 0

    (end,) = instance.logged("call ended")
    assert (end["outcome"], end["ended_by"]) == ("failed", "bot")
    (recording,) = instance.recordings.rglob("*.wav")
    assert duration(recording) == pytest.approx(sent * 0.02, abs=0.5)


@story
async def test_a_disk_that_takes_nothing_is_waited_for_on_the_way_down(tmp_path: Path) -> None:
    """For longer than an event loop may stand still: it does not, and is not taken for hung."""
    with (
        ServiceInstance(tmp_path, STUCK_LIMIT="4") as instance,
        closing(sqlite3.connect(tmp_path / "journal.db")) as locked,
    ):
        locked.execute("BEGIN EXCLUSIVE")
        async with calling(instance) as caller:
            await caller.hears_speech()
        await asyncio.to_thread(instance.wait_for, "journal unavailable", 30)
        instance.terminate()
        assert await asyncio.to_thread(instance.wait, 60) == 0
    assert instance.logged("journal records lost at the end")
    assert instance.log()[-1]["event"] == "service stopped"


@story
async def test_what_was_said_survives_a_kill(tmp_path: Path) -> None:
    with ServiceInstance(tmp_path) as instance:
        async with calling(instance) as caller:
            await caller.hears_speech()
            await caller.press("1")
            await caller.event("state changed", state="identification")
            await caller.line.heard(len(caller.line.received) + 75)  # hears some of the answer
            await caller.press("0612345678#")
            await caller.is_told("votre nom ?")
            await caller.line.heard(len(caller.line.received) + 50)
            instance.kill()
            frames = len(caller.line.received)
    (part,) = instance.recordings.rglob("*.part")

    with ServiceInstance(tmp_path) as restarted:
        recovered = restarted.logged("recording recovered")
        kept = caller.journal()
        assert restarted.stop() == 0

    assert [line["path"] for line in recovered] == [str(part.with_suffix(""))]
    # The first 2 frames were sent ahead; the last 5 may be lost, and some were in the queue.
    assert duration(part.with_suffix("")) == pytest.approx(frames * 0.02, abs=0.5)
    greeting, answer = kept["conversation"]
    assert greeting["number"] == 0
    assert answer["caller_text"] == "1"
    assert kept["ended_at"] is None
