"""The real service: ``python -m voicebot serve`` as a child process, on free ports.

Recordings and journal go to a directory of the test's own. Models and rendered prompts come from
``var/`` of the repository, because making them takes a minute: the first start on a machine is
slow, the others are not.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from prometheus_client.parser import text_string_to_metric_families

REPOSITORY = Path(__file__).resolve().parents[2]
START_SECONDS = 600.0  # models and prompts have to be made first
STOP_SECONDS = 20.0


class ServiceError(Exception):
    """The service did not start, or did not stop. Carries what it logged."""


class ServiceInstance:
    """Context manager: ready to take calls inside, gone with all its workers after."""

    def __init__(self, directory: Path, *, within: Sequence[str] = (), **settings: str) -> None:
        """*within* is a command that goes before the service's own, such as ``unshare``."""
        self._directory = directory
        self._log = directory / "service.log"
        self._within = within
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self.audiosocket_port = 0
        self.control_port = 0

    def __enter__(self) -> Self:
        self.start()
        try:
            self.wait_until_ready()
        except BaseException:
            self.kill()
            raise
        return self

    def start(self) -> None:
        """Only start it; the caller owes :meth:`kill` or :meth:`stop`."""
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                [*self._within, sys.executable, "-m", "voicebot", "serve"],
                cwd=REPOSITORY,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_until_ready(self) -> None:
        ready = self.wait_for("service ready", START_SECONDS)
        self.audiosocket_port = ready["audiosocket_port"]
        self.control_port = ready["control_port"]

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    def _environment(self) -> Mapping[str, str]:
        empty = self._directory / "empty.env"  # not the developer's own .env
        empty.touch()
        return {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "VOICEBOT_ENV_FILE": str(empty),
            "AUDIOSOCKET_PORT": "0",
            "CONTROL_PORT": "0",
            "LOG_FORMAT": "json",
            "LOG_TRANSCRIPTS": "true",
            "TECHNICIANS": "always",
            "MODELS_DIR": str(REPOSITORY / "var/models"),
            "CACHE_DIR": str(REPOSITORY / "var/cache"),
            "RECORDINGS_DIR": str(self.recordings),
            "JOURNAL_URL": f"sqlite:///{self._directory}/journal.db",
            **self._settings,
        }

    @property
    def recordings(self) -> Path:
        return self._directory / "recordings"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def log(self) -> list[dict[str, Any]]:
        """Every JSON line logged so far; a line that is none appears as ``{"event": line}``."""
        records = []
        for line in self._log.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                records.append(json.loads(line))
            except json.JSONDecodeError:
                records.append({"event": line})
        return records

    def wait_for(self, event: str, within: float, **fields: object) -> dict[str, Any]:
        """The first log line with that event and those fields.

        Raises ServiceError with the log's end.
        """
        assert self._process is not None
        deadline = time.monotonic() + within
        while True:
            found = self.logged(event, **fields)
            if found:
                return found[0]
            if self._process.poll() is not None or time.monotonic() > deadline:
                tail = self._log.read_text(errors="replace")[-4000:]
                raise ServiceError(f"no {event!r} from the service:\n{tail}")
            time.sleep(0.05)

    def logged(self, event: str, **fields: object) -> list[dict[str, Any]]:
        """All log lines so far with that event and those fields."""
        wanted = {"event": event, **fields}
        return [line for line in self.log() if wanted.items() <= line.items()]

    def count(self, name: str, **labels: str) -> float:
        """One series of ``/metrics``, named without ``voicebot_``. KeyError if there is none."""
        wanted = f"voicebot_{name}", labels
        for family in text_string_to_metric_families(self.get("/metrics")):
            for sample in family.samples:
                if (sample.name, sample.labels) == wanted:
                    return float(sample.value)
        raise KeyError(wanted)

    def command(self, *arguments: str) -> str:
        """What ``voicebot …`` prints with the service's settings, and the ports that it got."""
        ports = {
            "AUDIOSOCKET_PORT": str(self.audiosocket_port),
            "CONTROL_PORT": str(self.control_port),
        }
        return subprocess.run(
            [sys.executable, "-m", "voicebot", *arguments],
            cwd=REPOSITORY,
            env={**self._environment(), **ports},
            capture_output=True,
            check=True,
            text=True,
            timeout=30,
        ).stdout

    def get(self, path: str, *, accept: str = "*/*") -> str:
        """The body of ``GET path`` on the control port. Raises urllib's errors."""
        url = f"http://127.0.0.1:{self.control_port}{path}"
        request = urllib.request.Request(url, headers={"Accept": accept})
        with urllib.request.urlopen(request, timeout=5) as answer:
            text: str = answer.read().decode()
            return text

    def kill(self) -> None:
        """SIGKILL to the service, as the kernel's out-of-memory killer does; workers go after."""
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self._process.wait()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM, and wait; the exit status. Raises ServiceError when it does not stop."""
        self.terminate()
        return self.wait(STOP_SECONDS)

    def terminate(self) -> None:
        """SIGTERM: the first one drains, the second one stops."""
        assert self._process is not None
        self._process.terminate()

    def wait(self, seconds: float) -> int:
        """The exit status. Raises ServiceError when it does not end in time."""
        assert self._process is not None
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            tail = self._log.read_text(errors="replace")[-4000:]
            raise ServiceError(f"still there after {seconds:g} s:\n{tail}") from None
