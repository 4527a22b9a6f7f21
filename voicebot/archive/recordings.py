"""The folder of recordings as it lies on disk: which file is which call's, and whose turn it is.

Files are found by name, not through the journal: ``<date>/<time>-<call id>.wav`` as the recorder
names them, ``.mp3`` once converted, ``.mp3.age`` once encrypted, and whatever earlier versions left
as ``.raw``. A file with
``.part`` behind it belongs to its writer. Names that begin with a dot are ours:

``.lock``    held by the task that works on the folder (flock, so it dies with its process)
``.work``    scratch of that task; what a killed one left is removed by the next
``.erased``  ids of erased calls, for :mod:`voicebot.archive.restore`
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from voicebot.archive import ArchiveError, BusyError

ENCRYPTED: Final = ".age"
"""Behind the name of an MP3 that only the owner of a key can listen to."""
SUFFIXES: Final = (".wav", ".mp3", ".raw", f".mp3{ENCRYPTED}")
PART: Final = ".part"
LOCK: Final = ".lock"
WORK: Final = ".work"
ERASED: Final = ".erased"
LOCK_POLL: Final = 0.2  #: s
_CALL_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_WHEN = re.compile(r"(\d{4}-\d{2}-\d{2})/(\d{6})-")


@dataclass(frozen=True, slots=True)
class RecordingFile:
    """One file of one call."""

    path: Path
    call_id: str | None
    """None if the name has none: a file that we did not make."""
    started: datetime
    """From the name, else from the time of the last change."""
    size: int
    """Bytes."""


def find(directory: Path) -> list[RecordingFile]:
    """Every finished recording below *directory*; none if it does not exist."""
    found = (_described(path) for path in _files(directory) if path.name.endswith(SUFFIXES))
    return [file for file in found if file is not None]


def parts_of(directory: Path, call_ids: Iterable[str]) -> list[Path]:
    """Unfinished files (``.part``) of these calls."""
    wanted = set(call_ids)
    return [
        path
        for path in _files(directory)
        if path.suffix == PART and call_id_of(path.name) in wanted
    ]


def call_id_of(name: str) -> str | None:
    """The call id in the name of a file."""
    match = _CALL_ID.search(name)
    return match[0].lower() if match else None


def current(path: Path) -> Path:
    """Where a recording that the journal has as *path* is now: it may have been converted."""
    for suffix in (path.suffix, ".mp3", f".mp3{ENCRYPTED}"):
        if path.with_suffix(suffix).exists():
            return path.with_suffix(suffix)
    return path


def sync_directory(directory: Path) -> None:
    """Make what was renamed or removed in *directory* last through a power cut."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def remove(paths: Iterable[Path]) -> int:
    """Remove files, for good once this returns; how many were there. Raises ArchiveError."""
    removed = 0
    parents = set()
    for path in paths:
        try:
            path.unlink()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise ArchiveError(
                f"{path}: cannot be removed: {error.strerror}; run this as the service's user"
            ) from error
        removed += 1
        parents.add(path.parent)
    for parent in parents:
        sync_directory(parent)
    return removed


def remove_empty_days(directory: Path, before: datetime) -> None:
    """Remove folders of days that have nothing left in them.

    Only of days before *before*: the recorder may be about to write into today's.
    """
    for day in directory.glob("[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]"):
        if day.name < f"{before:%Y-%m-%d}":
            with suppress(OSError):  # not empty
                day.rmdir()


def _holder(fd: int) -> str:
    return os.pread(fd, 200, 0).decode(errors="replace").strip() or "another task"


def _wait_for_lock(fd: int, file: Path, wait: float, waiting: Callable[[str], None] | None) -> None:
    deadline = time.monotonic() + wait
    told = False
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            holder = _holder(fd)
            if time.monotonic() >= deadline:
                raise BusyError(f"{file}: held by {holder}; try again when it is over") from None
            if waiting and not told:
                waiting(holder)
                told = True
            time.sleep(LOCK_POLL)


@contextmanager
def exclusive(
    directory: Path, task: str, *, wait: float = 0.0, waiting: Callable[[str], None] | None = None
) -> Iterator[Path]:
    """Have *directory* alone; yields an empty scratch folder on the same file system.

    Waits up to *wait* s for another task, *waiting* being told once which one. Raises BusyError,
    or ArchiveError if the folder cannot be used.
    """
    file = directory / LOCK
    try:
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise ArchiveError(
            f"{error.filename}: {error.strerror}; run this as the service's user, "
            "or set RECORDINGS_DIR"
        ) from error
    try:
        _wait_for_lock(fd, file, wait, waiting)
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{task} (process {os.getpid()})\n".encode(), 0)
        work = directory / WORK
        # An encoder whose task was killed may still be writing there; the next one gets the rest.
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(mode=0o700, exist_ok=True)
        try:
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)
    finally:
        os.close(fd)


def erased_ids(text: str) -> set[str]:
    """The call ids in the text of a ``.erased`` file."""
    return {words[-1] for line in text.splitlines() if (words := line.split())}


def read_erased(directory: Path) -> set[str]:
    """Ids of the calls that were erased here."""
    try:
        return erased_ids((directory / ERASED).read_text(encoding="ascii"))
    except FileNotFoundError:
        return set()


def note_erased(directory: Path, call_ids: Iterable[str], now: datetime) -> None:
    """Note ids, on disk when this returns. They say nothing of anybody once a call is erased."""
    new = sorted(set(call_ids) - read_erased(directory))
    if not new:
        return
    fd = os.open(directory / ERASED, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
    with open(fd, "w", encoding="ascii") as file:  # noqa: PTH123 -- a descriptor
        file.writelines(f"{now:%Y-%m-%dT%H:%M:%SZ} {call_id}\n" for call_id in new)
        file.flush()
        os.fsync(fd)


def _files(directory: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(directory):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(folder, name)
            if not name.startswith(".") and not path.is_symlink():
                yield path


def _described(path: Path) -> RecordingFile | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None  # removed since it was listed
    started = datetime.fromtimestamp(status.st_mtime, UTC)
    if match := _WHEN.search(path.as_posix()):
        with suppress(ValueError):
            named = datetime.strptime(f"{match[1]} {match[2]}", "%Y-%m-%d %H%M%S")
            started = named.replace(tzinfo=UTC)
    return RecordingFile(path, call_id_of(path.name), started, status.st_size)
