"""A snapshot comes back: fetched beside the target, checked, and only then put in place.

Calls that were erased after it was taken are erased in it before anybody can read them: their ids
are in the later snapshots, and in the folder of recordings if that is still there. The service
must not run: it has the journal open.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from voicebot.archive import ArchiveError, recordings, snapshot
from voicebot.archive.place import RECORDINGS, Place, Progress, Snapshot
from voicebot.archive.records import Records, sqlite_file
from voicebot.archive.snapshot import Data
from voicebot.journal.schema import migrate, open_engine


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore put in place."""

    recordings: int
    journal: Path | None
    """None if the snapshot has none."""
    erased: int
    """Calls that were in the snapshot and had been erased since."""
    beside: list[Path]
    """Settings and script, for the operator to compare with those in force."""


def choose(place: Place, name: str | None) -> Snapshot:
    """The complete snapshot called *name*, or the latest. Raises ArchiveError."""
    complete = [one for one in place.snapshots() if one.complete]
    if not complete:
        raise ArchiveError(f"{place}: there is no complete snapshot; `voicebot backup` makes one")
    if name is None:
        return complete[-1]
    for one in complete:
        if one.name == name:
            return one
    raise ArchiveError(f"{place}: no snapshot {name}; the latest is {complete[-1].name}")


def fetched(place: Place, chosen: Snapshot, work: Path) -> Path:
    """The folder of the snapshot, copied to *work* if it is on another host."""
    local = place.local(chosen)
    if local is not None:
        return local
    place.fetch(chosen, work / chosen.name)
    return work / chosen.name


def check(folder: Path, progress: Progress) -> None:
    """Raises ArchiveError that names each file which is not as it was saved."""
    faults = snapshot.check(folder, progress)
    journal = folder / snapshot.JOURNAL
    if not faults and journal.exists():
        try:
            snapshot.check_journal(journal)
        except sqlite3.Error as error:
            faults.append(f"{snapshot.JOURNAL}: is damaged: {error}")
    if faults:
        raise ArchiveError(
            f"{folder}: cannot be restored; try another snapshot (--snapshot):\n  "
            + "\n  ".join(faults)
        )


def in_the_way(data: Data) -> list[str]:
    """What a restore would overwrite or mix with, in words."""
    found = []
    files = recordings.find(data.recordings)
    if files:
        found.append(f"RECORDINGS_DIR {data.recordings} has {len(files)} recordings")
    journal = sqlite_file(data.journal_url)
    if journal is not None and journal.exists() and _calls(journal) != 0:
        found.append(f"JOURNAL_URL {journal} has calls")
    return found


def run(place: Place, chosen: Snapshot, data: Data, work: Path, progress: Progress) -> Restored:
    """Put *chosen* in place, over what is there. The caller has the recordings and *work*.

    Raises ArchiveError or JournalError: before anything in place has changed, unless the disk
    fails in the last step; it can then be repeated.
    """
    progress("fetching", 0, 1)
    folder = work / chosen.name
    place.fetch(chosen, folder)
    check(folder, progress)
    journal = _journal_target(folder, data)
    erased = _erase_again(folder, _erased_since(place, data, work))
    beside = _put_beside(folder, data)
    sounds = folder / RECORDINGS
    moved = 0
    if sounds.exists():
        moved = _merge(sounds, data.recordings)
    if journal is not None:
        _put_journal(folder / snapshot.JOURNAL, journal)
    return Restored(moved, journal, erased, beside)


def _calls(journal: Path) -> int | None:
    """How many calls a journal has; None if it cannot be read."""
    try:
        with closing(sqlite3.connect(f"{journal.absolute().as_uri()}?mode=ro", uri=True)) as opened:
            (count,) = opened.execute("SELECT count(*) FROM calls").fetchone()
            return int(count)
    except sqlite3.Error:
        return None


def _erased_since(place: Place, data: Data, work: Path) -> set[str]:
    ids = recordings.read_erased(data.recordings)
    for text in place.collect(snapshot.ERASED, work):
        ids |= recordings.erased_ids(text)
    return ids


def _erase_again(folder: Path, ids: set[str]) -> int:
    journal = folder / snapshot.JOURNAL
    sounds = recordings.find(folder / RECORDINGS)
    hit = {file.call_id for file in sounds if file.call_id in ids}
    recordings.remove(file.path for file in sounds if file.call_id in ids)
    if journal.exists():
        url = f"sqlite:///{journal.absolute()}"
        engine = open_engine(url, create=False)
        try:
            migrate(engine)  # as the service does when it starts
        finally:
            engine.dispose()
        with closing(Records(url)) as records:
            hit |= records.with_something(ids)
            records.erase(ids)
            records.settle()
    return len(hit)


def _put_beside(folder: Path, data: Data) -> list[Path]:
    """Settings and script go where they disturb nothing: who restores decides about them."""
    put = []
    for name in (snapshot.SETTINGS, snapshot.SCRIPT):
        if (folder / name).exists():
            target = data.recordings.absolute().parent / f"restored-{name}"
            shutil.copyfile(folder / name, target)
            target.chmod(0o640)
            put.append(target)
    return put


def _merge(source: Path, target: Path) -> int:
    """Move every file below *source* to the same place below *target*; how many."""
    moved = 0
    for file in recordings.find(source):
        to = target / file.path.relative_to(source)
        to.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        file.path.replace(to)
        moved += 1
    _sync(target, *(folder for folder in target.iterdir() if folder.is_dir()))
    return moved


def _journal_target(folder: Path, data: Data) -> Path | None:
    if not (folder / snapshot.JOURNAL).exists():
        return None
    target = sqlite_file(data.journal_url)
    if target is None:
        raise ArchiveError(
            "JOURNAL_URL: the snapshot has an SQLite journal; set JOURNAL_URL to a file for it"
        )
    return target.absolute()


def _put_journal(source: Path, target: Path) -> None:
    target.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.restoring")  # perhaps on another file system
    shutil.copyfile(source, part)
    part.chmod(0o640)
    with part.open("rb") as file:
        os.fsync(file.fileno())
    for suffix in ("-wal", "-shm"):  # of the journal that goes: they would be played into this
        target.with_name(target.name + suffix).unlink(missing_ok=True)
    part.replace(target)
    _sync(target.parent)


def _sync(*folders: Path) -> None:
    for folder in folders:
        recordings.sync_directory(folder)
