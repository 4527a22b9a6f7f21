"""A fresh host becomes the appliance, and does what it is there for.

The tests follow each other on one host. What is proven is what an operator and a caller see: calls
from the network of the trunk, commands at the operator's desk.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.appliance import outside, provider
from tests.appliance.conftest import Appliance
from tests.appliance.site import HELPED, TRANSFERRED, VARIABLES
from tests.support.fresh_host import (
    HOST,
    PROVIDER,
    REPOSITORY,
    STRANGER,
    TECHNICIAN,
    FreshHost,
)
from tests.support.rtp import AUDIBLE
from tests.support.sip import SipPhone
from voicebot.simulator.lines import Line

pytestmark = [pytest.mark.appliance, pytest.mark.timeout(2400)]

BUNDLE = REPOSITORY / "var" / "bundle"
METRICS = "/var/lib/prometheus/node-exporter"
RULES = "nft list table inet voicebot"


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
    # An Asterisk and a Prometheus of somebody else.
    own = "/etc/prometheus/prometheus.yml"
    host.ssh(f"useradd --system asterisk; mkdir -p /etc/prometheus; echo '# by hand' >{own}")
    try:
        run = appliance.play(
            "site",
            ok=False,
            voicebot_speech="cloud",
            voicebot_settings={"MAX_CONCURENT_CALLS": 5},
            voicebot_api_keys={},
            asterisk_trunks=[{"name": "operator", "addresses": ["sip.example.org"], "tls": True}],
            asterisk_tls_key="/etc/ssl/private/host.key",
            host_least_memory_mb=9_000_000,
            host_least_disk_mb=900_000_000,
        )
    finally:
        host.ssh("systemctl stop squatter; userdel asterisk; rm -r /etc/prometheus")
    assert run.changed == 0
    told = " ".join(run.output.split())
    for words in (
        "voicebot_control_port: port 9080 (TCP) is taken on this host by python3 (process",
        "unit squatter.service); stop it, or choose another port",
        "the user 'asterisk' has the id",
        f"{own} on this host is somebody's own",
        "DEEPGRAM_API_KEY is missing or empty",
        "did you mean MAX_CONCURRENT_CALLS?",
        "voicebot_api_keys: is called voicebot_secrets now",
        "'sip.example.org' is no address",
        "asterisk_trunks (operator): tls needs asterisk_tls_certificate",
        "asterisk_tls_key is given, and asterisk_tls_certificate is not",
        "asterisk_technicians: 600@office: there is no trunk 'office'",
        "host_least_memory_mb asks for",
        "host_least_disk_mb asks for",
    ):
        assert words in told, words


# -- the appliance


def test_a_fresh_host_becomes_the_appliance(appliance: Appliance, tmp_path: Path) -> None:
    """Half-configured by hand: Docker's settings of somebody else stay. Cut off while packages are
    installed: the next run goes on from there, and without a network, from a bundle."""
    subprocess.run(
        ["scripts/bundle-packages", appliance.host.release.suite],
        env={**os.environ, "BUNDLE": str(tmp_path)}, check=True,
    )  # fmt: skip
    for image in BUNDLE.glob("voicebot*"):
        (tmp_path / image.name).symlink_to(image)
    appliance.host.ssh(
        'mkdir -p /etc/docker; echo \'{"log-level": "warn"}\' >/etc/docker/daemon.json'
    )
    started = time.monotonic()
    appliance.play_until("host : Install .*docker.io", after=3)
    cut_off = time.monotonic() - started
    appliance.host.disconnect()
    try:
        run = appliance.play("site", appliance_bundle=str(tmp_path))
    finally:
        appliance.host.reconnect()
    assert "Install from the bundle prometheus" in run.output
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
    assert host.ssh("voicebot runbook VoicebotDown").startswith("# VoicebotDown\n")
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


def test_cron_is_told_when(appliance: Appliance) -> None:
    """What comes of it is looked at below, when its minutes have come."""
    appliance.host.ssh(f"rm -f {METRICS}/voicebot-*.prom")
    # Conversion has a minute of its own: it leaves at once when another has the recordings.
    appliance.play(
        "site", "--tags", "recordings,backup", recordings_convert_at="*/2 * * * *",
        recordings_retention_at="1-59/2 * * * *", backup_at="1-59/2 * * * *",
    )  # fmt: skip


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

    tags = ("--tags", "host_firewall,asterisk,verify")
    with host.outside_network(), provider.Provider() as exchange:
        appliance.play("site", *tags, **trunks(provider.PASSWORD))
        asyncio.run(exchange.called())
        run = appliance.play("site", *tags, ok=False, **trunks("not-the-password"))
    told = " ".join(run.output.split())
    assert "the operator of the trunk `second` refuses its registration (401)" in told
    assert "The host runs what ran before" in told
    assert provider.PASSWORD in host.ssh("cat /etc/asterisk/voicebot.d/endpoints.conf")
    flush_the_rules(host)
    appliance.play("site", "--tags", "host_firewall,asterisk")
    host.ssh(RULES)


def flush_the_rules(host: FreshHost) -> None:
    """As Debian's /etc/nftables.conf does, after which they come back; by hand, after which the
    self-check tells it, and the next run brings them back."""
    for verb in ("start", "reload", "restart"):
        host.ssh(f"systemctl {verb} nftables && {RULES}")
    check = "import runpy; runpy.run_path('/usr/local/sbin/voicebot-verify')['firewall']()"
    chain = "add chain ip other in { type filter hook input priority 0; policy drop; }"
    host.ssh(f"nft 'add table ip other; {chain}; add rule ip other in accept'")
    told = host.ssh(f'python3 -c "{check}"')
    assert "the firewall's rules are in force" in told
    assert "another firewall decides as well (nft list table ip other)" in told
    host.ssh("nft flush ruleset")
    assert "the firewall's rules are not in force" in host.ssh(f'python3 -c "{check}"')


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


def test_cron_has_run_what_was_due(appliance: Appliance) -> None:
    host = appliance.host
    for task in ("convert", "retention", "backup"):
        good = f"grep -q 'success_timestamp_seconds{{task=.{task}' {METRICS}/voicebot-{task}.prom"
        host.wait_for(good, 240, f"{task} has run", "journalctl -t voicebot-task -n 40")
    assert int(host.ssh("find /var/lib/voicebot/var/recordings -name '*.mp3' | wc -l")) > 0
    assert host.ssh("ls '/srv/the backups'").strip()
    appliance.play("site", "--tags", "recordings,backup")
    made = host.ssh("ls '/srv/the backups'").split()
    log = "journalctl -t voicebot-task -n 20"
    host.wait_for("voicebot-backup", 240, "a backup by hand, after cron's", log)
    assert len(host.ssh("ls '/srv/the backups'").split()) > len(made)
