"""A fresh host becomes the appliance, answers real calls, and goes on doing so whatever happens.

The tests follow each other on one host. What is proven is what an operator and a caller see: calls
from the network of the trunk, commands at the operator's desk.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.appliance import outside, provider
from tests.appliance.conftest import Appliance, Run
from tests.support.fresh_host import (
    ADMIN,
    HOST,
    PROVIDER,
    STRANGER,
    TECHNICIAN,
    TRUNK,
    FreshHost,
)
from tests.support.rtp import AUDIBLE
from tests.support.sip import SipPhone
from tests.support.waiting import until
from voicebot import __version__, config
from voicebot.simulator import scenario
from voicebot.simulator.lines import Line
from voicebot.simulator.synthesis import prepare_lines

pytestmark = [pytest.mark.appliance, pytest.mark.timeout(2400)]

IMAGE = f"voicebot:{__version__}-full"
NEWER = f"voicebot:{__version__}.1-full"
CALLS = 20
AGAIN = "Vous pouvez répéter ?"
NEWEST = f"voicebot:{__version__}.2-full"
HELPED = scenario.load("internet-resolved")
TRANSFERRED = scenario.parse(
    """
    title: somebody who wants a technician, and nothing else
    rules:
      - when: "je vous écoute|pas bien compris"
        say: "Je voudrais parler à un technicien."
    expect: {outcome: transferred}
    """,
    "wants-a-technician",
)
VARIABLES: dict[str, Any] = {
    "grafana_enabled": False,  # its image cannot be had where the tests run
    "host_ssh_from": [f"{ADMIN}/32"],
    "host_rtp_from": [f"{TRUNK}/32", f"{TECHNICIAN}/32"],
    "asterisk_trunks": [
        {"name": "operator", "addresses": [TRUNK]},
        {"name": "office", "addresses": [TECHNICIAN], "contact": f"sip:{TECHNICIAN}:5060"},
    ],
    "asterisk_technicians": ["600@office"],
    # The caller of the upgrade says nothing until the playbook comes to the restart.
    "voicebot_settings": {
        "TECHNICIANS": "always",
        "SILENCE_WARNING_TIMEOUT": 60,
        "SILENCE_HANGUP_TIMEOUT": 120,
    },
    "backup_target": "/srv/backup",
    "verify_probe": False,  # its calls would be counted among the tests'
}


@pytest.fixture(scope="module")
def appliance(host: FreshHost, tmp_path_factory: pytest.TempPathFactory) -> Appliance:
    folder: Path = tmp_path_factory.mktemp("inventory")
    return Appliance(host, folder, VARIABLES)


@pytest.fixture(scope="module")
def lines() -> Mapping[str, Line]:
    texts = [AGAIN, *(text for one in (HELPED, TRANSFERRED) for text in one.lines())]
    settings = config.load({"VOICEBOT_ENV_FILE": "/dev/null"})
    return asyncio.run(prepare_lines(texts, settings, lambda message: None))


@pytest.fixture
def control_port(host: FreshHost) -> Iterator[int]:
    with outside.control_api(host) as port:
        yield port


def wait_for(host: FreshHost, command: str, within: float, what: str, log: str) -> None:
    """Until *command* succeeds on the host; *log* shows why it does not."""
    deadline = time.monotonic() + within
    while host.ssh(f"{command} >/dev/null 2>&1 && echo yes", check=False).strip() != "yes":
        assert time.monotonic() < deadline, f"not within {within:g} s: {what}\n{host.ssh(log)}"
        time.sleep(1)


# -- before anything is installed


def test_a_host_without_a_network_is_told_so(appliance: Appliance) -> None:
    appliance.host.disconnect()
    try:
        run = appliance.play("site", ok=False)
    finally:
        appliance.host.reconnect()
    assert "cannot reach the server of its packages" in run.output
    assert run.changed == 0


def test_a_port_in_use_and_other_faults_are_named_at_once(appliance: Appliance) -> None:
    host = appliance.host
    host.ssh("systemd-run --unit squatter python3 -m http.server 9080")
    try:
        run = appliance.play(
            "site",
            ok=False,
            voicebot_speech="cloud",
            voicebot_settings={"MAX_CONCURENT_CALLS": 5},
            voicebot_api_keys={},
            asterisk_trunks=[{"name": "operator", "addresses": ["sip.example.org"]}],
            host_least_memory_mb=9_000_000,
            host_least_disk_mb=900_000_000,
        )
    finally:
        host.ssh("systemctl stop squatter")
    assert run.changed == 0
    for words in (
        "port 9080 is taken on this host by another program",
        "DEEPGRAM_API_KEY is missing or empty",
        "did you mean MAX_CONCURRENT_CALLS?",
        "voicebot_api_keys: is called voicebot_secrets now",
        "'sip.example.org' is no address",
        "asterisk_technicians: 600@office: there is no trunk 'office'",
        "host_least_memory_mb asks for",
        "host_least_disk_mb asks for",
    ):
        assert words in run.output, words


# -- the appliance


def test_a_fresh_host_becomes_the_appliance(appliance: Appliance) -> None:
    """Half-configured by hand: Docker's settings of somebody else stay. Cut off while packages are
    installed: the next run goes on from there."""
    appliance.host.ssh(
        'mkdir -p /etc/docker; echo \'{"log-level": "warn"}\' >/etc/docker/daemon.json'
    )
    started = time.monotonic()
    appliance.play_until("host : Install docker.io", after=3)
    cut_off = time.monotonic() - started
    run = appliance.play("site")
    assert "all is well" in run.output
    assert "WARNING: 2 core(s)" in run.output
    seconds = f"{cut_off + run.seconds:.0f} s, of them {cut_off:.0f} s in a run that was cut off"
    print(f"\nfresh host to self-check passed: {seconds}")
    settings = json.loads(appliance.host.ssh("cat /etc/docker/daemon.json"))
    assert settings["log-level"] == "warn"
    assert settings["live-restore"] is True
    assert appliance.host.ssh("systemctl is-system-running").strip() == "running"


def test_a_second_run_changes_nothing(appliance: Appliance) -> None:
    run = appliance.play("site")
    print(f"\nsecond run: {run.seconds:.0f} s")
    assert run.changed == 0


def test_the_commands_of_the_host_ask_what_is_in_the_containers(host: FreshHost) -> None:
    """The runbooks use them; by SSH there is no terminal, and a pipe may follow."""
    assert re.search(r"^0 active channels", host.ssh("asterisk -rx 'core show channels'"), re.M)
    assert "777" in host.ssh("asterisk -rx 'dialplan show 777@from-internal' | cat")
    assert host.ssh("voicebot calls --json --limit 1").startswith("{")
    unknown = host.ssh("asterisk -rx 'no such command'; echo status $?", check=False)
    assert "No such command" in unknown


def test_no_secret_is_printed(appliance: Appliance) -> None:
    run = appliance.play(
        "site", "--tags", "voicebot_configure", "-vv",
        voicebot_secrets={"OPENAI_API_KEY": "sk-nobody-may-see-this"},
    )  # fmt: skip
    assert "sk-nobody-may-see-this" not in run.output
    assert (
        appliance.host.ssh("cat /etc/voicebot/secrets/OPENAI_API_KEY") == "sk-nobody-may-see-this"
    )
    mode = appliance.host.ssh("stat -c '%a %U %G' /etc/voicebot/secrets/OPENAI_API_KEY")
    assert mode.strip() == "440 root voicebot"
    appliance.play("site", "--tags", "voicebot")
    assert appliance.host.ssh("ls /etc/voicebot/secrets") == ""


def test_a_customer_who_calls_is_helped_by_voice(
    host: FreshHost, lines: Mapping[str, Line], control_port: int
) -> None:
    with host.outside_network():
        talk = asyncio.run(outside.hold(host, "0698765432", HELPED, lines, control_port))
    assert not talk.failures, str(talk)


def test_a_customer_who_wants_a_technician_gets_one(
    host: FreshHost, lines: Mapping[str, Line], control_port: int
) -> None:
    async def transfer() -> str:
        technician = SipPhone("600", address=TECHNICIAN, port=5060)
        async with technician, outside.caller("0612345678") as customer:
            await outside.reachable(host, "office")
            talk = await outside.converse(
                outside.RemoteAsterisk(host), customer, TRANSFERRED, lines, control_port
            )  # type: ignore[arg-type]
            assert not talk.failures, str(talk)
            call = await technician.next_call(10)
            await call.answered()
            call.media.play(b"\x10\x27\xf0\xd8" * 8000)
            await asyncio.sleep(1.5)
            assert talk.call.media.loudest(call.answered_at or 0.0) > AUDIBLE
            assert call.invite.get("x-voicebot-call") == str(talk.call_id)
            return str(talk.call_id)

    with host.outside_network():
        call_id = asyncio.run(transfer())
    assert '"transferred"' in host.ssh(f"voicebot calls {call_id[:8]} --json")


def test_a_trunk_that_wants_a_registration(appliance: Appliance) -> None:
    """Another operator's exchange, to which the appliance logs in; a wrong password is told."""
    host = appliance.host

    def trunks(password: str) -> dict[str, Any]:
        login = {"server": PROVIDER, "username": provider.USERNAME, "password": password}
        trunk = {"name": "second", "addresses": [PROVIDER], "registration": login}
        return {
            "asterisk_trunks": [*VARIABLES["asterisk_trunks"], trunk],
            "host_rtp_from": [*VARIABLES["host_rtp_from"], f"{PROVIDER}/32"],
        }

    async def called(exchange: provider.Provider) -> None:
        await until(lambda: exchange.registered() != "", 60, "the appliance registers")
        number = SipPhone("0677777777", address=TRUNK, server=(PROVIDER, provider.PORT))
        async with number as customer:
            call = await customer.dial(provider.USERNAME, within=15)
            await until(lambda: call.media.loudest() > AUDIBLE, 20, "the greeting")

    tags = ("--tags", "host_firewall,asterisk,verify")
    with host.outside_network(), provider.Provider() as exchange:
        appliance.play("site", *tags, **trunks(provider.PASSWORD))
        asyncio.run(called(exchange))
        run = appliance.play("site", *tags, ok=False, **trunks("not-the-password"))
    told = " ".join(run.output.split())
    assert "the operator of the trunk `second` refuses its registration (401)" in told
    assert "The host runs what ran before" in told
    assert provider.PASSWORD in host.ssh("cat /etc/asterisk/voicebot.d/endpoints.conf")
    appliance.play("site", "--tags", "host_firewall,asterisk,verify")


def test_a_stranger_gets_no_answer(host: FreshHost) -> None:
    async def ring() -> None:
        async with SipPhone("0600000000", address=STRANGER, server=outside.SIP) as stranger:
            with pytest.raises(TimeoutError):
                await stranger.dial("777", within=3)

    with host.outside_network():
        asyncio.run(ring())
        command = ["ssh", "-b", STRANGER, "-o", "ConnectTimeout=3", "-o", "BatchMode=yes", HOST]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "timed out" in done.stderr


def test_cron_runs_what_is_due(appliance: Appliance) -> None:
    host = appliance.host
    host.ssh("rm -f /var/lib/prometheus/node-exporter/voicebot-*.prom")
    # Conversion has a minute of its own: it leaves at once when another has the recordings.
    appliance.play(
        "site", "--tags", "recordings,backup", recordings_convert_at="*/2 * * * *",
        recordings_retention_at="1-59/2 * * * *", backup_at="1-59/2 * * * *",
    )  # fmt: skip
    folder = "/var/lib/prometheus/node-exporter"
    for task in ("convert", "retention", "backup"):
        good = f"grep -q 'success_timestamp_seconds{{task=.{task}' {folder}/voicebot-{task}.prom"
        wait_for(host, good, 240, f"{task} has run", "journalctl -t voicebot-task -n 40")
    assert int(host.ssh("find /var/lib/voicebot/var/recordings -name '*.mp3' | wc -l")) > 0
    assert host.ssh("ls /srv/backup").strip()
    appliance.play("site", "--tags", "recordings,backup")


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
    assert appliance.play("site", voicebot_image=NEWEST).changed == 0


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
    """By the playbook before anything is changed, by the voicebot before the file is replaced."""
    run = appliance.play("site", ok=False, voicebot_api_keys={}, asterisk_trunks=[])
    assert "voicebot_api_keys: is called voicebot_secrets now" in run.output
    assert run.changed == 0
    run = appliance.play(
        "site", "--tags", "voicebot", ok=False,
        voicebot_settings={"MAX_CONCURRENT_CALLS": "many"},
    )  # fmt: skip
    assert "MAX_CONCURRENT_CALLS='many'" in run.output
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
    appliance.play_until("unit : Compare .*: asterisk.service")
    assert host.ssh("docker ps -q") == "", "cut off before anything was started"
    appliance.play_until("unit : Start voicebot.service", after=0.5)
    run = appliance.play("site")
    assert "all is well" in run.output
    assert appliance.play("site").changed == 0
    assert int(host.ssh(count)) > CALLS
    outside.answers(host)


def restored(run: Run) -> str:
    """How long it took to put the release before into force."""
    took = re.search(r"restored \S+ in (\d+ s)", run.output)
    assert took, run.output[-6000:]
    return took[1]


def make_image(host: FreshHost, name: str, line: str) -> None:
    """The image in force with one line more: another version, as far as a host can tell."""
    host.ssh(f"printf 'FROM {IMAGE}\\n{line}\\n' | docker build -q -t {name} -")
