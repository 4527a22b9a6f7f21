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
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

REPOSITORY = Path(__file__).resolve().parents[2]
START_SECONDS = 600.0  # models and prompts have to be made first
STOP_SECONDS = 20.0


class ServiceError(Exception):
    """The service did not start, or did not stop. Carries what it logged."""


class ServiceInstance:
    """Context manager: ready to take calls inside, gone with all its workers after."""

    def __init__(self, directory: Path, **settings: str) -> None:
        self._directory = directory
        self._log = directory / "service.log"
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self.audiosocket_port = 0
        self.control_port = 0

    def __enter__(self) -> Self:
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "voicebot", "serve"],
                cwd=REPOSITORY,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            ready = self.wait_for("service ready", START_SECONDS)
        except BaseException:
            self.kill()
            raise
        self.audiosocket_port = ready["audiosocket_port"]
        self.control_port = ready["control_port"]
        return self

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

    def log(self) -> list[dict[str, Any]]:
        """Every JSON line logged so far; a line that is none appears as ``{"event": line}``."""
        records = []
        for line in self._log.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                records.append(json.loads(line))
            except json.JSONDecodeError:
                records.append({"event": line})
        return records

    def wait_for(self, event: str, within: float) -> dict[str, Any]:
        """The first log line with that event. Raises ServiceError with the log's end."""
        assert self._process is not None
        deadline = time.monotonic() + within
        while True:
            found = next((line for line in self.log() if line.get("event") == event), None)
            if found is not None:
                return found
            if self._process.poll() is not None or time.monotonic() > deadline:
                tail = self._log.read_text(errors="replace")[-4000:]
                raise ServiceError(f"no {event!r} from the service:\n{tail}")
            time.sleep(0.05)

    def get(self, path: str) -> str:
        """The body of ``GET path`` on the control port. Raises urllib's errors."""
        url = f"http://127.0.0.1:{self.control_port}{path}"
        with urllib.request.urlopen(url, timeout=5) as answer:
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
        assert self._process is not None
        self._process.terminate()
        try:
            return self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            tail = self._log.read_text(errors="replace")[-4000:]
            raise ServiceError(
                f"SIGTERM, but still there after {STOP_SECONDS:g} s:\n{tail}"
            ) from None
