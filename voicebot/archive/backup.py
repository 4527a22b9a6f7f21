"""A snapshot is made and put where backups are; those that are too old are removed.

Each snapshot is complete in itself, though it shares what has not changed with the ones before. A
backup that is cut off leaves none, or one that is not complete: nobody restores that, the next
backup uses what is in it already, and then removes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from voicebot.archive import snapshot
from voicebot.archive.place import MANIFEST, Place, Progress, Snapshot, name_for
from voicebot.archive.snapshot import Data


@dataclass(frozen=True, slots=True)
class Saved:
    """What a backup did."""

    name: str
    files: int
    bytes: int
    removed: list[str]
    """Snapshots that were too old, or not complete."""
    kept: int
    """Complete snapshots, this one included."""


def run(
    place: Place,
    data: Data,
    work: Path,
    *,
    days: int,
    journal: bool,
    now: datetime,
    progress: Progress,
) -> Saved:
    """Make a snapshot, and remove those older than *days* (0: none).

    The caller has the recordings, and *work* with them. Raises ArchiveError or JournalError; the
    place then has what it had, and part of this.
    """
    earlier = place.snapshots()
    taken = now
    while name_for(taken) in {one.name for one in earlier}:
        taken += timedelta(seconds=1)
    name = name_for(taken)
    contents = snapshot.stage(work, data, journal=journal, now=now, progress=progress)
    place.save(
        name,
        work,
        [*contents.staged, MANIFEST],
        data.recordings,
        contents.recordings,
        progress,
    )
    removed = outdated(earlier, days, now)
    if removed:
        place.remove(removed)
    return Saved(
        name=name,
        files=len(contents.staged) + len(contents.recordings),
        bytes=contents.bytes,
        removed=[one.name for one in removed],
        kept=1 + sum(one.complete for one in earlier) - sum(one.complete for one in removed),
    )


def outdated(earlier: list[Snapshot], days: int, now: datetime) -> list[Snapshot]:
    """Those of *earlier* that go, now that there is a newer one."""
    limit = now - timedelta(days=days)
    return [one for one in earlier if not one.complete or (days and one.taken < limit)]
