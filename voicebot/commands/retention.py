"""``voicebot retention``: what has been kept for as many days as the settings say goes.

Exit status: 0 if it went, 1 if not, 2 for faulty settings, 3 if another task did not end.
"""

from __future__ import annotations

import argparse
from contextlib import closing, nullcontext
from datetime import UTC, datetime

from voicebot.archive import recordings, retention
from voicebot.archive.records import Records
from voicebot.archive.retention import Limits, Removed
from voicebot.commands import task
from voicebot.commands.task import Done
from voicebot.config import Settings
from voicebot.journal.schema import file_exists


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this command on *parser*."""
    parser.add_argument("--dry-run", action="store_true", help="only show what would be removed")
    task.add_metrics(parser)


def run(args: argparse.Namespace) -> int:
    """Remove or count; see the module for the exit status."""
    return task.perform(
        "retention", lambda settings: _retention(args, settings), metrics=args.metrics
    )


def _retention(args: argparse.Namespace, settings: Settings) -> Done:
    limits = Limits(
        recordings=settings.recordings_days,
        transcripts=settings.transcripts_days,
        callbacks=settings.callbacks_days,
        probes=settings.probes_days,
    )
    count = 0
    url = settings.journal_url
    with (
        recordings.exclusive(
            settings.recordings_dir, "retention", wait=task.WAIT, waiting=task.waiting
        ),
        closing(Records(url)) if file_exists(url) else nullcontext() as records,
    ):
        for removed in retention.run(
            settings.recordings_dir, records, limits, now=datetime.now(UTC), dry=args.dry_run
        ):
            print(_line(removed, dry=args.dry_run), flush=True)
            count += removed.count
    return Done(items={"done": count})


def _line(removed: Removed, *, dry: bool) -> str:
    if not removed.days:
        return f"{removed.what:<18} kept for ever"
    size = "" if removed.bytes is None else f" ({task.megabytes(removed.bytes)})"
    verb = "would go" if dry else "removed"
    return f"{removed.what:<18} {removed.count} {verb}{size}, older than {removed.days} days"
