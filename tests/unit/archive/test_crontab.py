"""``cron/voicebot``: each line is run as cron would, with the folders of a test."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.archive import House

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "cron" / "voicebot").read_text()
LINES = [line for line in TEXT.splitlines() if re.match(r"\d", line)]
VARIABLES = dict(re.findall(r"^([A-Z_]+)=\"?([^\"\n]*)\"?$", TEXT, flags=re.M))


def task_of(line: str) -> str:
    return re.findall(r"bin/voicebot (\w+)", line)[0]


def run(house: House, line: str) -> subprocess.CompletedProcess[str]:
    """What cron gives to the shell: a small environment, and the line without time and user."""
    command = line.split(maxsplit=6)[6]
    program = house.root / "voicebot"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m voicebot "$@"\n')
    program.chmod(0o755)
    for path, ours in {
        "/opt/voicebot/.venv/bin/voicebot": str(program),
        "/var/lib/voicebot": str(house.root),
        "/var/lib/prometheus/node-exporter": str(house.root),
        "systemd-cat -t voicebot-task ": "",  # no journal here
    }.items():
        assert path in command
        command = command.replace(path, ours)
    environment = {
        **VARIABLES, **house.environment, "PYTHONPATH": str(ROOT),
        "BACKUP_TARGET": str(house.backups), "PATH": VARIABLES["PATH"],
    }  # fmt: skip
    return subprocess.run(
        [VARIABLES["SHELL"], "-c", command], env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


def test_each_task_has_its_time_and_its_user() -> None:
    assert {task_of(line): line.split()[:6] for line in LINES} == {
        "convert": ["0", "3", "*", "*", "*", "voicebot"],
        "backup": ["0", "4", "*", "*", "*", "voicebot"],
        "retention": ["0", "5", "*", "*", "*", "voicebot"],
    }
    assert TEXT.endswith("\n"), "cron passes over a last line without its end"
    assert "%" not in "".join(LINES), "cron makes a new line of it"


@pytest.mark.parametrize("line", LINES, ids=task_of)
def test_a_line_does_its_task_and_leaves_its_metric(house: House, line: str) -> None:
    house.live(1)
    done = run(house, line)
    assert done.returncode == 0, done.stderr
    assert done.stdout, "a summary, for the journal"
    metrics = (house.root / f"voicebot-{task_of(line)}.prom").read_text()
    assert f'last_success_timestamp_seconds{{task="{task_of(line)}"}}' in metrics


@pytest.mark.parametrize("line", LINES, ids=task_of)
def test_a_line_is_left_out_while_the_same_task_still_runs(house: House, line: str) -> None:
    house.live(1)
    with (house.root / f".{task_of(line)}.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert run(house, line).returncode == 1
    assert not (house.root / f"voicebot-{task_of(line)}.prom").exists()


def test_a_limit_ends_a_task_and_its_success_stays_as_it_was(house: House) -> None:
    (line,) = (one for one in LINES if task_of(one) == "backup")
    house.live(1)
    assert run(house, line).returncode == 0
    metrics = house.root / "voicebot-backup.prom"
    before = metrics.read_text()
    with (house.recordings / ".lock").open("w") as held:  # it waits for another task
        fcntl.flock(held, fcntl.LOCK_EX)
        ended = run(house, line.replace("timeout -k 60 4h", "timeout -k 60 15"))
    assert ended.returncode == 124, "timeout's own: it had to end it"
    assert "interrupted" in ended.stderr
    assert metrics.read_text() == before
    assert not (house.recordings / ".work").exists()
    assert os.access(house.journal_file, os.R_OK)
