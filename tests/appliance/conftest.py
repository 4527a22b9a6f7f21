"""One fresh host for all tests here, in the order of the files: each begins where the last ended.

RELEASE says which: bookworm, trixie, jammy or noble. The host is thrown away at the end; what
Ansible printed is in ``var/appliance/playbooks.log``.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.appliance import outside
from tests.appliance.site import AGAIN, HELPED, TRANSFERRED, VARIABLES
from tests.support import fresh_host
from tests.support.fresh_host import ADMIN, HOME, HOST, FreshHost, HostError
from voicebot import config
from voicebot.simulator.lines import Line
from voicebot.simulator.synthesis import prepare_lines

TIMEOUT = 1500
"""Seconds that a deployment may take here, on two cores that others use as well."""


@dataclass(frozen=True, slots=True)
class Run:
    """How a playbook went."""

    output: str
    seconds: float
    ok: bool

    @property
    def changed(self) -> int:
        return int(re.findall(r"changed=(\d+)", self.output)[-1])

    def task(self, name: str) -> str:
        """What was printed of the task with that name."""
        found = re.search(
            rf"^TASK \[{re.escape(name)}\].*?(?=^TASK |^PLAY )", self.output, re.M | re.S
        )
        return found[0] if found else ""


class Appliance:
    """The operator's desk: an inventory, and the playbooks run on it."""

    def __init__(self, host: FreshHost, folder: Path, variables: dict[str, Any]) -> None:
        self.host = host
        self.variables = variables
        self._inventory = folder / "hosts.yml"
        self._inventory.write_text(yaml.safe_dump({"appliance": {"hosts": {"fresh": {
            "ansible_host": HOST,
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(host.key),
            "ansible_ssh_common_args": f"-o BindAddress={ADMIN} -o StrictHostKeyChecking=no "
            "-o UserKnownHostsFile=/dev/null -o LogLevel=ERROR",
        }}}}))  # fmt: skip

    def play(self, playbook: str, *arguments: str, ok: bool = True, **variables: Any) -> Run:
        """Run *playbook* with this site's variables and *variables*; they stay as they were."""
        command = self._command(playbook, *arguments, **variables)
        started = time.monotonic()
        try:
            output, good = fresh_host.ansible(self.host, *command, timeout=TIMEOUT), True
        except HostError as error:
            output, good = str(error), False
        with (HOME / "playbooks.log").open("a") as log:
            log.write(f"==== {playbook} {' '.join(arguments)}\n{output}\n")
        assert good or not ok, output[-6000:]
        return Run(output, time.monotonic() - started, good)

    def play_until(self, task: str, *arguments: str, after: float = 0.0, **variables: Any) -> None:
        """Run site.yml, and kill it *after* seconds in *task* (a pattern): it cannot clean up."""
        command = fresh_host.ansible_command(
            self.host, *self._command("site", *arguments, **variables)
        )
        with (HOME / "playbooks.log").open("a") as log, subprocess.Popen(
            command, cwd=fresh_host.ANSIBLE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, start_new_session=True,
            # Or a task is named only when it is over.
            env={**os.environ, "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "true"},
        ) as running:  # fmt: skip
            log.write(f"==== site, to be killed at {task}\n")
            assert running.stdout is not None
            seen = []
            for line in running.stdout:
                log.write(line)
                seen.append(line)
                if re.match(rf"TASK \[{task}", line):
                    time.sleep(after)
                    os.killpg(running.pid, signal.SIGKILL)
                    break
            else:
                raise AssertionError(f"there was no task {task}\n{''.join(seen)[-3000:]}")

    def _command(self, playbook: str, *arguments: str, **variables: Any) -> tuple[str, ...]:
        file = self._inventory.with_name("vars.yml")
        file.write_text(yaml.safe_dump({**self.variables, **variables}))
        return ("-i", str(self._inventory), f"{playbook}.yml", "-e", f"@{file}", *arguments)


@pytest.fixture(scope="session")
def host() -> Iterator[FreshHost]:
    HOME.mkdir(parents=True, exist_ok=True)
    (HOME / "playbooks.log").write_text("")
    with FreshHost(release=os.environ.get("RELEASE", "bookworm")) as machine:
        yield machine


@pytest.fixture(scope="session")
def appliance(host: FreshHost, tmp_path_factory: pytest.TempPathFactory) -> Appliance:
    folder: Path = tmp_path_factory.mktemp("inventory")
    return Appliance(host, folder, VARIABLES)


@pytest.fixture(scope="session")
def lines() -> Mapping[str, Line]:
    texts = [AGAIN, *(text for one in (HELPED, TRANSFERRED) for text in one.lines())]
    settings = config.load({"VOICEBOT_ENV_FILE": "/dev/null"})
    return asyncio.run(prepare_lines(texts, settings, lambda message: None))


@pytest.fixture
def control_port(host: FreshHost) -> Iterator[int]:
    with outside.control_api(host) as port:
        yield port
