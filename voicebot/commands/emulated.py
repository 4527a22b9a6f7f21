"""The emulated clouds as a process of their own, for the demonstration and the bench.

What is rendered in an emulated voice must never get into the prompt cache of a real one, which it
would be taken for: the settings that lead a service here also lead it to a cache of its own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path
from types import TracebackType

STOP_TIMEOUT = 15.0


class EmulatorFailedError(Exception):
    """The emulator did not start. ``str()`` says why, as far as it told."""


class EmulatedClouds:
    """A running ``voicebot emulate``, as a context manager."""

    def __init__(self, cache: Path, *arguments: str, cores: Collection[int] | None = None) -> None:
        """*cache*: for prompts; *cores*: where it may run."""
        self._cache = cache
        self._arguments = arguments
        self._cores = cores
        self.settings: dict[str, str] = {}
        """That lead a service here."""
        self.about: list[str] = []
        """What it says of itself: how it recognises, speaks and thinks, and its delays."""

    def __enter__(self) -> EmulatedClouds:
        settings = {"CACHE_DIR": str(self._cache), "VOICEBOT_ENV_FILE": os.devnull}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "voicebot", "emulate", "--port", "0", *self._arguments],
            env={**os.environ, **settings},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        if self._cores is not None:
            os.sched_setaffinity(self._process.pid, self._cores)
        if not self._read():
            self._process.kill()
            _, complaint = self._process.communicate()
            raise EmulatorFailedError(complaint.strip() or "the emulator did not start")
        self.settings["CACHE_DIR"] = str(self._cache)
        return self

    def _read(self) -> bool:
        """Take what it prints until it is ready; False if it ends before."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            name, found, value = line.strip().partition("=")
            if line.startswith("# ready"):
                return True
            if line.startswith("#"):
                self.about.append(line[1:].strip())
            elif found:
                self.settings[name] = value
        return False

    @property
    def direction(self) -> str:
        """Address of ``/_emulator``."""
        (line,) = (line for line in self.about if line.startswith("direction"))
        return line.split()[1].partition("/_emulator")[0]

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.communicate(timeout=STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
