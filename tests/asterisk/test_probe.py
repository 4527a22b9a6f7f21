"""``voicebot probe`` against the real service behind a real Asterisk, with the shipped dialplan."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support import role_files
from tests.support.asterisk import LOOPBACK, REPOSITORY, STRANGER_ADDRESS, AsteriskInstance
from tests.support.scene import Voicebot, no_voicebot, scene, story
from tests.support.service import ServiceInstance
from tests.support.sip import CallRefusedError, SipPhone
from voicebot import config
from voicebot.probe.call import SOURCE

pytestmark = [
    pytest.mark.asterisk,
    pytest.mark.service,
    pytest.mark.speech,
    pytest.mark.timeout(900),  # the first start on a machine renders the prompts
]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceInstance]:
    directory = tmp_path_factory.mktemp("service")
    with ServiceInstance(directory, MAX_CONCURRENT_CALLS="1") as instance:
        yield instance


@dataclass(frozen=True, slots=True)
class Probed:
    status: int
    output: str
    errors: str

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.output)
        return found


async def probe(asterisk: AsteriskInstance, bot: Voicebot, *words: str) -> Probed:
    """Run the command as an operator or the timer does."""
    names = {field.metadata["env"] for field in config.described()}
    environment = {
        **{name: value for name, value in os.environ.items() if name not in names},
        "VOICEBOT_ENV_FILE": os.devnull,
        "PROBE_SIP_ADDRESS": f"{LOOPBACK}:{asterisk.sip_port}",
        "AUDIOSOCKET_PORT": str(bot.audiosocket_port),
        "CONTROL_PORT": str(bot.control_port),
    }

    def run() -> Probed:
        done = subprocess.run(
            [sys.executable, "-m", "voicebot", "probe", *words],
            cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=120,
            check=False,
        )  # fmt: skip
        return Probed(done.returncode, done.stdout, done.stderr)

    return await asyncio.to_thread(run)


def textfile(file: Path) -> dict[str, float]:
    return {
        sample.name + "".join(sample.labels.values()): sample.value
        for family in text_string_to_metric_families(file.read_text(encoding="utf-8"))
        for sample in family.samples
    }


@story
async def test_the_line_is_answered_and_the_call_is_nobodys_business(
    asterisk: AsteriskInstance, service: ServiceInstance, tmp_path: Path
) -> None:
    file, tape = tmp_path / "probe.prom", tmp_path / "probe.wav"
    async with scene(asterisk, service) as stage:
        words = ("--json", "--metrics", str(file), "--record", str(tape))
        done = await probe(asterisk, service, *words)
        assert stage.technician.calls == []
    assert (done.status, done.errors) == (0, "")
    found = done.json
    assert (found["ok"], found["failed"]) == (True, None)
    assert 0 < found["first_audio_s"] < 2
    assert 0.2 < found["response_s"] < 4
    (said,) = [event["text"] for event in found["events"] if event["event"] == "caller_said"]
    assert "revoir" in said.casefold()
    assert found["events"][-1]["outcome"] == "completed"

    call_id = found["call_id"]
    assert call_id[14] == "8"
    assert "caller=probe" in asterisk.call_log(call_id)[0]
    assert "next=hangup" in asterisk.call_log(call_id)[-1]
    (handed,) = service.logged("call handed back", call_id=call_id)
    (record,) = [line for line in asterisk.cdr().splitlines() if call_id in line]
    assert handed["linkedid"].startswith("voicebot-")
    assert f'"{handed["linkedid"]}"' in record
    live = {"outcome": "completed", "traffic": "live"}
    assert service.count("calls_total", **{**live, "traffic": "probe"}) == 1
    assert service.count("calls_total", **live) == 0
    assert service.count("recordings_total") == 0
    assert tape.stat().st_size > 4 * 8000  # a second, both sides

    values = textfile(file)
    assert values["voicebot_probe_success"] == 1
    assert values["voicebot_probe_response_seconds"] == pytest.approx(
        found["response_s"], abs=0.001
    )


@story
async def test_by_hand_it_tells_what_happened_and_a_full_service_is_no_broken_one(
    asterisk: AsteriskInstance, service: ServiceInstance
) -> None:
    async with scene(asterisk, service) as stage:
        caller = await stage.caller.dial("777")
        done = await probe(asterisk, service)
        assert caller.ended_at is None
        caller.hang_up()
    assert done.status == 0, done.output
    assert "the greeting begins" in done.output
    assert "voicebot: understood: " in done.output
    assert "s after that" in done.output
    assert "ok: greeted after" in done.output


@story
async def test_a_voicebot_that_is_down_is_told_from_its_silence_and_nobody_is_rung(
    asterisk: AsteriskInstance, tmp_path: Path
) -> None:
    file = tmp_path / "probe.prom"
    with no_voicebot() as bot:
        async with scene(asterisk, bot) as stage:
            done = await probe(asterisk, bot, "--metrics", str(file))
            assert stage.technician.calls == []
    assert done.status == 1
    assert "failed at greeting" in done.output
    assert "Likely causes:" in done.output
    assert "2. " in done.output
    values = textfile(file)
    assert values["voicebot_probe_success"] == 0
    assert values["voicebot_probe_step_failedgreeting"] == 1


@story
async def test_without_asterisk_it_says_so_and_the_voicebot_itself_can_be_tried(
    asterisk: AsteriskInstance, service: ServiceInstance
) -> None:
    class Nowhere(AsteriskInstance):
        def __init__(self) -> None:
            self.sip_port = 9  # discard

    silent = await probe(Nowhere(), service, "--quiet")
    assert silent.status == 1
    assert silent.output.startswith("failed at connect")
    direct = await probe(Nowhere(), service, "--direct", "--json")
    assert direct.status == 0, direct.output
    assert direct.json["ok"]


@story
async def test_only_this_host_may_probe_and_nothing_but_a_probe_comes_of_it(
    asterisk: AsteriskInstance, service: ServiceInstance
) -> None:
    as_live = uuid.uuid4()
    server = (LOOPBACK, asterisk.sip_port)
    async with scene(asterisk, service):
        async with SipPhone("stranger", address=STRANGER_ADDRESS, server=server) as stranger:
            with pytest.raises(CallRefusedError) as refused:
                await stranger.dial(as_live.hex)
            assert refused.value.status == 401
        async with SipPhone("probe", address=SOURCE, server=server) as local:
            call = await local.dial(as_live.hex)
            call.hang_up()
            with pytest.raises(CallRefusedError) as refused:
                await local.dial("777")
            assert refused.value.status == 404
            with pytest.raises(CallRefusedError) as refused:
                await local.dial("abcdef")
            assert refused.value.status == 404
    known = str(as_live)
    assert asterisk.call_log(known) == []
    assert asterisk.call_log(f"{known[:14]}8{known[15:]}") != []


@story
async def test_as_a_customer_it_hears_the_greeting_and_leaves_what_a_customer_leaves(
    service: ServiceInstance, tmp_path: Path
) -> None:
    """The self-check's call, on the line that the playbook gives it."""
    role_files.render("asterisk", ["endpoints.conf"], {}, tmp_path)
    hung_up = {"outcome": "caller_hangup", "traffic": "live"}
    before = service.count("calls_total", **hung_up), service.count("recordings_total")
    with AsteriskInstance((tmp_path / "endpoints.conf").read_text()) as site:
        async with scene(site, service):
            done = await probe(site, service, "--customer", "777", "--json")
            nobody = await probe(site, service, "--customer", "000000", "--json")
    assert (done.status, done.errors) == (0, "")
    assert (done.json["answered"], done.json["heard"]) == (True, True)
    assert done.json["packets"] > 100
    after = service.count("calls_total", **hung_up), service.count("recordings_total")
    assert after == (before[0] + 1, before[1] + 1)
    assert (nobody.status, nobody.json["answered"]) == (1, False)
    assert nobody.json["fault"] == "Asterisk answers 404 Not Found"


@story
async def test_a_customer_who_finds_no_asterisk_says_so(service: ServiceInstance) -> None:
    class Nowhere(AsteriskInstance):
        def __init__(self) -> None:
            self.sip_port = 9  # discard

    done = await probe(Nowhere(), service, "--customer", "777")
    assert done.status == 1
    assert done.output == "failed: it was not answered\n"
