"""What a snapshot holds, made and checked; how it travels is :mod:`voicebot.archive.place`'s.

journal.db        a consistent copy of an SQLite journal, without its free pages
recordings/       every finished recording, by its path below RECORDINGS_DIR
settings.env      the settings that are not the default, secrets left out
script.yaml       SCRIPT_FILE, if there is one
erased.txt        ids of the calls that were erased up to then
snapshot.json     of which host, version and moment
manifest.sha256   of all of these; `sha256sum -c manifest.sha256` checks it without us
"""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from voicebot import __version__
from voicebot.archive import ArchiveError, recordings
from voicebot.archive.place import MANIFEST, RECORDINGS, Progress
from voicebot.archive.records import sqlite_file

JOURNAL: Final = "journal.db"
SETTINGS: Final = "settings.env"
SCRIPT: Final = "script.yaml"
ERASED: Final = "erased.txt"
ABOUT: Final = "snapshot.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """What is backed up, and where it is restored to."""

    recordings: Path
    """RECORDINGS_DIR."""
    journal_url: str
    script: Path | None
    """SCRIPT_FILE."""
    settings: str
    """A settings file without secrets."""


@dataclass(frozen=True, slots=True)
class Contents:
    """A snapshot that is ready to travel. Names are relative to the two folders."""

    staged: list[str]
    """Files in the scratch folder, the manifest left out."""
    recordings: list[str]
    """Files below RECORDINGS_DIR."""
    bytes: int


def stage(work: Path, data: Data, *, journal: bool, now: datetime, progress: Progress) -> Contents:
    """Write everything but the recordings to *work*, the manifest included.

    Raises ArchiveError or JournalError.
    """
    if journal:
        copy_journal(data.journal_url, work / JOURNAL)
    (work / SETTINGS).write_text(data.settings, encoding="utf-8")
    if data.script is not None:
        try:
            shutil.copyfile(data.script, work / SCRIPT)
        except OSError as error:
            raise ArchiveError(f"SCRIPT_FILE={error.filename}: {error.strerror}") from error
    ids = sorted(recordings.read_erased(data.recordings))
    (work / ERASED).write_text("".join(f"{call_id}\n" for call_id in ids), encoding="ascii")
    about = {
        "format": 1,
        "voicebot": __version__,
        "host": socket.gethostname(),
        "taken": now.astimezone(UTC).isoformat(timespec="seconds"),
        "journal": journal,
    }
    (work / ABOUT).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    staged = sorted(path.name for path in work.iterdir())
    below = data.recordings
    sounds = [str(file.path.relative_to(below)) for file in recordings.find(below)]
    everything = [(work / name, name) for name in staged]
    everything += [(below / name, f"{RECORDINGS}/{name}") for name in sounds]
    size = write_manifest(work / MANIFEST, everything, progress)
    return Contents(staged, sounds, size)


def copy_journal(url: str, target: Path) -> None:
    """A consistent copy, while the service writes. Raises ArchiveError or JournalError."""
    source = sqlite_file(url)
    if source is None:
        raise ArchiveError(
            "JOURNAL_URL: only an SQLite journal is copied; back this one up with its own tool "
            "(pg_dump), and run this with --without-journal"
        )
    if not source.exists():
        raise ArchiveError(f"JOURNAL_URL: no journal at {source}; or use --without-journal")
    try:
        # Not mode=ro: the first reader of a journal left by a kill has to recover its log.
        with closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True)) as journal:
            journal.execute("PRAGMA busy_timeout=10000")
            journal.execute("VACUUM INTO ?", (str(target),))
        check_journal(target)
    except sqlite3.Error as error:
        raise ArchiveError(
            f"{source}: cannot be copied: {error}; docs/runbooks/VoicebotJournalFailing.md"
        ) from error


def check_journal(file: Path) -> None:
    """Raises sqlite3.Error if *file* is damaged."""
    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as journal:
        (verdict,) = journal.execute("PRAGMA integrity_check(1)").fetchone()
    if verdict != "ok":
        raise sqlite3.DatabaseError(verdict)


def write_manifest(file: Path, files: Iterable[tuple[Path, str]], progress: Progress) -> int:
    """Hash *files* (path and name in the snapshot); returns their size in bytes."""
    listed = list(files)
    size = 0
    with file.open("w", encoding="utf-8", errors="surrogateescape") as manifest:
        for number, (path, name) in enumerate(listed, 1):
            if "\n" in name or "\\" in name:
                raise ArchiveError(f"{path}: a file's name cannot have that in it; rename it")
            try:
                manifest.write(f"{_hash(path)}  {name}\n")
                size += path.stat().st_size
            except OSError as error:
                raise ArchiveError(f"{path}: cannot be read: {error.strerror}") from error
            progress("checksums", number, len(listed))
    return size


def check(folder: Path, progress: Progress) -> list[str]:
    """Compare the snapshot in *folder* with its manifest; what is wrong, a sentence for each."""
    try:
        lines = (folder / MANIFEST).read_text("utf-8", "surrogateescape").splitlines()
    except OSError as error:
        return [f"{folder / MANIFEST}: {error.strerror}"]
    faults = []
    expected = {MANIFEST}
    for number, line in enumerate(lines, 1):
        digest, _, name = line.partition("  ")
        expected.add(name)
        try:
            if _hash(folder / name) != digest:
                faults.append(f"{name}: is not what was saved")
        except OSError as error:
            faults.append(f"{name}: {error.strerror}")
        progress("checking", number, len(lines))
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return faults + [f"{name}: was not saved" for name in sorted(there - expected)]


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
