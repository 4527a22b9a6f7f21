"""Calls from another network into the appliance of `make up`: SIP and RTP through Asterisk in its
container, AudioSocket into the voicebot in its own, and whatever happens to either."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import time
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.docker.conftest import TECHNICIAN_PORT, Appliance
from tests.support.asterisk import OWN_FAULT
from tests.support.containers import (
    CALLER_ADDRESS,
    TECHNICIAN_ADDRESS,
    docker,
    fetch,
    on_their_network,
    service_of,
    until,
)
from tests.support.rtp import AUDIBLE
from tests.support.scene import speech, story
from tests.support.sip import SipCall, SipPhone
from voicebot.audio.pcm import silence

pytestmark = [pytest.mark.docker, pytest.mark.timeout(240)]

CLIPS = Path(__file__).parents[2] / "voicebot" / "data" / "clips"
SERVER = tuple[str, int]
WITHIN = 45.0
"""Seconds that anything may take on a machine that has other things to do. Here it matters that it
happens; how fast it is, the bench says."""


def clip(name: str) -> bytes:
    with wave.open(str(CLIPS / f"{name}.wav")) as file:
        return file.readframes(file.getnframes())


@asynccontextmanager
async def telephones(server: SERVER) -> AsyncIterator[tuple[SipPhone, SipPhone]]:
    async with (
        SipPhone("0612345678", address=CALLER_ADDRESS, server=server) as caller,
        SipPhone(
            "technician", address=TECHNICIAN_ADDRESS, port=TECHNICIAN_PORT, server=server
        ) as technician,
    ):
        yield caller, technician


async def hears_greeting(call: SipCall) -> None:
    deadline = time.monotonic() + WITHIN
    while call.media.loudest() < AUDIBLE:
        assert time.monotonic() < deadline, "the bot says nothing"
        await asyncio.sleep(0.1)


async def talk(one: SipCall, other: SipCall) -> None:
    hello, answer = speech(101), speech(102)
    one.media.play(silence(0.3) + hello)
    other.media.play(silence(0.3) + answer)
    await asyncio.gather(one.media.hears(answer, WITHIN), other.media.hears(hello, WITHIN))


def test_it_is_up_and_says_how_to_call(appliance: Appliance) -> None:
    assert "ready; dial 777" in appliance.said
    until(lambda: fetch("http://127.0.0.1:9080/readyz") == "ready\n\n", WITHIN, "ready")


def test_asterisk_boots_without_a_warning(appliance: Appliance) -> None:
    lines = docker("logs", "asterisk").splitlines()
    bad = [line for line in lines if re.search(r"WARNING|ERROR|Unable|Could not|Failed", line)]
    assert [line for line in bad if line != OWN_FAULT] == []


def test_metrics_of_asterisk_are_on_loopback_only(appliance: Appliance) -> None:
    assert "asterisk_core_uptime_seconds" in fetch("http://127.0.0.1:8088/metrics")
    listening = on_their_network("ss", "-Hltn")
    for port in ("8088", "9080", "9090", "9091", "9093", "9100"):
        assert re.search(rf"127\.0\.0\.1:{port}\b", listening), listening
        assert not re.search(rf"(0\.0\.0\.0|\*|\[::\]):{port}\b", listening)


def test_prometheus_scrapes_all_of_it(appliance: Appliance) -> None:
    def all_up() -> bool:
        answer = json.loads(fetch("http://127.0.0.1:9091/api/v1/query?query=up"))
        jobs = {one["metric"]["job"]: one["value"][1] for one in answer["data"]["result"]}
        wanted = {"voicebot", "asterisk", "node", "alertmanager", "prometheus"}
        return {job for job, value in jobs.items() if value == "1"} == wanted

    until(all_up, 60, "every target is up")
    rules = json.loads(fetch("http://127.0.0.1:9091/api/v1/rules"))["data"]["groups"]
    assert rules
    assert not [rule for group in rules for rule in group["rules"] if rule["health"] == "err"]


@story
async def test_a_caller_is_understood_and_gets_a_technician(
    appliance: Appliance, server: SERVER
) -> None:
    async with telephones(server) as (caller, technician):
        call = await caller.dial("777", WITHIN)
        await hears_greeting(call)
        call.media.play(clip("je-voudrais-parler-a-un-technicien") + silence(1))
        answered = await technician.next_call(WITHIN)
        await answered.answered()
        await talk(call, answered)
        call_id = str(answered.invite.get("x-voicebot-call"))
        call.hang_up()
        await answered.ended(WITHIN)
    until(lambda: any("next=transfer" in line for line in appliance.call_log(call_id)), WITHIN,
          "Asterisk has logged it")  # fmt: skip
    shown = docker("exec", "voicebot", "voicebot", "calls", call_id)
    assert "technicien" in shown


@story
async def test_when_the_service_dies_in_mid_call_all_callers_reach_a_technician(
    appliance: Appliance, server: SERVER
) -> None:
    async with telephones(server) as (caller, technician):
        calls = [await caller.dial("777", WITHIN) for _ in range(3)]
        for call in calls:
            await hears_greeting(call)
        os.kill(service_of("voicebot"), signal.SIGKILL)
        for _ in calls:
            await (await technician.next_call(WITHIN)).answered()
        for call in calls:
            call.hang_up()
        for call in calls:
            await call.ended(WITHIN)
    until(lambda: docker("exec", "voicebot", "/usr/bin/healthcheck", "/readyz") == "", 60,
          "started again")  # fmt: skip
    until(lambda: no_channel_is_left(), WITHIN, "no channel is left")


def no_channel_is_left() -> bool:
    shown = docker("exec", "asterisk", "/usr/sbin/asterisk", "-rx", "core show channels count")
    return shown.startswith("0 active channels")


@story
async def test_a_drain_lets_calls_end_and_sends_new_ones_to_a_technician(
    appliance: Appliance, server: SERVER
) -> None:
    async with telephones(server) as (caller, technician):
        first = await caller.dial("777", WITHIN)
        await hears_greeting(first)
        stopping = asyncio.create_task(asyncio.to_thread(docker, "stop", "voicebot", within=120))
        await asyncio.to_thread(
            until, lambda: "drain started" in docker("logs", "voicebot"), WITHIN, "a drain"
        )
        second = await caller.dial("777", WITHIN)
        await (await technician.next_call(WITHIN)).answered()
        assert not stopping.done(), "the first call still runs"
        await asyncio.sleep(1)
        first.hang_up()
        await stopping
        second.hang_up()
        await second.ended(WITHIN)
    state = json.loads(docker("inspect", "--format", "{{json .State}}", "voicebot"))
    assert (state["ExitCode"], state["OOMKilled"]) == (0, False)
    docker("start", "voicebot")
    until(lambda: docker("exec", "voicebot", "/usr/bin/healthcheck", "/readyz") == "", 60, "ready")


@story
async def test_without_the_service_callers_reach_a_technician_at_once(
    appliance: Appliance, server: SERVER
) -> None:
    docker("stop", "voicebot", within=120)
    try:
        async with telephones(server) as (caller, technician):
            call = await caller.dial("777", WITHIN)
            await (await technician.next_call(WITHIN)).answered()
            call.hang_up()
            await call.ended(WITHIN)
    finally:
        docker("start", "voicebot")
    until(lambda: docker("exec", "voicebot", "/usr/bin/healthcheck", "/readyz") == "", 60, "ready")
