"""The containers set up by hand: what the page says, typed on a host with a live systemd.

The commands are those of the page, as in the tests beside. Two things are not as for a reader:
the checkout is this one and not a clone, and the images are those of the bundle.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.support.fresh_host import HOME, REPOSITORY, FreshHost
from tests.support.pages import block
from voicebot import __version__

pytestmark = [pytest.mark.appliance, pytest.mark.timeout(1500)]

PAGE = "docs/how-to/run-in-containers.md"
SERVICE = "docs/how-to/run-as-a-service.md"
BUNDLE = REPOSITORY / "var" / "bundle"
IMAGES = (f"voicebot_{__version__}-full", f"voicebot-asterisk_{__version__}")
FETCH = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout=5).read().decode())"
READY = f"python3 -c '{FETCH}' http://127.0.0.1:9080/readyz"
UP = f"python3 -c '{FETCH}' 'http://127.0.0.1:9091/api/v1/query?query=up'"
LOG = "journalctl -u voicebot -u asterisk -n 30 --no-pager"
METRICS = "/var/lib/prometheus/node-exporter"


@pytest.fixture(scope="module")
def host() -> Iterator[FreshHost]:
    HOME.mkdir(parents=True, exist_ok=True)
    with FreshHost("vba-by-hand") as machine:
        checkout = machine.directory / "root" / "opt" / "voicebot"
        checkout.mkdir()
        bring = (
            f"git ls-files -z | tar --null --files-from=- -c | tar --no-same-owner -xC {checkout}"
        )
        subprocess.run(["bash", "-euo", "pipefail", "-c", bring], cwd=REPOSITORY, check=True)
        machine.ssh("apt-get -qq update", timeout=300)
        install, _, _ = block(PAGE, "make images").partition("make images")
        machine.ssh(install, timeout=900)
        for image in IMAGES:
            shutil.copy(BUNDLE / f"{image}.tar.gz", machine.directory / "root" / "root")
            machine.ssh(f"docker load <{image}.tar.gz && rm {image}.tar.gz", timeout=600)
        yield machine


def typed(host: FreshHost, commands: str, timeout: float = 300) -> str:
    """What they print, typed in the checkout."""
    return host.ssh(f"cd /opt/voicebot\n{commands}", timeout=timeout)


def test_it_is_installed_as_the_page_says_and_a_test_call_is_answered(host: FreshHost) -> None:
    typed(host, block(PAGE, "adduser --system"))
    typed(host, block(PAGE, "systemctl enable --now voicebot asterisk"))
    told = typed(host, block(PAGE, "voicebot probe"))
    assert "ok: greeted after" in told


def test_it_finds_nothing_wrong_with_itself(host: FreshHost) -> None:
    told = host.ssh("voicebot doctor", check=False)
    assert "✗" not in told, told
    assert "ready to take calls" in told


def test_what_is_wrong_is_found_where_the_service_does_not_start(host: FreshHost) -> None:
    """As whoever is woken does it: there is no container then to run anything in."""
    host.ssh("systemctl stop voicebot; sed -i.before '$aLOOP_CORE=900' /etc/voicebot/voicebot.env")
    host.ssh("systemctl start voicebot", check=False)
    host.ssh("systemctl stop voicebot")
    told = host.ssh("voicebot doctor 2>&1", check=False)
    assert "the service does not run" in told
    assert "LOOP_CORE" in told
    host.ssh("mv /etc/voicebot/voicebot.env.before /etc/voicebot/voicebot.env")
    assert "the service does not run" in host.ssh("voicebot calls --json 2>&1")
    host.ssh("systemctl reset-failed voicebot; systemctl start voicebot", timeout=200)
    assert host.ssh("docker ps --all --quiet --filter name=voicebot-command") == ""


def test_nightly_tasks_and_test_calls_run_as_the_page_says(host: FreshHost) -> None:
    typed(host, block(PAGE, "/etc/cron.d/voicebot"), timeout=600)
    lines = host.ssh("grep -v '^#' /etc/cron.d/voicebot")
    assert "voicebot-task 4h backup" in lines
    host.ssh("install -d -o voicebot -g voicebot /mnt/backup;"
             " echo BACKUP_TARGET=/mnt/backup >>/etc/voicebot/voicebot.env")  # fmt: skip
    for task in re.findall(r"^[\d *]+ root (?:\w+=\S+ )?voicebot-task (.+)$", lines, re.M):
        host.ssh(f"TASK_VOLUMES=/mnt/backup voicebot-task {task}", timeout=300)
    host.ssh("systemctl start voicebot-probe", timeout=120)
    written = host.ssh(f"cat {METRICS}/voicebot-*.prom")
    for name in ("convert", "backup", "retention"):
        assert f'voicebot_task_last_success_timestamp_seconds{{task="{name}"}}' in written, written
    assert re.search(r"^voicebot_probe_success\S* 1", written, re.M), written
    assert host.ssh("ls /mnt/backup").strip()


def test_asterisks_logs_do_not_grow_for_ever(host: FreshHost) -> None:
    host.ssh("logrotate --force /etc/logrotate.d/voicebot-asterisk")
    assert "messages.1" in host.ssh("ls /var/log/asterisk")
    host.ssh("voicebot probe")
    assert "event=start" in host.ssh("cat /var/log/asterisk/messages"), "it is written to as before"


def test_prometheus_watches_it_as_the_page_says(host: FreshHost) -> None:
    typed(host, block(SERVICE, "/etc/default/prometheus"), timeout=600)

    def up() -> dict[str, str]:
        told = host.ssh(UP, check=False)
        if not told.startswith("{"):
            return {}
        result = json.loads(told)["data"]["result"]
        return {one["metric"]["job"]: one["value"][1] for one in result}

    wanted = dict.fromkeys(("voicebot", "asterisk", "node", "alertmanager", "prometheus"), "1")
    deadline = time.monotonic() + 120
    while (seen := up()) != wanted:
        assert time.monotonic() < deadline, seen
        time.sleep(1)


def test_one_that_is_frozen_is_back_at_once_after_what_the_runbook_says(host: FreshHost) -> None:
    assert "docker kill voicebot" in (REPOSITORY / "docs/runbooks/VoicebotDown.md").read_text()
    before = host.ssh("docker inspect --format '{{.Id}}' voicebot")
    host.ssh("docker exec voicebot python3.11 -c "
             "'import os, signal; os.kill(-1, signal.SIGSTOP)'", check=False)  # fmt: skip
    assert "ready" not in host.ssh(READY, check=False)
    host.ssh("docker kill voicebot")
    host.wait_for(READY, 60, "ready again", LOG)
    assert host.ssh("docker inspect --format '{{.Id}}' voicebot") != before
