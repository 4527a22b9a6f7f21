"""``voicebot demo``: three whole conversations on this machine, to see and to hear.

It starts the real service on free ports of loopback, lets a simulated customer call it
(``voicebot call``) once for each way a call can end, and shows at last what the journal kept.
Nothing is shortened for the show: the callers' words travel as audio and are recognised. Its
files are in a directory of their own, so that the real journal and recordings are not touched.
The third call needs a service without technicians, so the service is started twice.

With ``--speech cloud`` the same is held over the vendors' own kits. The vendors themselves are
emulated on this machine, which is said at the beginning.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from voicebot.commands.emulated import EmulatedClouds, EmulatorFailedError

VOICEBOT = (sys.executable, "-m", "voicebot")
START_TIMEOUT = 120.0
"""Seconds until the service must be ready; loading the models takes a few."""
STOP_TIMEOUT = 15.0


@dataclass(frozen=True, slots=True)
class Act:
    """The scenarios that one service takes. ``technicians`` is its setting of that name."""

    technicians: str
    scenarios: tuple[str, ...]


ACTS = (
    Act("always", ("internet-resolved", "mobile-transfer")),
    Act("never", ("callback",)),
)


class ServiceFailedError(Exception):
    """The service did not become ready; the message says where its log is."""


class Service:
    """A running ``voicebot serve``, as a context manager; its ports are known once inside."""

    def __init__(
        self, environ: Mapping[str, str], log: Path, command: Sequence[str] = (*VOICEBOT, "serve")
    ) -> None:
        self._environ, self._log, self._command = environ, log, command
        self._ready = threading.Event()
        self.audiosocket_port = 0
        self.control_port = 0

    def __enter__(self) -> Service:
        self._process = subprocess.Popen(
            self._command, env=dict(self._environ), stderr=subprocess.PIPE, text=True
        )
        self._reader = threading.Thread(target=self._read_log, name="demo-log")
        self._reader.start()
        self._ready.wait(START_TIMEOUT)
        if not self.control_port:
            self._stop()
            raise ServiceFailedError(f"the service did not start; its log: {self._log}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()

    def _read_log(self) -> None:
        """Keep the log in its file; note the ports when they come. Ends with the process."""
        assert self._process.stderr is not None
        with self._process.stderr as lines, self._log.open("a", encoding="utf-8") as log:
            for line in lines:
                log.write(line)
                log.flush()
                if '"service ready"' in line:
                    entry = json.loads(line)
                    self.audiosocket_port = entry["audiosocket_port"]
                    self.control_port = entry["control_port"]
                    self._ready.set()
        self._ready.set()  # it ended: nobody need wait any longer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this command on *parser*."""
    parser.add_argument(
        "--directory",
        type=Path,
        default=Path("var/demo"),
        help="where its files go (default: %(default)s)",
    )
    parser.add_argument(
        "--speech",
        choices=("local", "cloud"),
        default="local",
        help="local (default): per the settings, i.e. the embedded engine unless there are keys; "
        "cloud: the vendors' SDKs, with the vendors emulated",
    )


def run(args: argparse.Namespace) -> int:
    """Hold the conversations; 0 if each went as its scenario says."""
    directory: Path = args.directory
    directory.mkdir(parents=True, exist_ok=True)
    log = directory / "service.log"
    log.unlink(missing_ok=True)
    failed: list[str] = []
    try:
        with _speech(args.speech, directory) as speech:
            for act in ACTS:
                failed += _perform(act, directory, log, speech)
    except (ServiceFailedError, EmulatorFailedError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    _show_journal(directory)
    print(f"\nThe recordings are in {directory}, the service's log is {log}.")
    if failed:
        print(f"Not as the scenario says: {', '.join(failed)}.", file=sys.stderr)
        return 1
    print("All three calls ended as they should.")
    return 0


@contextmanager
def _speech(choice: str, directory: Path) -> Iterator[Mapping[str, str]]:
    """The settings of who listens and speaks; emulated vendors run as long as this."""
    if choice == "local":
        yield {}
        return
    # Kokoro would sound better, and take minutes to render the prompts beside the service.
    with EmulatedClouds(directory / "emulated", "--voice", "espeak") as clouds:
        _title("Deepgram, Groq and OpenAI are emulated on this machine; their SDKs are real")
        print("\n".join(clouds.about[1:]).strip())
        yield clouds.settings


def _perform(act: Act, directory: Path, log: Path, speech: Mapping[str, str]) -> list[str]:
    """Start a service, hold the calls of *act*; return the scenarios that went wrong."""
    failed = []
    _title(f"Starting the service (TECHNICIANS={act.technicians})")
    with Service(_environ(directory, act, speech), log) as service:
        for scenario in act.scenarios:
            status = subprocess.run(
                [
                    *VOICEBOT, "call", scenario,
                    "--port", str(service.audiosocket_port),
                    "--control", str(service.control_port),
                    "--out", str(directory),
                ],
                check=False,
            ).returncode  # fmt: skip
            if status:
                failed.append(scenario)
    return failed


def _environ(directory: Path, act: Act, speech: Mapping[str, str]) -> dict[str, str]:
    return {
        **os.environ,
        "AUDIOSOCKET_HOST": "127.0.0.1",
        "AUDIOSOCKET_PORT": "0",
        "CONTROL_HOST": "127.0.0.1",
        "CONTROL_PORT": "0",
        "LOG_FORMAT": "json",
        "LOG_LEVEL": "info",
        "TECHNICIANS": act.technicians,
        "RECORDINGS_DIR": str(directory / "recordings"),
        **_journal(directory),
        **speech,
    }


def _journal(directory: Path) -> dict[str, str]:
    return {"JOURNAL_URL": f"sqlite:///{(directory / 'journal.db').absolute()}"}


def _show_journal(directory: Path) -> None:
    _title("What the journal recorded")
    environ = {**os.environ, **_journal(directory)}
    for command in (["calls", "--limit", "3"], ["callbacks"]):
        print(flush=True)
        subprocess.run([*VOICEBOT, *command], env=environ, check=False)


def _title(text: str) -> None:
    bold, plain = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")
    print(f"\n{bold}=== {text}{plain}", flush=True)
