"""``voicebot backup``: journal, recordings and settings to a folder, a host or an object store.

Beside calls or without. Exit status: 0 if there is a new snapshot, 1 if not, 2 for faulty
settings, 3 if another task did not end.
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

from voicebot.archive import backup, recordings
from voicebot.commands import task
from voicebot.commands.task import Bar, Done
from voicebot.config import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this command on *parser*."""
    parser.add_argument(
        "target",
        nargs="?",
        help="a directory, [user@]host:path (SSH), or restic:REPOSITORY (default: BACKUP_TARGET)",
    )
    parser.add_argument(
        "--without-journal", action="store_true", help="for a journal that is not in SQLite"
    )
    task.add_metrics(parser)


def run(args: argparse.Namespace) -> int:
    """Make a snapshot; see the module for the exit status."""
    return task.perform("backup", lambda settings: _backup(args, settings), metrics=args.metrics)


def _backup(args: argparse.Namespace, settings: Settings) -> Done:
    place = task.place_of(settings, args.target)
    with recordings.exclusive(
        settings.recordings_dir, "backup", wait=task.WAIT, waiting=task.waiting
    ) as work:
        saved = backup.run(
            place,
            task.data_of(settings),
            work,
            days=settings.backup_days,
            journal=not args.without_journal,
            now=datetime.now(UTC),
            progress=Bar().show,
        )
    print(f"{place}/{saved.name}: {saved.files} files, {task.megabytes(saved.bytes)}")
    if saved.removed:
        print(f"removed (too old or incomplete): {', '.join(saved.removed)}")
    print(f"{saved.kept} snapshots; `voicebot restore --check` verifies one")
    return Done(items={"done": saved.files})
