"""``voicebot restore``: bring a snapshot back, or check that it could be.

Exit status: 0 if it was restored (checked: if every file matches its checksum), 1 if not, 2 for
faulty settings, 3 if another task did not end.
"""

from __future__ import annotations

import argparse

from voicebot.archive import ArchiveError, recordings, restore
from voicebot.archive.place import Place, Snapshot
from voicebot.commands import task
from voicebot.commands.machine import Machine, running_calls
from voicebot.commands.task import Bar, Done
from voicebot.config import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this command on *parser*."""
    parser.add_argument(
        "source", nargs="?", help="where `voicebot backup` put it (default: BACKUP_TARGET)"
    )
    parser.add_argument("--snapshot", metavar="NAME", help="default: the latest complete one")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--list", action="store_true", help="only list the snapshots")
    only.add_argument("--check", action="store_true", help="only verify every file's checksum")
    only.add_argument(
        "--force",
        action="store_true",
        help="replace the journal, and add the recordings to those already there",
    )


def run(args: argparse.Namespace) -> int:
    """Restore or check; see the module for the exit status."""
    return task.perform("restore", lambda settings: _restore(args, settings))


def _restore(args: argparse.Namespace, settings: Settings) -> Done:
    place = task.place_of(settings, args.source)
    if args.list:
        for one in place.snapshots():
            print(one.name if one.complete else f"{one.name}  incomplete")
        return Done()
    chosen = restore.choose(place, args.snapshot)
    if args.check:
        _check(place, chosen, settings)
        return Done()
    if running_calls(Machine(), settings) is not None:
        raise ArchiveError("the service is running, and has the journal open; stop it first")
    with recordings.exclusive(
        settings.recordings_dir, "restore", wait=task.WAIT, waiting=task.waiting
    ) as work:
        data = task.data_of(settings)
        obstacles = restore.in_the_way(data)
        if obstacles and not args.force:
            raise ArchiveError(f"{'; '.join(obstacles)}; --force restores all the same")
        restored = restore.run(place, chosen, data, work, Bar().show)
    print(f"{place}/{chosen.name}: {restored.recordings} recordings in {settings.recordings_dir}")
    print(f"journal: {restored.journal or 'none in the snapshot'}")
    if restored.erased:
        print(f"{restored.erased} calls erased again that had been erased after it was taken")
    for file in restored.beside:
        print(f"compare with the settings in force: {file}")
    return Done()


def _check(place: Place, chosen: Snapshot, settings: Settings) -> None:
    with recordings.exclusive(
        settings.recordings_dir, "restore", wait=task.WAIT, waiting=task.waiting
    ) as work:
        restore.check(restore.fetched(place, chosen, work), Bar().show)
    print(f"{place}/{chosen.name}: every file matches its checksum")
