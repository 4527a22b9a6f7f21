"""Which recordings to convert, and the workers doing it side by side.

Each worker takes the next recording when it has done one; none is waited for longer than
:data:`DEADLINE`, and a worker that dies is replaced and its recording tried once more (see
:mod:`voicebot.workers.pool`). What is done with one recording is :mod:`voicebot.archive.mp3`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from voicebot.archive.mp3 import Outcome, State, Task
from voicebot.archive.recordings import ENCRYPTED, RecordingFile, find
from voicebot.workers.jobs import Job
from voicebot.workers.pool import WorkerError, WorkerPool

BITRATES: Final = tuple(f"{rate}k" for rate in (16, 24, 32, 40, 48, 56, 64))
"""What MP3 has at 8 kHz; more is not possible, less is not speech."""
DEADLINE: Final = 3600.0
"""Seconds for one recording. Two hours of sound take one minute; idle on a busy core, far more."""
RAW_AT_REST: Final = timedelta(minutes=10)
"""A ``.raw`` that grew more recently may be that of a call: earlier versions wrote it openly."""

CONVERT = Job("convert", "voicebot.archive.mp3:run", DEADLINE, DEADLINE)

Progress = Callable[[Outcome, int, int], None]
"""Told after each recording: what became of it, how many are done, of how many."""


@dataclass(frozen=True, slots=True)
class How:
    """What to make."""

    bitrate: str = "64k"
    delete: bool = False
    idle: bool = True
    recipient: str = ""
    """age's public key: MP3s are encrypted for it. Empty: they are not."""


@dataclass(slots=True)
class Summary:
    """All outcomes together."""

    count: dict[State, int] = field(default_factory=lambda: dict.fromkeys(State, 0))
    seconds: float = 0.0
    """Length of the sound that was converted."""
    saved: int = 0
    """Bytes that the disk has more for it: below 0 while the originals are kept."""
    failures: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        self.count[outcome.state] += 1
        if outcome.state is State.CONVERTED:
            self.seconds += outcome.seconds
            self.saved -= outcome.mp3_bytes
        if outcome.removed:
            self.saved += outcome.source_bytes
        if outcome.state is State.FAILED:
            self.failures.append(outcome)


def sources(
    directory: Path, *, delete: bool, now: datetime, encrypt: bool = False
) -> list[RecordingFile]:
    """The recordings to be looked at, oldest first."""
    made = f".mp3{ENCRYPTED}" if encrypt else ".mp3"
    # An MP3 from before there was a key waits for its .wav, if that is still there.
    originals = {".wav", ".raw"} | ({".mp3"} if encrypt else set())
    files = [file for file in find(directory) if file.path.suffix in originals]
    files = [f for f in files if f.path.suffix != ".mp3" or not _beside(f, ".wav", ".raw")]
    # Both would become the same MP3: the .raw waits, and is told apart once the .wav is done.
    files = [f for f in files if f.path.suffix == ".wav" or not _beside(f, ".wav")]
    if not delete:  # else one that has its MP3 still has to be compared and removed
        files = [file for file in files if not _beside(file, made)]
    at_rest = (now - RAW_AT_REST).timestamp()
    ready = [f for f in files if f.path.suffix != ".raw" or f.path.stat().st_mtime < at_rest]
    return sorted(ready, key=lambda file: (file.started, file.path))


def _beside(file: RecordingFile, *suffixes: str) -> bool:
    return any(file.path.with_suffix(suffix).exists() for suffix in suffixes)


async def run(
    pool: WorkerPool, files: Sequence[RecordingFile], work: Path, how: How, progress: Progress
) -> Summary:
    """Convert *files* on *pool*, which must be started; never raises for a faulty recording."""
    summary = Summary()
    todo = iter(files)

    async def one_after_the_other() -> None:
        for file in todo:
            outcome = await _convert(pool, _task(file, work, how))
            summary.add(outcome)
            progress(outcome, sum(summary.count.values()), len(files))

    await asyncio.gather(*(one_after_the_other() for _ in range(pool.size)))
    return summary


async def _convert(pool: WorkerPool, task: Task) -> Outcome:
    try:
        outcome = await pool.run(CONVERT, task)
    except WorkerError as error:
        return Outcome(task.source, State.FAILED, str(error))
    assert isinstance(outcome, Outcome)
    return outcome


def _task(file: RecordingFile, work: Path, how: How) -> Task:
    return Task(
        source=str(file.path),
        work=str(work),
        bitrate=how.bitrate,
        delete=how.delete,
        title=file.call_id or file.path.stem,
        date=f"{file.started:%Y-%m-%dT%H:%M:%SZ}",
        idle=how.idle,
        recipient=how.recipient,
    )
