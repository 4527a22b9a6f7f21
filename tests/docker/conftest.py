"""The appliance of docker/compose.yaml, started once, with two telephones on another network.

``scripts/test-docker`` makes the engine, the networks and the images. What is not ours (Prometheus,
Alertmanager, node exporter) is Debian's in these tests, and Grafana is left out: no image registry
can be reached where they run.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.containers import (
    CALLER_ADDRESS,
    HOST_ADDRESS,
    REPOSITORY,
    TECHNICIAN_ADDRESS,
    Hardened,
    docker,
)

LINES = f"""
[caller](trunk)
aors = caller
[caller]
type = aor
[caller]
type = identify
endpoint = caller
match = {CALLER_ADDRESS}

[technician](phone)
aors = technician
[technician]
type = aor
[technician]
type = identify
endpoint = technician
match = {TECHNICIAN_ADDRESS}
"""
TECHNICIAN_PORT = 5070
STAND_INS = {
    "PROMETHEUS_IMAGE": "stand-in-prometheus",
    "ALERTMANAGER_IMAGE": "stand-in-prometheus-alertmanager",
    "NODE_EXPORTER_IMAGE": "stand-in-prometheus-node-exporter",
    "GRAFANA": "no",
}


@dataclass(frozen=True, slots=True)
class Appliance:
    """What `make up` started."""

    site: Path
    said: str
    """What it printed."""

    def log(self) -> str:
        """Asterisk's, as the host has it."""
        return (self.site / "log" / "messages").read_text(errors="replace")

    def call_log(self, call_id: str) -> list[str]:
        mark = f"voicebot call={call_id} "
        return [line.partition(mark)[2] for line in self.log().splitlines() if mark in line]


def appliance_command(action: str) -> str:
    done = subprocess.run(
        [REPOSITORY / "scripts" / "appliance", action],
        env={**os.environ, **STAND_INS},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + docker("ps", "--all") + logs()
    return done.stdout


def logs() -> str:
    return "".join(
        f"--- {name}\n{docker('logs', '--tail', '30', name, check=False)}"
        for name in ("voicebot", "asterisk")
    )


@pytest.fixture(scope="session")
def appliance() -> Iterator[Appliance]:
    site = Path(os.environ["VOICEBOT_SITE"])
    (site / "voicebot" / "secrets").mkdir(parents=True)
    (site / "voicebot" / "voicebot.env").write_text(
        "TECHNICIANS=always\nLOG_TRANSCRIPTS=true\nDRAIN_TIMEOUT=60\n"
        # A caller who listens is not hung up on, however slow this machine is.
        "SILENCE_WARNING_TIMEOUT=45\nSILENCE_HANGUP_TIMEOUT=90\n"
    )
    for directory in ("asterisk", "log/cdr-csv", "grafana"):
        (site / directory).mkdir(parents=True)
    for file in (REPOSITORY / "asterisk" / "voicebot.d").iterdir():
        (site / "asterisk" / file.name).write_text(file.read_text())
    (site / "asterisk" / "endpoints.conf").write_text(LINES)
    line = f"PJSIP/technician/sip:technician@{TECHNICIAN_ADDRESS}:{TECHNICIAN_PORT}"
    text = (site / "asterisk" / "globals.conf").read_text()
    (site / "asterisk" / "globals.conf").write_text(
        text.replace("PJSIP/600@pbx", line).replace("VOICEBOT_RING = 25", "VOICEBOT_RING = 10")
    )
    try:
        yield Appliance(site, appliance_command("up"))
    finally:
        appliance_command("erase")
    assert docker("ps", "--all", "--quiet") == "", "nothing is left"


@pytest.fixture
def hardened(tmp_path: Path) -> Hardened:
    return Hardened(tmp_path / "host")


@pytest.fixture(scope="session")
def server() -> tuple[str, int]:
    """Where the telephones reach Asterisk."""
    return HOST_ADDRESS, 5060
