"""The service as it is observed in production: with Asterisk, node_exporter and Prometheus.

All real, on loopback, on free ports; simulated customers call. The intervals are shorter, so that a
graph has its points after some seconds instead of minutes. ``python -m tests.support.observed``
keeps it running with calls, and prints the address of Prometheus, for ``make dashboards``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.support.asterisk import AsteriskInstance
from tests.support.service import REPOSITORY, ServiceInstance
from voicebot.telemetry import probes, tasks

BINARIES = REPOSITORY / "var/prometheus/bin"
HOST = "this-host"
SCRAPE_SECONDS = 2
SCENARIOS = (
    "internet-resolved",
    "interrupting",
    "callback",
    "mobile-transfer",
    "mumbler",
    "keypad",
)


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port: int = held.getsockname()[1]
        return port


@contextlib.contextmanager
def program(*command: str) -> Iterator[None]:
    """A child process, ended after."""
    with tempfile.TemporaryFile() as output:
        child = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            yield
        finally:
            child.terminate()
            child.wait(20)


class Observed:
    """Addresses of what runs, and questions to Prometheus."""

    def __init__(self, service: ServiceInstance, prometheus: str) -> None:
        self.service = service
        self.prometheus = prometheus

    def ask(self, expression: str) -> list[Any]:
        """The series of an instant query. Raises urllib.error.HTTPError for one that is wrong."""
        address = f"{self.prometheus}/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(address, timeout=10) as answer:
            found: list[Any] = json.load(answer)["data"]["result"]
            return found

    def call(self, scenario: str, at_once: int = 1) -> None:
        """Simulated customers call, and the call ends."""
        subprocess.run(
            [
                sys.executable, "-m", "voicebot", "call", scenario, "--calls", str(at_once),
                "--port", str(self.service.audiosocket_port),
                "--control", str(self.service.control_port),
            ],
            cwd=REPOSITORY, check=False, timeout=180, stdout=subprocess.DEVNULL,
        )  # fmt: skip


def configuration(directory: Path, targets: dict[str, int], rules: Sequence[Path]) -> Path:
    """A prometheus.yml with the jobs of production."""
    jobs = [
        {
            "job_name": job,
            "static_configs": [{"targets": [f"127.0.0.1:{port}"], "labels": {"instance": HOST}}],
        }
        for job, port in targets.items()
    ]
    interval = f"{SCRAPE_SECONDS}s"
    content = {
        "global": {"scrape_interval": interval, "evaluation_interval": interval,
                   "scrape_timeout": "1s"},
        "rule_files": [str(rule) for rule in rules],
        "scrape_configs": jobs,
    }  # fmt: skip
    file = directory / "prometheus.yml"
    file.write_text(yaml.safe_dump(content))
    return file


@contextlib.contextmanager
def observed(directory: Path, rules: Sequence[Path] = ()) -> Iterator[Observed]:
    """Everything up and scraped inside, gone after."""
    textfiles = directory / "textfiles"
    textfiles.mkdir()
    for task in tasks.TASKS:
        file = textfiles / f"{task}.prom"
        tasks.write(file, task, ended=time.time(), duration=60, items={"done": 1}, ok=True)
    node, own = free_port(), free_port()
    address = f"http://127.0.0.1:{own}"
    with contextlib.ExitStack() as stack:
        service = stack.enter_context(ServiceInstance(directory, MAX_CONCURRENT_CALLS="6"))
        asterisk = stack.enter_context(AsteriskInstance())
        stack.enter_context(
            program(
                str(BINARIES / "node_exporter"), f"--web.listen-address=127.0.0.1:{node}",
                f"--collector.textfile.directory={textfiles}",
            )
        )  # fmt: skip
        targets = {
            "voicebot": service.control_port, "node": node, "asterisk": asterisk.metrics_port,
            "prometheus": own,
        }  # fmt: skip
        stack.enter_context(
            program(
                str(BINARIES / "prometheus"), f"--web.listen-address=127.0.0.1:{own}",
                f"--config.file={configuration(directory, targets, rules)}",
                f"--storage.tsdb.path={directory / 'tsdb'}",
                "--enable-feature=exemplar-storage",
                "--web.cors.origin=.*",  # `make dashboards` asks from a page of its own
            )
        )  # fmt: skip
        found = Observed(service, address)
        wait_until_scraped(found, len(targets))
        yield found


def wait_until_scraped(found: Observed, targets: int) -> None:
    deadline = time.monotonic() + 30
    up = 0
    while time.monotonic() < deadline:
        with contextlib.suppress(urllib.error.URLError):
            up = len(found.ask("up == 1"))
        if up == targets:
            return
        time.sleep(0.5)
    raise TimeoutError(f"after 30 s Prometheus reaches {up} of {targets} targets")


def main() -> None:
    parser = argparse.ArgumentParser(description="the observed service, with calls")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--address", type=Path, required=True, help="file for Prometheus's address")
    parser.add_argument("--rules", type=Path, nargs="*", default=[])
    chosen = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="observed-") as directory,
        observed(Path(directory), chosen.rules) as found,
    ):
        end = time.monotonic() + 60 * chosen.minutes
        number = 0
        while time.monotonic() < end:
            scenario = SCENARIOS[number % len(SCENARIOS)]
            file = Path(directory) / "textfiles/probe.prom"  # a test call has just gone well
            probes.write(file, ended=time.time(), failed=None, first_audio=0.1, response=0.9)
            print(f"observed: {max(0, end - time.monotonic()):.0f} s left: {scenario}")
            found.call(scenario, at_once=1 + number % 2)
            number += 1
        chosen.address.write_text(found.prometheus)
        print(f"observed: {found.prometheus}; a line on standard input ends it", flush=True)
        sys.stdin.readline()


if __name__ == "__main__":
    main()
