"""`scripts/local-asterisk`, as somebody runs it who has a softphone and nothing installed."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.asterisk import LOOPBACK, REPOSITORY, fetch, held_port

pytestmark = [pytest.mark.asterisk, pytest.mark.timeout(120)]

SCRIPT = REPOSITORY / "scripts" / "local-asterisk"
SOFTPHONE = Path(__file__).with_name("sipp_softphone.xml")
WITHIN = 40.0


def free_port(kind: socket.SocketKind) -> int:
    with held_port(kind) as port:
        return port


class Local:
    """The script, running; its files and what it prints."""

    def __init__(self, site: Path, sip_port: int) -> None:
        self.site, self.sip_port, self._output = site, sip_port, site / "output"
        self._environ = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "TELEPHONY": str(site)}

    def start(self) -> None:
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [SCRIPT], env=self._environ, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        self.says("make serve, in another terminal")

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [SCRIPT, *arguments], env=self._environ, capture_output=True, text=True, check=False
        )

    def said(self) -> str:
        return self._output.read_text(errors="replace")

    def says(self, words: str) -> None:
        deadline = time.monotonic() + WITHIN
        while words not in self.said():
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.1)

    def passwords(self) -> dict[str, str]:
        return dict(re.findall(r"telephone (\S+) +password (\S+)", self.said()))

    def dial(self, name: str, password: str) -> subprocess.CompletedProcess[str]:
        """Register, dial 777, hang up: sipp's account of it."""
        text = SOFTPHONE.read_text().replace("@NAME@", name).replace("@PASSWORD@", password)
        (self.site / "softphone.xml").write_text(text.replace("@STAYS@", "500"))
        return subprocess.run(
            ["sipp", "-sf", "softphone.xml", "-i", LOOPBACK, "-mi", LOOPBACK,
             "-p", str(free_port(socket.SOCK_DGRAM)), "-m", "1", "-nostdin", "-timeout", "20s",
             f"{LOOPBACK}:{self.sip_port}"],
            cwd=self.site, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Local]:
    """With this test's ports, written where a user would write them."""
    fetch()
    site = tmp_path / "t"
    lines = site / "voicebot.d"
    subprocess.run([REPOSITORY / "scripts/site-telephones", "make", lines], check=True)
    sip = free_port(socket.SOCK_DGRAM)
    for file, old, new in (
        ("transport.conf", "0.0.0.0:5060", f"{LOOPBACK}:{sip}"),
        ("http.conf", "8088", str(free_port(socket.SOCK_STREAM))),
        ("globals.conf", ":9090", f":{free_port(socket.SOCK_STREAM)}"),
        ("globals.conf", ":9080", f":{free_port(socket.SOCK_STREAM)}"),
    ):
        text = (lines / file).read_text()
        assert old in text
        (lines / file).write_text(text.replace(old, new))
    running = Local(site, sip)
    yield running
    if hasattr(running, "process") and running.process.poll() is None:
        running.process.kill()
        running.process.wait()


def test_a_softphone_registers_as_printed_and_dials_777(local: Local) -> None:
    local.start()
    passwords = local.passwords()
    assert set(passwords) == {"client", "technicien"}
    called = local.dial("client", passwords["client"])
    assert called.returncode == 0, called.stdout[-3000:]
    assert "caller=606 dialled=777" in local.said()
    assert "client/606" in local.run("-rx", "pjsip show endpoints").stdout
    assert local.dial("client", "something-else").returncode != 0

    twice = local.run()
    assert twice.returncode == 1
    assert "it is already running" in twice.stderr

    local.process.send_signal(signal.SIGINT)
    local.process.wait(WITHIN)
    kept = (local.site / "voicebot.d/endpoints.conf").read_text()
    local.start()
    assert local.passwords() == passwords
    assert (local.site / "voicebot.d/endpoints.conf").read_text() == kept


def test_a_port_that_is_taken_is_named_with_its_file(local: Local) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((LOOPBACK, local.sip_port))
        refused = local.run()
    assert refused.returncode == 1
    assert f"{LOOPBACK}:{local.sip_port}" in refused.stderr
    assert "voicebot.d/transport.conf" in refused.stderr
