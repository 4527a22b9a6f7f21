"""Without containers: what the pages on it say, typed on a host of its own with a live systemd.

The commands are those of the pages, out of their blocks, so that a page that is wrong fails here.
Two things are not as for a reader: the checkout is this one and not a clone, and its models and
prompts come along, which the set-up would make again in some minutes.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.support.fresh_host import HOME, REPOSITORY, FreshHost
from tests.support.pages import block

pytestmark = [pytest.mark.appliance, pytest.mark.timeout(1500)]

SERVICE = "docs/how-to/run-as-a-service.md"
NIGHT = "docs/how-to/nightly-tasks.md"
PROBE = "docs/how-to/probe-the-line.md"
METRICS = "/var/lib/prometheus/node-exporter"
RECORDINGS = "/var/lib/voicebot/var/recordings"
FETCH = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout=5).read().decode())"
READY = f"python3 -c '{FETCH}' http://127.0.0.1:9080/readyz"
LOG = "journalctl -t voicebot-task"
FROZEN = 60.0
"""Seconds in which a frozen process must be noticed, ended and ready anew: ten, and a start."""


@pytest.fixture(scope="module")
def host() -> Iterator[FreshHost]:
    HOME.mkdir(parents=True, exist_ok=True)
    with FreshHost("vba-native") as machine:
        machine.ssh(
            "echo 'APT::Get::Assume-Yes \"true\";' >/etc/apt/apt.conf.d/yes; apt-get -qq update"
        )
        checkout = machine.directory / "root" / "opt" / "voicebot"
        checkout.mkdir()
        bring = (
            f"git ls-files -z | tar --null --files-from=- -c | tar --no-same-owner -xC {checkout}\n"
            f"mkdir -p {checkout}/var && cp -r var/models var/cache {checkout}/var"
        )
        subprocess.run(["bash", "-euo", "pipefail", "-c", bring], cwd=REPOSITORY, check=True)
        yield machine


def show(host: FreshHost, unit: str, what: str) -> str:
    """A property of a unit, as systemd has it."""
    return host.ssh(f"systemctl show -P {what} {unit}").strip()


def main_process(host: FreshHost, unit: str = "voicebot") -> dict[str, str]:
    """/proc/…/status of what the unit runs."""
    lines = host.ssh(f"cat /proc/$(systemctl show -P MainPID {unit})/status").splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def set_up(host: FreshHost, unit: str, section: str, *lines: str) -> None:
    """What `systemctl edit` leaves; without lines, as it was."""
    file = f"/etc/systemd/system/{unit}.d/of-the-test.conf"
    text = "\\n".join([f"[{section}]", *lines])
    write = f"mkdir -p $(dirname {file}) && printf '{text}\\n' >{file}" if lines else f"rm {file}"
    host.ssh(f"{write}; systemctl daemon-reload")


def metrics(host: FreshHost, task: str) -> str:
    """What a task has left, as node exporter tells it."""
    told = host.ssh(f"python3 -c '{FETCH}' http://127.0.0.1:9100/metrics")
    return "\n".join(line for line in told.splitlines() if f'task="{task}"' in line)


def success(host: FreshHost, task: str) -> str:
    """When *task* has done its work last."""
    found = re.search(
        r"^voicebot_task_last_success_timestamp_seconds\S* (\S+)$", metrics(host, task), re.M
    )
    assert found, metrics(host, task)
    return found[1]


# -- the service


def test_it_is_installed_as_the_page_says_and_takes_calls(host: FreshHost) -> None:
    commands = block(SERVICE, "adduser --system").replace("git clone … /opt/voicebot && ", "")
    started = time.monotonic()
    host.ssh(commands, timeout=1200)
    print(f"\nfrom a checkout to a service that takes calls: {time.monotonic() - started:.0f} s")
    host.ssh(READY)
    assert show(host, "voicebot", "ActiveState") == "active"
    told = host.ssh("voicebot doctor", check=False)
    assert "✗" not in told, told
    assert "ready to take calls" in told
    assert '"event"' in host.ssh("journalctl -u voicebot -o cat")


def test_its_sandbox_is_in_force(host: FreshHost) -> None:
    status = main_process(host)
    assert {status[key] for key in status if key.startswith("Cap")} == {"0" * 16}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    inside = (
        "nsenter --mount --target $(systemctl show -P MainPID voicebot)"
        " setpriv --reuid=voicebot --regid=voicebot --clear-groups"
    )
    for path in ("/usr/x", "/etc/voicebot/x", "/opt/voicebot/x"):
        refused = host.ssh(f"{inside} touch {path}", check=False)
        assert re.search("Read-only file system|Permission denied", refused), path
    host.ssh(f"{inside} touch /var/lib/voicebot/x && rm /var/lib/voicebot/x")
    exposure = host.ssh("systemd-analyze security --no-pager voicebot | tail -1")
    score = re.search(r"(\d+\.\d)", exposure)
    assert score, exposure
    assert float(score[1]) <= 2.0, exposure


def test_a_process_that_is_frozen_is_ended_and_started_again(host: FreshHost) -> None:
    """The keep-alive comes from the event loop, so this is what a stuck one looks like."""
    before = main_process(host)["Pid"]
    host.ssh("systemctl kill --kill-whom=main --signal=STOP voicebot")
    host.wait_for(READY, FROZEN, "ready again", "journalctl -u voicebot -n 20")
    assert main_process(host)["Pid"] != before
    assert "Watchdog timeout (limit 10s)!" in host.ssh("journalctl -u voicebot --no-pager")
    assert show(host, "voicebot", "NRestarts") == "1"


def test_a_stop_waits_for_the_call_that_runs(host: FreshHost) -> None:
    host.ssh(
        "systemd-run --quiet --unit=caller --remain-after-exit --working-directory=/opt/voicebot"
        " /opt/voicebot/.venv/bin/voicebot call silent"
    )
    began = "journalctl -u voicebot -o cat | grep -q 'call started'"
    host.wait_for(began, 60, "a call", "journalctl -u caller")
    host.ssh("systemctl stop voicebot", timeout=200)
    drained = host.ssh("journalctl -u voicebot -o cat -g 'drain ended'")
    assert re.search(r"cut\W+0\b", drained), drained
    host.wait_for("systemctl show -P SubState caller | grep -qx exited", 60, "the caller is done",
             "journalctl -u caller")  # fmt: skip
    assert show(host, "caller", "Result") == "success", host.ssh("journalctl -u caller")
    assert show(host, "voicebot", "Result") == "success"
    host.ssh("systemctl start voicebot", timeout=150)


# -- each night


def test_the_timers_are_installed_as_the_page_says(host: FreshHost) -> None:
    """In place of cron, which the page installs first."""
    host.ssh(block(NIGHT, "apt-get install"), timeout=600)
    assert host.ssh("ls /etc/cron.d/voicebot").strip()
    host.ssh(block(NIGHT, "rm -f /etc/cron.d").partition("systemctl start")[0])
    listed = host.ssh("systemctl list-timers --no-pager 'voicebot-*'")
    for task, at in (("convert", "03:00:00"), ("backup", "04:00:00"), ("retention", "05:00:00")):
        assert re.search(
            rf"{at}.* voicebot-{task}\.timer +voicebot-task@{task}\.service", listed
        ), listed


def test_a_timer_whose_time_has_come_starts_its_task(host: FreshHost) -> None:
    assert "wav" in host.ssh(f"find {RECORDINGS} -name '*.wav'"), "the call before was recorded"
    set_up(
        host,
        "voicebot-convert.timer",
        "Timer",
        "OnCalendar=",
        "OnCalendar=*:*:0/5",
        "AccuracySec=1s",
    )
    host.ssh("systemctl restart voicebot-convert.timer")
    host.wait_for(
        f"test -e {METRICS}/voicebot-convert.prom",
        120,
        "convert has run",
        "journalctl -t voicebot-task",
    )
    set_up(host, "voicebot-convert.timer", "Timer")
    host.ssh("systemctl restart voicebot-convert.timer")
    assert host.ssh(f"find {RECORDINGS} -name '*.mp3'").strip()
    assert not host.ssh(f"find {RECORDINGS} -name '*.wav'").strip(), "--delete-raw, of its drop-in"
    assert success(host, "convert")


def test_a_night_that_the_host_was_off_is_made_up_for(host: FreshHost) -> None:
    stamp = "/var/lib/systemd/timers/stamp-voicebot-retention.timer"
    host.ssh(f"systemctl stop voicebot-retention.timer; touch -d '2 days ago' {stamp};"
             " systemctl start voicebot-retention.timer")  # fmt: skip
    host.wait_for(f"test -e {METRICS}/voicebot-retention.prom", 120, "retention has run", LOG)
    assert success(host, "retention")


def test_a_task_that_fails_says_so_where_the_page_looks(host: FreshHost) -> None:
    """The folder for backups is not let there yet, which the page says how to do."""
    host.ssh("install -d -o voicebot -g voicebot /mnt/backup;"
             "echo BACKUP_TARGET=/mnt/backup >>/etc/voicebot/voicebot.env")  # fmt: skip
    assert "failed" in host.ssh("systemctl start voicebot-task@backup", check=False, timeout=200)
    assert "voicebot-task@backup.service" in host.ssh("systemctl --failed --no-pager")
    assert show(host, "voicebot-task@backup", "ExecMainStatus") == "1"
    told = host.ssh(f"{LOG} -o cat")
    assert re.search(r"^backup: .*Read-only file system", told, re.M), told
    assert "voicebot_task_last_run_timestamp_seconds" in metrics(host, "backup")
    set_up(host, "voicebot-task@backup.service", "Service", "ReadWritePaths=/mnt/backup")
    host.ssh("systemctl start voicebot-task@backup", timeout=200)
    assert success(host, "backup")
    assert host.ssh("find /mnt/backup -name '*.mp3'").strip()


def test_a_task_leaves_the_recordings_to_the_one_that_has_them_and_ends_at_its_limit(
    host: FreshHost,
) -> None:
    before = success(host, "backup")
    host.ssh(f"systemd-run --quiet --unit=holder flock {RECORDINGS}/.lock sleep 600")
    assert "failed" in host.ssh("systemctl start voicebot-task@convert", check=False)
    assert show(host, "voicebot-task@convert", "ExecMainStatus") == "3"
    set_up(
        host,
        "voicebot-task@backup.service",
        "Service",
        "ReadWritePaths=/mnt/backup",
        "TimeoutStartSec=20",
    )
    host.ssh("systemctl start --no-block voicebot-task@backup")
    host.wait_for(f"{LOG} -o cat | grep -q 'waiting for'", 60, "backup waits", LOG)
    pid = show(host, "voicebot-task@backup", "MainPID")
    assert host.ssh(f"ps -o ni= -p {pid}").strip() == "19"
    assert host.ssh(f"ionice -p {pid}").strip() == "idle"
    assert "/housekeeping.slice/" in host.ssh(f"cat /proc/{pid}/cgroup")
    host.wait_for(
        "systemctl is-failed -q voicebot-task@backup",
        120,
        "its limit",
        "systemctl status voicebot-task@backup",
    )
    assert show(host, "voicebot-task@backup", "Result") == "timeout"
    assert show(host, "voicebot-task@backup", "ExecMainStatus") == "130"
    assert success(host, "backup") == before
    host.ssh("systemctl stop holder")


def test_the_probe_is_placed_each_minute_and_its_failure_is_seen(host: FreshHost) -> None:
    """There is no Asterisk here: what is seen is that it is started, may do its work and tells."""
    host.ssh(block(PROBE, "voicebot-probe.timer"))
    told = f"{METRICS}/voicebot-probe.prom"
    host.wait_for(f"test -e {told}", 150, "a probe", "journalctl -u voicebot-probe")
    assert re.search(r"^voicebot_probe_success\S* 0", host.ssh(f"cat {told}"), re.M)
    assert "failed at connect" in host.ssh("journalctl -u voicebot-probe -o cat")
    host.wait_for(
        "systemctl is-failed -q voicebot-probe",
        60,
        "it has failed",
        "systemctl status voicebot-probe",
    )
