"""``voicebot convert``: recordings become MP3s, a quarter of the size.

Side by side on the worker cores, at the lowest priority, so that it can run beside calls. Can be
stopped and killed at any moment: the next run goes on from there. Exit status: 0 if every
recording was converted, 1 if one was not, 2 for faulty settings, 3 if another task is at work.
"""

from __future__ import annotations

import argparse
import os
import shutil
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from voicebot.archive import ArchiveError, convert, recordings
from voicebot.archive.convert import BITRATES, How, Summary
from voicebot.archive.mp3 import Outcome, State
from voicebot.archive.recordings import RecordingFile
from voicebot.commands import task
from voicebot.commands.listing import clock
from voicebot.commands.task import Bar, Done
from voicebot.config import Settings
from voicebot.telemetry.metrics import Metrics
from voicebot.workers.layout import layout
from voicebot.workers.pool import WorkerPool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this command on *parser*."""
    parser.add_argument(
        "directory", nargs="?", type=Path, metavar="DIR", help="default: RECORDINGS_DIR"
    )
    parser.add_argument(
        "--bitrate", choices=BITRATES, default=BITRATES[-1], help="default: %(default)s"
    )
    parser.add_argument(
        "--delete-raw",
        action="store_true",
        help="delete a recording once its MP3 has been verified",
    )
    parser.add_argument(
        "--jobs",
        type=_positive,
        metavar="N",
        help="run at most N at once (default: WORKER_CORES)",
    )
    parser.add_argument(
        "--all-cores",
        action="store_true",
        help="also use the event loop's core, at normal priority: faster, for a service that "
        "takes no calls meanwhile",
    )
    task.add_metrics(parser)


def run(args: argparse.Namespace) -> int:
    """Convert; see the module for the exit status."""
    return task.perform("convert", lambda settings: _convert(args, settings), metrics=args.metrics)


def _convert(args: argparse.Namespace, settings: Settings) -> Done:
    how = How(
        args.bitrate,
        delete=args.delete_raw,
        idle=not args.all_cores,
        recipient=settings.recordings_key,
    )
    for program in ("ffmpeg", "age")[: 2 if how.recipient else 1]:
        if shutil.which(program) is None:
            raise ArchiveError(f"{program} is missing; as root: apt-get install {program}")
    directory = args.directory or settings.recordings_dir
    if args.directory and not directory.is_dir():
        raise ArchiveError(f"{directory}: no such folder")
    started = time.monotonic()
    with recordings.exclusive(directory, "convert") as work:
        files = convert.sources(
            directory, delete=how.delete, now=datetime.now(UTC), encrypt=bool(how.recipient)
        )
        if not files:
            print(f"{directory}: nothing to convert")
            return Done()
        cores = _cores(settings, every=args.all_cores)[: args.jobs]
        summary = task.run_loop(_run(files, work, how, cores[: len(files)]))
    print(_told(summary, time.monotonic() - started))
    failed = len(summary.failures)
    return Done(not failed, {"done": len(files) - failed, "failed": failed})


async def _run(
    files: Sequence[RecordingFile], work: Path, how: How, cores: Sequence[int]
) -> Summary:
    bar = Bar()

    def show(outcome: Outcome, done: int, total: int) -> None:
        if outcome.state is State.FAILED:
            bar.clear()
            print(f"{outcome.source}: {outcome.detail}", flush=True)
        bar.show("recordings", done, total)

    pool = WorkerPool(cores, Metrics())
    await pool.start()
    try:
        return await convert.run(pool, files, work, how, show)
    finally:
        await pool.close()


def _cores(settings: Settings, *, every: bool) -> Sequence[int]:
    available = os.sched_getaffinity(0)
    if every:
        return sorted(available)
    loop_core = settings.loop_core if settings.loop_core >= 0 else None
    return layout(available, loop_core, settings.worker_cores).workers


def _told(summary: Summary, took: float) -> str:
    count = summary.count
    parts = [f"{count[State.CONVERTED]} converted ({clock(summary.seconds)} of sound)"]
    parts += [f"{count[state]} {word}" for state, word in _WORDS.items() if count[state]]
    change = "freed" if summary.saved >= 0 else "more used, until the originals go (--delete-raw)"
    speed = f", {summary.seconds / took:.0f} x real time" if summary.seconds else ""
    return (
        f"{', '.join(parts)}; {task.megabytes(abs(summary.saved))} {change}; "
        f"took {took:.1f} s{speed}"
    )


_WORDS = {
    State.PRESENT: "had been converted before",
    State.EMPTY: "without sound",
    State.FAILED: "failed",
}


def _positive(value: str) -> int:
    number = int(value)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number
