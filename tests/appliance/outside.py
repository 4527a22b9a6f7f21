"""The outside of the appliance: callers on the trunk, a technician, and what the host tells."""

from __future__ import annotations

import asyncio
import contextlib
import re
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.support.fresh_host import HOST, TRUNK, FreshHost
from tests.support.rtp import AUDIBLE
from tests.support.sip import SipCall, SipPhone
from tests.support.sip_customer import Conversation, converse
from voicebot.simulator.lines import Line
from voicebot.simulator.scenario import Scenario

SIP = (HOST, 5060)
CONTROL_PORT = 19080
"""In the outside network: the host's control API, by SSH."""


class RemoteAsterisk:
    """What a test wants to know of the Asterisk on the host."""

    def __init__(self, host: FreshHost) -> None:
        self._host = host

    def log(self) -> str:
        """Its messages so far."""
        return self._host.ssh("cat /var/log/asterisk/messages")

    def call_ids(self, caller: str) -> list[uuid.UUID]:
        """Of the calls that *caller* has placed to the voicebot, oldest first."""
        pattern = rf"voicebot call=(\S+) event=start linkedid=\S+ caller={re.escape(caller)} "
        return [uuid.UUID(found) for found in re.findall(pattern, self.log())]


@contextlib.contextmanager
def control_api(host: FreshHost) -> Iterator[int]:
    """The control API, which listens on the host's loopback alone, by a tunnel of the operator."""
    forward = f"127.0.0.1:{CONTROL_PORT}:127.0.0.1:9080"
    tunnel = subprocess.Popen(
        host.in_outside(*host.ssh_command("-N", "-L", forward, "-o", "ExitOnForwardFailure=yes"))
    )
    try:
        with host.outside_network():
            deadline = time.monotonic() + 15
            while subprocess.run(
                ["bash", "-c", f"</dev/tcp/127.0.0.1/{CONTROL_PORT}"],
                stderr=subprocess.DEVNULL,
                check=False,
            ).returncode:
                assert time.monotonic() < deadline, "no tunnel to the control API"
                time.sleep(0.1)
        yield CONTROL_PORT
    finally:
        tunnel.terminate()
        tunnel.wait(10)


def caller(number: str) -> SipPhone:
    """A telephone behind the trunk."""
    return SipPhone(number, address=TRUNK, server=SIP)


async def reachable(host: FreshHost, trunk: str, within: float = 90.0) -> None:
    """Until Asterisk has seen that the other end of *trunk* is there; it asks each 30 s."""
    deadline = time.monotonic() + within
    command = "docker exec asterisk /usr/sbin/asterisk -rx 'pjsip show contacts'"
    while True:
        contacts = await asyncio.to_thread(host.ssh, command)
        if re.search(rf"Contact: +{trunk}/\S+ +\S+ +Avail", contacts):
            return
        assert time.monotonic() < deadline, f"{trunk} not reachable within {within:g} s\n{contacts}"
        await asyncio.sleep(1)


async def hold(
    host: FreshHost, number: str, scenario: Scenario, lines: Mapping[str, Line], control_port: int
) -> Conversation:
    """A whole conversation of a customer who calls from outside."""
    async with caller(number) as phone:
        talk = await converse(RemoteAsterisk(host), phone, scenario, lines, control_port)
        if talk.outcome != "transferred":
            await talk.call.ended(10)
        return talk


async def hold_the_line(call: SipCall, line: Line, enough: asyncio.Event) -> int:
    """Say *line* and hear an answer to it, each 30 s and once more when it is *enough*; hang up.

    How often that was. Raises AssertionError when somebody else ends the call, TimeoutError when
    nothing is heard.
    """
    loop = asyncio.get_running_loop()
    answered = 0
    while True:
        last = enough.is_set()
        call.media.play(line.pcm)
        await call.media.spoken()
        call.media.heard.clear()
        said = loop.time()
        while call.media.loudest() <= AUDIBLE:
            assert call.ended_at is None, f"cut off, {call.reason or 'without a reason'}"
            if loop.time() > said + 60:
                raise TimeoutError(f"no answer within 60 s to the {answered + 1}. question")
            await asyncio.sleep(0.5)
        answered += 1
        if last:
            break
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(enough.wait(), 30)
    assert call.ended_at is None, f"cut off, {call.reason or 'without a reason'}"
    call.hang_up()
    return answered


def answers(host: FreshHost, within: float = 60.0) -> float:
    """Seconds until somebody who calls 777 from outside hears the voicebot."""
    started = time.monotonic()

    async def try_once() -> bool:
        async with caller("0611111111") as phone:
            call: SipCall = await phone.dial("777", within=4)
            await asyncio.sleep(2)
            return call.media.loudest() > AUDIBLE

    with host.outside_network():
        while time.monotonic() - started < within:
            with contextlib.suppress(TimeoutError, OSError):
                if asyncio.run(try_once()) and ready(host):
                    return time.monotonic() - started
            time.sleep(0.5)
    raise AssertionError(f"777 does not answer within {within:g} s")


def ready(host: FreshHost) -> bool:
    """Does the voicebot itself take calls, and not a technician for it?"""
    command = "python3 -c 'import urllib.request as r; r.urlopen(\"http://127.0.0.1:9080/readyz\")'"
    return "Error" not in host.ssh(command, check=False)


def tail(file: Path, lines: int = 40) -> str:
    """The end of a log, for a complaint."""
    return "\n".join(file.read_text(errors="replace").splitlines()[-lines:])
