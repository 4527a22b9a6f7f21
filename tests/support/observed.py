"""Questions to the Prometheus that observes a service, and customers for that service."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import urllib.parse
import urllib.request
from typing import Any

from tests.support.service import REPOSITORY, ServiceInstance

BINARIES = REPOSITORY / "var/prometheus/bin"


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port: int = held.getsockname()[1]
        return port


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
