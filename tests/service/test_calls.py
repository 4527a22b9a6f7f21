"""Whole calls by keypad, and what is left of them: outcome, journal, recording, callback."""

from __future__ import annotations

import os
import signal
import time
import uuid
from pathlib import Path

import pytest

from tests.support.fake_asterisk import Outcome
from tests.support.scene import story
from tests.support.service import ServiceInstance
from tests.support.telephone import GAP_SECONDS, NUMBER, calling, duration
from tests.support.waiting import until

pytestmark = pytest.mark.service


@story
async def test_who_hangs_up_in_mid_sentence_leaves_a_whole_recording(
    service: ServiceInstance,
) -> None:
    async with calling(service) as caller:
        began = time.monotonic()
        await caller.hears_speech()
        await caller.line.heard(75)
        caller.line.hang_up()
        lasted = time.monotonic() - began
        end = await caller.event("call ended")

    assert (end["outcome"], end["ended_by"]) == ("caller_hangup", "caller")
    await until(lambda: journaled(service, caller.call_id), 5, "the journal has the end")
    kept = caller.journal()
    assert (kept["outcome"], kept["ended_by"]) == ("caller_hangup", "caller")
    recording = Path(kept["recording"])
    await until(recording.exists, 5, "the recording is finished")
    assert duration(recording) == pytest.approx(lasted, abs=0.7)
    assert list(recording.parent.glob(f"*{caller.call_id}*.part")) == []


@story
async def test_a_caller_whom_no_technician_answers_comes_back_and_is_called_back(
    service: ServiceInstance,
) -> None:
    call_id = uuid.uuid4()
    async with calling(service, call_id) as caller:
        await caller.hears_speech()
        await caller.press("0")
        assert await caller.line.finished(30) is Outcome.CONTINUES
        assert await caller.next_step() == "transfer"
        await caller.event("call ended", outcome="transferred")

    async with calling(service, call_id) as caller:
        await caller.is_told("rappelle ?")
        await caller.press("1")
        await caller.is_told("quel numéro")
        await caller.press(f"{NUMBER}#")
        await caller.is_told("C'est bien ça ?")
        await caller.press("1")
        assert await caller.line.finished(60) is Outcome.CONTINUES
        assert await caller.next_step() == "hangup"
        await caller.event("call ended", outcome="callback")

    await until(lambda: journaled(service, call_id, "callback"), 5, "the journal has the end")
    kept = caller.journal()
    assert (kept["connections"], kept["transfers"]) == (2, 1)
    assert len(kept["recording"].splitlines()) == 2
    listed = service.command("calls")
    assert str(call_id)[:8] in listed
    assert NUMBER in service.command("callbacks")


@story
async def test_a_worker_that_is_killed_is_replaced_and_the_call_goes_on(
    service: ServiceInstance,
) -> None:
    (first, *_) = service.logged("worker ready")
    async with calling(service) as caller:
        await caller.hears_speech()
        os.kill(first["pid"], signal.SIGKILL)
        await until(
            lambda: len(service.logged("worker ready", core=first["core"])) == 2, 30, "a new worker"
        )
        await caller.press("1")
        await caller.event("state changed", state="identification")
        assert caller.longest_gap() < GAP_SECONDS

    (replaced,) = service.logged("worker replaced")
    assert replaced["core"] == first["core"]
    assert replaced["reason"].endswith("died (signal 9)"), "as the runbook has it"
    assert service.count("worker_restarts_total", reason="died") == 1


def journaled(service: ServiceInstance, call_id: uuid.UUID, outcome: str = "caller_hangup") -> bool:
    listed = service.command("calls", "--limit", "1", "--json")
    return str(call_id) in listed and f'"{outcome}"' in listed
