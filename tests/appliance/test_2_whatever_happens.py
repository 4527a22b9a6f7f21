"""The appliance that was set up goes on answering: killed, upgraded, gone back, rebooted, removed.

The tests follow each other on the host of :mod:`tests.appliance.test_1_setting_up`.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Mapping

import pytest

from tests.appliance import outside
from tests.appliance.conftest import Appliance, Run
from tests.appliance.site import AGAIN
from tests.support.fresh_host import TECHNICIAN, FreshHost
from tests.support.sip import SipPhone
from voicebot import __version__
from voicebot.simulator.lines import Line

pytestmark = [pytest.mark.appliance, pytest.mark.timeout(2400)]

IMAGE = f"voicebot:{__version__}-full"
NEWER = f"voicebot:{__version__}.1-full"
CALLS = 20
NEWEST = f"voicebot:{__version__}.2-full"
A_CLOCK = (
    "Package: a-clock|Version: 1|Architecture: all|Maintainer: a|Description: a"
    "|Provides: time-daemon|"
)
"""A package that keeps the clock right, as chrony does; systemd's own would take its place."""


@pytest.mark.parametrize("container", ["voicebot", "asterisk"])
def test_what_is_killed_comes_back(host: FreshHost, container: str) -> None:
    first = host.ssh(f"docker inspect -f '{{{{.State.Pid}}}}' {container}").strip()
    host.ssh(f"kill -9 $(pgrep -P {first})")  # the first is Docker's init, this is the program
    time.sleep(1)
    print(f"\n777 answers {outside.answers(host):.0f} s after kill -9 of {container}")


def test_an_upgrade_cuts_none_of_twenty_calls(
    appliance: Appliance, lines: Mapping[str, Line]
) -> None:
    """Everybody who is on the line is answered to the end; who calls meanwhile is not lost."""
    host = appliance.host
    make_image(host, NEWER, "LABEL newer=yes")
    started = host.ssh("date '+%F %T'").strip()

    async def upgrade() -> tuple[list[int], float]:
        loop = asyncio.get_running_loop()
        async with contextlib.AsyncExitStack() as phones:
            technician = await phones.enter_async_context(
                SipPhone("600", address=TECHNICIAN, port=5060)
            )
            customers = [
                await phones.enter_async_context(outside.caller(f"06111111{number:02}"))
                for number in range(CALLS + 2)
            ]
            await outside.reachable(host, "office")
            enough = [asyncio.Event() for _ in range(CALLS)]
            talks = []
            for customer, event in zip(customers[:CALLS], enough, strict=True):
                call = await customer.dial("777", within=15)
                talk = outside.hold_the_line(call, lines[AGAIN], event)
                talks.append(asyncio.create_task(talk))
                await asyncio.sleep(1)
            deploying = asyncio.create_task(
                asyncio.to_thread(appliance.play, "site", voicebot_image=NEWER)
            )
            while await asyncio.to_thread(outside.ready, host):
                assert not deploying.done(), "the restart did not wait for the calls"
                await asyncio.sleep(1)
            drains = loop.time()
            for next_one in customers[CALLS:]:
                passed_on = await next_one.dial("777", within=15)
                other = await technician.next_call(30)
                await other.answered()
                passed_on.hang_up()
            for event in enough:
                event.set()
                await asyncio.sleep(1)
            answered = await asyncio.gather(*talks)
            over = loop.time()
            await deploying
            return answered, over - drains

    with host.outside_network():
        answered, seconds = asyncio.run(upgrade())
    print(
        f"\nupgrade with {len(answered)} calls, {sum(answered)} answers: 0 cut in {seconds:.0f} s"
    )
    drained = host.ssh(f"journalctl -u voicebot -o cat --since '{started}' -g 'drain ended'")
    assert re.search(r"cut\W+0\b", drained), drained
    assert NEWER in host.ssh("docker inspect -f '{{.Config.Image}}' voicebot")
    outside.answers(host)


def test_an_upgrade_that_is_cut_off_is_mended_by_the_next_run(appliance: Appliance) -> None:
    host = appliance.host
    make_image(host, NEWEST, "LABEL newest=yes")
    appliance.play_until("unit : Compare .*: voicebot.service", voicebot_image=NEWEST)
    assert NEWEST in host.ssh("cat /etc/voicebot/deploy.env"), "cut off after the files"
    assert NEWER in host.ssh("docker inspect -f '{{.Config.Image}}' voicebot"), "and before"
    outside.answers(host)
    appliance.play_until("unit : Restart voicebot.service", after=0.5, voicebot_image=NEWEST)
    run = appliance.play("site", voicebot_image=NEWEST)
    assert "all is well" in run.output
    assert NEWEST in host.ssh("docker inspect -f '{{.Config.Image}}' voicebot")


def test_an_upgrade_that_does_not_run_goes_back_by_itself(appliance: Appliance) -> None:
    host = appliance.host
    works = host.ssh(f"docker image inspect -f '{{{{.Id}}}}' {NEWEST}")
    make_image(
        host, NEWEST, 'CMD ["calls"]'
    )  # built anew as the same version: one name, two images
    assert host.ssh(f"docker image inspect -f '{{{{.Id}}}}' {NEWEST}") != works
    run = appliance.play("site", ok=False, voicebot_image=NEWEST)
    assert "The host runs what ran before" in run.output
    print(f"\ngone back by itself after {run.seconds:.0f} s, of which {restored(run)} to go back")
    assert host.ssh("docker inspect -f '{{.Image}}' voicebot") == works
    outside.answers(host)


def test_an_operator_goes_back_to_the_release_before(appliance: Appliance) -> None:
    host = appliance.host
    run = appliance.play("rollback")
    print(f"\nrollback: {restored(run)}; checked after {run.seconds:.0f} s")
    assert "all is well" in run.output
    assert NEWER in host.ssh("docker inspect -f '{{.Config.Image}}' voicebot")
    outside.answers(host)


def test_a_reboot(host: FreshHost) -> None:
    started = time.monotonic()
    host.reboot()
    outside.answers(host, 180)
    print(f"\n777 answers {time.monotonic() - started:.0f} s after `systemctl reboot`")
    deadline = time.monotonic() + 120
    while host.ssh("systemctl is-system-running", check=False).strip() != "running":
        assert time.monotonic() < deadline, host.ssh("systemctl --failed")
        time.sleep(2)


def test_what_is_refused_leaves_a_working_appliance(appliance: Appliance) -> None:
    """Before anything is changed, whatever part of the playbook is run."""
    host = appliance.host
    takes = 'import socket as s; a = s.socket(type=s.SOCK_DGRAM); a.bind(("", 5070)); a.recv(1)'
    host.ssh(f"systemd-run --unit squatter python3 -c '{takes}'")
    run = appliance.play(
        "site", ok=False, voicebot_api_keys={}, asterisk_trunks=[], asterisk_sip_port=5070
    )
    host.ssh("systemctl stop squatter")
    told = " ".join(run.output.split())
    assert "voicebot_api_keys: is called voicebot_secrets now" in told
    assert "asterisk_sip_port: port 5070 (UDP) is taken on this host by python3 (process" in told
    taken = set(re.findall(r"(\w+): port \d+ \(\w+\) is taken on this host", told))
    assert taken == {"asterisk_sip_port"}, "the others are the appliance's own"
    assert run.changed == 0
    run = appliance.play(
        "site", "--tags", "voicebot", ok=False,
        voicebot_settings={"MAX_CONCURRENT_CALLS": "many"},
    )  # fmt: skip
    assert "MAX_CONCURRENT_CALLS='many'" in run.output
    assert run.changed == 0
    outside.answers(appliance.host)


def test_the_self_check_names_what_is_wrong(appliance: Appliance) -> None:
    appliance.host.ssh("systemctl stop voicebot")
    run = appliance.play("verify", ok=False)
    appliance.host.ssh("systemctl start voicebot", timeout=200)
    assert "voicebot.service does not run" in run.output
    assert re.search(r"the voicebot takes no calls.*1\. .*2\. ", run.output, re.S)
    assert "all is well" in appliance.play("verify").output


def test_it_can_be_taken_off_the_host(appliance: Appliance) -> None:
    host = appliance.host
    appliance.play("uninstall")
    assert host.ssh("docker ps -q") == ""
    assert (
        host.ssh(
            "ls /etc/voicebot /etc/cron.d/voicebot 2>&1 | grep -vc 'No such'", check=False
        ).strip()
        == "0"
    )
    assert host.ssh("find /var/lib/voicebot -name journal.db").strip()
    units = host.ssh("systemctl list-unit-files 'voicebot*' --no-legend", check=False)
    assert "voicebot" not in units
    assert host.ssh("systemctl is-active prometheus", check=False).strip() == "inactive"


def test_it_can_be_installed_again_and_a_run_that_is_cut_off_is_mended(
    appliance: Appliance,
) -> None:
    """With what the appliance before has left: its journal and its recordings."""
    host = appliance.host
    count = "voicebot calls --json --limit 1000 | grep -c started_at"
    host.ssh(
        "apt-get -qq purge systemd-timesyncd; mkdir -p /tmp/clock/DEBIAN;"
        f"echo -n '{A_CLOCK}' | tr '|' '\\n' >/tmp/clock/DEBIAN/control;"
        "dpkg-deb -b /tmp/clock && dpkg -i /tmp/clock.deb"
    )
    appliance.play_until("unit : Compare .*: asterisk.service")
    assert host.ssh("docker ps -q") == "", "cut off before anything was started"
    appliance.play_until("unit : Start voicebot.service", after=0.5)
    run = appliance.play("site")
    assert "all is well" in run.output
    assert appliance.play("site", "--skip-tags", "verify_check").changed == 0
    assert int(host.ssh(count)) > CALLS
    assert "ii" in host.ssh("dpkg-query --show --showformat '${db:Status-Abbrev}' a-clock")
    outside.answers(host)


def restored(run: Run) -> str:
    """How long it took to put the release before into force."""
    took = re.search(r"restored \S+ in (\d+ s)", run.output)
    assert took, run.output[-6000:]
    return took[1]


def make_image(host: FreshHost, name: str, line: str) -> None:
    """The image in force with one line more: another version, as far as a host can tell."""
    host.ssh(f"printf 'FROM {IMAGE}\\n{line}\\n' | docker build -q -t {name} -")
