"""A real Asterisk, run as a child process with the very files of ``asterisk/``.

The files that a site writes (``asterisk/voicebot.d``) are the only ones that differ from a
production host: free ports on loopback, and lines for our own telephones. The binary is the
one ``scripts/get-asterisk`` unpacks; no root, no installation.

One instance serves many tests: ``point_at`` tells the dialplan where this test's voicebot and
technician are, the way an operator would (write ``voicebot.d/globals.conf``, reload).
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

REPOSITORY = Path(__file__).resolve().parents[2]
TREE = REPOSITORY / "var" / "asterisk"
LOOPBACK = "127.0.0.1"
#: Telephones that place calls send from here; Asterisk knows them by this address.
CALLER_ADDRESS = "127.0.0.1"
#: The technician's telephone lives here, so that nobody takes it for a caller.
TECHNICIAN_ADDRESS = "127.0.0.2"
#: An address that no line is configured for.
STRANGER_ADDRESS = "127.0.0.9"

#: The announcement that is shipped.
NOBODY = "${ASTETCDIR}/sounds/nobody"

# Printed by 22.10 itself, before it has read any configuration; no setting silences it.
OWN_FAULT = "Could not find option 'minimum_size' with type 'threadpool' in module 'stasis'"

BOOT_SECONDS = 20.0
STOP_SECONDS = 10.0

TEST_LINES = f"""
[caller](trunk)
aors = caller
media_address = {LOOPBACK}
bind_rtp_to_media_address = yes
[caller]
type = aor
[caller]
type = identify
endpoint = caller
match = {CALLER_ADDRESS}

[technician](phone)
aors = technician
media_address = {LOOPBACK}
bind_rtp_to_media_address = yes
[technician]
type = aor
[technician]
type = identify
endpoint = technician
match = {TECHNICIAN_ADDRESS}
"""


class AsteriskError(Exception):
    """Asterisk could not be fetched, did not start, or a CLI command failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What ``voicebot.d/globals.conf`` says; ports are of loopback."""

    audiosocket_port: int
    control_port: int
    technician_port: int | None = None
    ring: int = 2
    limit: int = 660
    nobody: str = NOBODY

    def render(self) -> str:
        technician = ""
        if self.technician_port is not None:
            technician = (
                f"PJSIP/technician/sip:technician@{TECHNICIAN_ADDRESS}:{self.technician_port}"
            )
        return (
            f"VOICEBOT_AUDIOSOCKET = {LOOPBACK}:{self.audiosocket_port}\n"
            f"VOICEBOT_CONTROL = http://{LOOPBACK}:{self.control_port}\n"
            f"VOICEBOT_LIMIT = {self.limit}\n"
            f"VOICEBOT_TECHNICIAN = {technician}\n"
            f"VOICEBOT_RING = {self.ring}\n"
            f"VOICEBOT_NOBODY = {self.nobody}\n"
        )


def fetch() -> Path:
    """The launcher of an unpacked Asterisk; fetched on first use (80 MB), then cached."""
    script = REPOSITORY / "scripts" / "get-asterisk"
    done = subprocess.run([script, TREE], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AsteriskError(f"scripts/get-asterisk failed:\n{done.stderr}")
    return TREE / "asterisk"


@contextlib.contextmanager
def held_port(kind: socket.SocketKind, address: str = LOOPBACK) -> Iterator[int]:
    """A port nobody else has while the context is open: bound, but not served."""
    with socket.socket(socket.AF_INET, kind) as holder:
        holder.bind((address, 0))
        yield holder.getsockname()[1]


class AsteriskInstance:
    """Context manager: Asterisk fully booted inside, gone (with its directory) after.

    *lines* is the content of ``voicebot.d/endpoints.conf``; *change* may alter any file of ``etc``,
    its argument, before the start. Raises AsteriskError, with
    Asterisk's own output, when it does not boot.
    """

    def __init__(
        self, lines: str = TEST_LINES, change: Callable[[Path], None] | None = None
    ) -> None:
        self._lines = lines
        self._change = change
        self._launcher = fetch()
        self._directory = Path(tempfile.mkdtemp(prefix="asterisk-"))
        self._process: subprocess.Popen[bytes] | None = None
        self.sip_port = 0
        self.metrics_port = 0
        self.boot_output = ""  # what the console said up to "fully booted"

    def __enter__(self) -> Self:
        try:
            self._render()
            self._start()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._remove()

    # -- while it runs

    def complaints(self) -> list[str]:
        """What went wrong at start, in Asterisk's own words."""
        return [
            line
            for line in self.boot_output.splitlines()
            if re.search(r"WARNING|ERROR|Unable|Could not|Failed", line) and line != OWN_FAULT
        ]

    def cli(self, command: str) -> str:
        """What ``asterisk -rx command`` prints. Raises AsteriskError when it cannot be reached."""
        done = subprocess.run(
            [*self._command(), "-rx", command],
            capture_output=True,
            text=True,
            timeout=15,
            check=False,
        )
        if done.returncode != 0:
            raise AsteriskError(f"asterisk -rx {command!r}: {done.stdout}{done.stderr}")
        return done.stdout

    def log(self) -> str:
        """The notices, warnings and errors logged so far."""
        return (self._directory / "log" / "messages").read_text(encoding="utf-8", errors="replace")

    def call_log(self, call_id: object) -> list[str]:
        """The dialplan's own lines about a call, each from its ``event=`` on."""
        mark = f"voicebot call={call_id} "
        return [line.partition(mark)[2] for line in self.log().splitlines() if mark in line]

    def call_ids(self, caller: str) -> list[uuid.UUID]:
        """Of the calls that *caller* (a number) has placed to the voicebot, oldest first."""
        pattern = rf"voicebot call=(\S+) event=start linkedid=\S+ caller={re.escape(caller)} "
        return [uuid.UUID(found) for found in re.findall(pattern, self.log())]

    def cdr(self) -> str:
        """Call detail records so far, CSV, a call a line; empty when no call has ended."""
        file = self._directory / "log" / "cdr-csv" / "Master.csv"
        return file.read_text(encoding="utf-8") if file.exists() else ""

    def point_at(self, route: Route) -> None:
        """Tell the dialplan where this test's voicebot and technician are."""
        (self._directory / "etc/voicebot.d/globals.conf").write_text(route.render())
        answer = self.cli("dialplan reload")
        if "Dialplan reloaded" not in answer:
            raise AsteriskError(f"dialplan reload: {answer}")

    def channels(self) -> int:
        """Active channels; 0 means that every leg of every call is gone."""
        return int(self.cli("core show channels count").split()[0])

    def wait_idle(self, timeout: float = 5.0) -> None:
        """Until no channel is left. Raises AsteriskError with the list of those that are."""
        deadline = time.monotonic() + timeout
        while self.channels():
            if time.monotonic() > deadline:
                raise AsteriskError(f"still up:\n{self.cli('core show channels concise')}")
            time.sleep(0.05)

    @property
    def etc(self) -> Path:
        """Where its configuration is."""
        return self._directory / "etc"

    def shell(self, commands: str) -> str:
        """What a page tells an operator to type, typed: on this Asterisk, in the repository.

        Raises AsteriskError when a command fails.
        """
        launcher = " ".join(self._command())
        here = commands.replace("/etc/asterisk/", f"{self.etc}/")
        text = f'set -euo pipefail\nasterisk() {{ {launcher} "$@"; }}\n{here}'
        done = subprocess.run(
            ["bash", "-c", text],
            cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise AsteriskError(f"{commands}: {done.stdout}{done.stderr}")
        return done.stdout

    # -- life and death

    def _command(self) -> list[str]:
        return [str(self._launcher), "-C", str(self._directory / "etc/asterisk.conf")]

    def _render(self) -> None:
        """Production's files, this machine's directories and ports."""
        root, etc = self._directory, self._directory / "etc"
        shutil.copytree(REPOSITORY / "asterisk", etc)
        for name in ("lib", "spool", "run", "log/cdr-csv", "keys"):
            (root / name).mkdir(parents=True)
        (module,) = TREE.glob("usr/lib/*/asterisk/modules")
        directories = {
            "astetcdir": etc, "astmoddir": module, "astvarlibdir": root / "lib",
            "astdbdir": root / "lib", "astkeydir": root, "astdatadir": TREE / "usr/share/asterisk",
            "astspooldir": root / "spool", "astrundir": root / "run", "astlogdir": root / "log",
        }  # fmt: skip
        lines = "".join(f"{name} => {path}\n" for name, path in directories.items())
        settings = (etc / "asterisk.conf").read_text()
        (etc / "asterisk.conf").write_text(f"[directories]\n{lines}\n{settings}")

        with held_port(socket.SOCK_DGRAM) as sip, held_port(socket.SOCK_STREAM) as metrics:
            self.sip_port, self.metrics_port = sip, metrics
        site = etc / "voicebot.d"
        (site / "transport.conf").write_text(
            "[transport-udp]\ntype = transport\nprotocol = udp\n"
            f"bind = {LOOPBACK}:{self.sip_port}\n"
        )
        (site / "endpoints.conf").write_text(self._lines)
        (site / "http.conf").write_text(f"bindaddr = {LOOPBACK}\nbindport = {self.metrics_port}\n")
        if self._change is not None:
            self._change(etc)

    def _start(self) -> None:
        with (self._directory / "output").open("wb") as output:
            self._process = subprocess.Popen(
                [*self._command(), "-f"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # A proxy that is not there: the dialplan must not ask it about the voicebot.
                env={"PATH": os.environ["PATH"], "http_proxy": f"http://{LOOPBACK}:9"},
                start_new_session=True,
            )
        deadline = time.monotonic() + BOOT_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(AsteriskError):
                # The logger is a thread of its own: its last line may come after the answer.
                booted = "fully booted" in self.cli("core waitfullybooted")
                if booted and "Asterisk Ready." in self.output():
                    self.boot_output = self.output()
                    return
            time.sleep(0.05)
        raise AsteriskError(f"Asterisk did not boot:\n{self.output()}")

    def output(self) -> str:
        """Everything the process has printed: the console's notices, warnings and errors."""
        return (self._directory / "output").read_text(encoding="utf-8", errors="replace")

    def _remove(self) -> None:
        if self._process is not None and self._process.poll() is None:
            with contextlib.suppress(AsteriskError, subprocess.TimeoutExpired):
                self.cli("core stop now")
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
        shutil.rmtree(self._directory)
