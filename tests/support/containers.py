"""The Docker engine that scripts/test-docker has started, and the network that its containers use.

Everything goes through Docker's own client. The test runs on a network of callers; what must be
done on the containers' network, such as asking a loopback port, is run there by ``nsenter``.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import run_flags

from voicebot import __version__

REPOSITORY = Path(__file__).resolve().parents[2]
DOCKER = "/usr/bin/docker"
CLOUD = f"voicebot:{__version__}-cloud"
FULL = f"voicebot:{__version__}-full"
ASTERISK = f"voicebot-asterisk:{__version__}"
HOST_ADDRESS = "10.99.77.2"
CALLER_ADDRESS = "10.99.77.1"
TECHNICIAN_ADDRESS = "10.99.77.3"
VOICEBOT_UID = 10777
ASTERISK_UID = 10778


class DockerError(Exception):
    """Docker's client failed; with what it said."""


def docker(*arguments: str, within: float = 60, check: bool = True, text: str | None = None) -> str:
    """What ``docker …`` prints, both streams. Raises DockerError, unless *check* is false."""
    done = subprocess.run(
        [DOCKER, *arguments],
        input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, timeout=within, check=False,
    )  # fmt: skip
    if check and done.returncode:
        raise DockerError(f"docker {' '.join(arguments)} ({done.returncode}): {done.stdout}")
    return done.stdout


def inspect(name: str) -> dict[str, Any]:
    """What Docker knows of a container or an image."""
    found: dict[str, Any] = json.loads(docker("inspect", name))[0]
    return found


def on_their_network(*command: str, within: float = 30) -> str:
    """What *command* prints when it is run where the containers listen. Raises DockerError."""
    network = f"--net=/run/netns/{os.environ['DOCKER_NETWORK']}"
    done = subprocess.run(
        ["nsenter", network, *command], capture_output=True, text=True, timeout=within, check=False
    )
    if done.returncode:
        raise DockerError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    return done.stdout


def fetch(url: str) -> str:
    """GET from where the containers listen, by a Python of this machine."""
    code = (
        "import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=5).read().decode())"
    )
    return on_their_network("python3", "-c", code, url)


def until(what: Callable[[], object], within: float, wanted: str | Callable[[], str]) -> None:
    """Wait. A fault of Docker's or of a fetch counts as not yet. Raises AssertionError."""
    deadline = time.monotonic() + within
    last: object = None
    while time.monotonic() < deadline:
        try:
            if last := what():
                return
        except DockerError as error:
            last = error
        time.sleep(0.1)
    told = wanted if isinstance(wanted, str) else wanted()
    raise AssertionError(f"not within {within:g} s: {told}; last: {last}")


def run_arguments(
    container: str, name: str, mounts: Mapping[str, str], **changes: Any
) -> list[str]:
    """The flags of docker/flags.yaml for one that is called *name*; *changes* are of flags."""
    flags = {**run_flags.load()[container], "cpuset": all_cores(), **changes}
    return run_flags.run_arguments(name, flags, mounts=mounts)


def all_cores() -> str:
    return ",".join(map(str, sorted(os.sched_getaffinity(0))))


class Hardened:
    """A voicebot container under every flag, with folders of its own.

    Beside the appliance: on another network if *alone*, so that ports do not meet.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._made: list[str] = []
        for name, mode in (("etc/secrets", 0o750), ("lib", 0o750), ("metrics", 0o755)):
            (directory / name).mkdir(parents=True)
            (directory / name).chmod(mode)
        (directory / "etc" / "voicebot.env").touch()
        directory.chmod(0o755)
        for path in (directory / "etc", *(directory / "etc").rglob("*")):
            os.chown(path, 0, VOICEBOT_UID)
        for name in ("lib", "metrics"):
            os.chown(directory / name, VOICEBOT_UID, VOICEBOT_UID)

    def arguments(self, name: str, container: str = "voicebot", **changes: Any) -> list[str]:
        mounts = {
            "/etc/voicebot": str(self.directory / "etc"),
            "/var/lib/voicebot": str(self.directory / "lib"),
            "/metrics": str(self.directory / "metrics"),
        }
        return run_arguments(container, name, mounts, **{"network": "none", **changes})

    def task(self, image: str, *command: str, **changes: Any) -> tuple[int, str]:
        """A task of the night, with the flags that a host runs it with, and its metrics."""
        command = (*run_flags.command(run_flags.load()["voicebot-task"]), *command)
        metrics = ("--metrics", f"/metrics/voicebot-{command[-1]}.prom")
        task = {"container": "voicebot-task", "memory": "1g", **changes}
        return self.run(image, *command, *metrics, **task)

    def run(
        self, image: str, *command: str, within: float = 120, **changes: Any
    ) -> tuple[int, str]:
        """Exit status and output of a container that is gone afterwards. ``entrypoint`` and
        ``environment`` (a mapping) are no flags, and may be given as well."""
        entrypoint = changes.pop("entrypoint", None)
        environment = changes.pop("environment", {})
        options = [f"--entrypoint={entrypoint}"] if entrypoint else []
        options += [f"--env={key}={value}" for key, value in environment.items()]
        name = f"one-{uuid.uuid4().hex[:8]}"
        arguments = ["run", "--rm", *self.arguments(name, **changes), *options, image, *command]
        try:
            done = subprocess.run(
                [DOCKER, *arguments],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                timeout=within, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            docker("rm", "--force", name, check=False)
            raise DockerError(f"{command} did not end in {within:g} s: {error.output}") from None
        return done.returncode, done.stdout

    def metrics(self, task: str) -> str:
        """What a task has left for node exporter."""
        return (self.directory / "metrics" / f"voicebot-{task}.prom").read_text()

    def python(self, code: str, image: str = CLOUD, **changes: Any) -> tuple[int, str]:
        return self.run(image, "-c", code, entrypoint="python3.11", **changes)

    @contextmanager
    def serving(self, image: str, **changes: Any) -> Iterator[str]:
        """The name of a service that takes calls, on a network of its own."""
        name = f"service-{uuid.uuid4().hex[:8]}"
        environment = changes.pop("environment", {})
        options = [f"--env={key}={value}" for key, value in environment.items()]
        docker("run", "--detach", *self.arguments(name, **changes), *options, image)
        try:
            until(lambda: docker("exec", name, "/usr/bin/healthcheck", "/readyz") == "", 60,
                  lambda: f"{name} takes calls: {docker('logs', name)}")  # fmt: skip
            yield name
        finally:
            docker("rm", "--force", "--volumes", name)


def processes(name: str) -> dict[int, str]:
    """The container's processes, by their numbers on this machine: command lines."""
    lines = docker("top", name, "-eo", "pid,args").splitlines()[1:]
    found = (re.match(r"\s*(\d+)\s+(.*)", line) for line in lines)
    return {int(match[1]): match[2] for match in found if match}


def service_of(name: str) -> int:
    """The container's service itself, not the init that started it: its number on this machine."""
    (service,) = [pid for pid, line in processes(name).items()
                  if line.endswith("voicebot serve") and "docker-init" not in line]  # fmt: skip
    return service


def cores_of(pid: int) -> str:
    """The cores that a process may use, as its status file in /proc says."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"^Cpus_allowed_list:\s*(\S+)$", status, re.M)
    assert found
    return found[1]
