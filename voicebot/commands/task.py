"""What the commands of the archive have in common: how they end, and what they leave behind.

Exit statuses: 0 everything was done, 1 something was not, 2 the settings are wrong, 3 another task
has the recordings, 130 interrupted. A task that cron runs leaves its metrics with ``--metrics``.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, TextIO, TypeVar

import uvloop

from voicebot import config
from voicebot.archive import ArchiveError, BusyError, restic
from voicebot.archive.place import Place
from voicebot.archive.restic import ResticPlace
from voicebot.archive.rsync import RsyncPlace
from voicebot.archive.snapshot import Data
from voicebot.commands.settings import saved
from voicebot.config import Settings
from voicebot.dialogue.script import ScriptError
from voicebot.journal import JournalError
from voicebot.telemetry import logs, tasks
from voicebot.workers.layout import LayoutError
from voicebot.workers.pool import WorkerError

WAIT = 2 * 3600.0
"""Seconds that a task waits for another one: a night's conversion can take as long."""
TOLD_EACH = 300.0
"""Seconds between two lines of progress in a log."""
_BAR = 24  #: characters
_FAILED, _WRONG_SETTINGS, _BUSY, _INTERRUPTED = 1, 2, 3, 130
T = TypeVar("T")
_FAULTS = (ArchiveError, JournalError, LayoutError, OSError, ScriptError, WorkerError)


@dataclass(frozen=True, slots=True)
class Done:
    """How a task went."""

    ok: bool = True
    items: dict[str, int] = field(default_factory=dict)
    """For the metrics: ``done`` and ``failed``."""


def add_metrics(parser: argparse.ArgumentParser) -> None:
    """Declare ``--metrics`` on *parser*."""
    parser.add_argument(
        "--metrics",
        type=Path,
        metavar="FILE",
        help="write metrics there, for node_exporter's textfile collector (name it *.prom)",
    )


def perform(name: str, work: Callable[[Settings], Done], *, metrics: Path | None = None) -> int:
    """Run *work* with the settings; tell what goes wrong; return the exit status."""
    try:
        settings = config.load()
    except config.SettingsError as error:
        print(error, file=sys.stderr)
        return _WRONG_SETTINGS
    logs.configure("warning", settings.log_format)
    started = time.monotonic()
    try:
        with _stoppable():
            done = work(settings)
    except BusyError as error:  # the metrics file is the other one's
        print(f"{name}: {error}", file=sys.stderr)
        return _BUSY
    except KeyboardInterrupt:
        print(f"{name}: interrupted; what is done is kept; it can be run again", file=sys.stderr)
        return _INTERRUPTED
    except _FAULTS as error:
        print(f"{name}: {error}", file=sys.stderr)
        done = Done(ok=False, items={"failed": 1})
    if metrics is not None and not _leave(name, metrics, done, time.monotonic() - started):
        return _FAILED
    return 0 if done.ok else _FAILED


def waiting(holder: str) -> None:
    """Say whom a task waits for."""
    print(f"waiting for {holder}", file=sys.stderr)


def data_of(settings: Settings) -> Data:
    """What a backup takes, and a restore brings back."""
    return Data(
        recordings=settings.recordings_dir,
        journal_url=settings.journal_url,
        script=settings.script_file,
        settings=saved(settings),
    )


def place_of(settings: Settings, target: str | None = None) -> Place:
    """Where backups are: *target*, or what the settings say. Raises ArchiveError."""
    target = target or settings.backup_target
    if not target.startswith(restic.PREFIX):
        return RsyncPlace(target)
    access = (settings.backup_access_key, settings.backup_secret_key)
    return ResticPlace(target, settings.backup_key, access, settings.cache_dir / "restic")


class Bar:
    """How far a task has come: one line that changes on a terminal, else one now and then."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = sys.stderr if out is None else out
        self._live = self._out.isatty()
        self._started = self._told = time.monotonic()

    def show(self, what: str, done: int, total: int) -> None:
        """Draw it; gone again when everything is done."""
        if done >= total:
            self.clear()
            return
        now = time.monotonic()
        left = (now - self._started) / done * (total - done) if done else None
        line = f"{what} {done}/{total}" + ("" if left is None else f", {left:.0f} s left")
        if self._live:
            filled = _BAR * done // total
            bar = "█" * filled + "░" * (_BAR - filled)
            print(f"\r\x1b[K{bar} {line}", end="", file=self._out, flush=True)
        elif now - self._told >= TOLD_EACH:
            self._told = now
            print(line, file=self._out, flush=True)

    def clear(self) -> None:
        """Make room for a line."""
        if self._live:
            print("\r\x1b[K", end="", file=self._out, flush=True)


def megabytes(size: int) -> str:
    """Bytes, as people read them."""
    return f"{size / 1e6:.1f} MB"


def _leave(name: str, file: Path, done: Done, took: float) -> bool:
    try:
        tasks.write(file, name, ended=time.time(), duration=took, items=done.items, ok=done.ok)
    except OSError as error:
        print(f"{name}: --metrics {file}: {error.strerror}", file=sys.stderr)
        return False
    return True


def run_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run *work* on an event loop; SIGTERM and Ctrl-C cancel it, and KeyboardInterrupt is raised.

    A handler that raises, as :func:`_stoppable` has it, could do so within any callback of the
    loop, which would take it for that callback's failure.
    """

    async def cancellable() -> T:
        loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(work)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, task.cancel)
        return await task

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        return uvloop.run(cancellable())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM ends a task as Ctrl-C does: with its scratch removed."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
