"""A place that only its key opens: a restic repository, on a disk, in object storage, anywhere.

restic encrypts, checks and shares what has not changed, whatever it is given; a snapshot is there
as a whole or not at all. Each is tagged with its name, and holds the same files as a folder of
:mod:`voicebot.archive.rsync`, so that a restore checks them in the same way.

Made for restic 0.14, which Debian 12 has: it knows exit status 1 only, so that what went wrong is
read from its words.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from voicebot.archive import ArchiveError, programs
from voicebot.archive.place import (
    NAME_PATTERN,
    RECORDINGS,
    Progress,
    Snapshot,
    without_password,
)

PREFIX: Final = "restic:"
_TAG = "voicebot"
_HOST = "voicebot"  # not the machine's: it is restored on another one
_MISSING = re.compile(r"no such file|does not exist|NoSuchKey|NoSuchBucket|status code 404", re.I)


class ResticPlace:
    """A :class:`~voicebot.archive.place.Place`: ``restic:REPOSITORY``, as restic names it
    (``/path``, ``s3:https://host/bucket/path``, ``sftp:host:/path``, ``rest:https://…``).

    *key* is the passphrase, *access* what an object store asks for (identity, secret), *cache* a
    folder of our own in which restic keeps what it has learnt of the repository.
    """

    def __init__(self, target: str, key: str, access: tuple[str, str], cache: Path) -> None:
        self._repository = target.removeprefix(PREFIX)
        if not self._repository:
            raise ArchiveError(f"{target}: must be {PREFIX} and a repository, as restic names it")
        if not key:
            raise ArchiveError(f"{self}: needs a passphrase: set BACKUP_KEY")
        self._environment = {
            **os.environ,
            "RESTIC_REPOSITORY": self._repository,
            "RESTIC_PASSWORD": key,
            "RESTIC_CACHE_DIR": str(cache.absolute()),
            "TZ": "UTC",
        }
        for name, value in zip(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), access, strict=True):
            if value:
                self._environment[name] = value

    def __str__(self) -> str:
        return PREFIX + without_password(self._repository)

    def local(self, snapshot: Snapshot) -> Path | None:
        return None

    def snapshots(self) -> list[Snapshot]:
        return sorted(Snapshot(name, complete=True) for name in self._ids())

    def save(
        self,
        name: str,
        work: Path,
        staged: Sequence[str],
        recordings: Path,
        sounds: Sequence[str],
        progress: Progress,
    ) -> None:
        progress("copying", 0, len(sounds))
        if not self._run("cat", "config", absent=""):
            self._run("init")
        # What a run left that was killed; of another machine's only if it is half an hour old.
        self._run("unlock")
        # Always at the same path: restic compares with the last snapshot of that.
        tree = work / "snapshot"
        for file in staged:
            _put(work / file, tree / file, move=True)
        for file in sounds:
            _put(recordings / file, tree / RECORDINGS / file)
        moment = Snapshot(name, complete=True).taken
        self._run(
            "backup", "--host", _HOST, "--tag", f"{_TAG},{name}",
            "--time", f"{moment:%Y-%m-%d %H:%M:%S}",
            # The links are new each time; the sizes and times are those of the files.
            "--ignore-inode", "--ignore-ctime", ".", folder=tree,
        )  # fmt: skip
        progress("copying", len(sounds), len(sounds))

    def fetch(self, snapshot: Snapshot, into: Path) -> None:
        into.mkdir(parents=True, exist_ok=True)
        self._run("restore", self._id(snapshot), "--target", str(into))

    def collect(self, file: str, work: Path) -> list[str]:
        return [self._run("dump", number, f"/{file}") for number in self._ids().values()]

    def remove(self, snapshots: Sequence[Snapshot]) -> None:
        self._run("forget", "--prune", *(self._id(one) for one in snapshots))

    def _id(self, snapshot: Snapshot) -> str:
        try:
            return self._ids()[snapshot.name]
        except KeyError:
            raise ArchiveError(f"{self}: no snapshot {snapshot.name}") from None

    def _ids(self) -> dict[str, str]:
        """Names of the snapshots, and what restic calls them."""
        text = self._run("snapshots", "--json", "--tag", _TAG, absent="[]")
        found: list[dict[str, Any]] = json.loads(text) or []
        return {
            tag: one["id"]
            for one in found
            for tag in one.get("tags", ())
            if NAME_PATTERN.fullmatch(tag)
        }

    def _run(self, *arguments: str, folder: Path | None = None, absent: str | None = None) -> str:
        done = programs.run("restic", arguments, self._environment, folder=folder)
        if done.returncode == 0:
            return done.stdout
        if absent is not None and _MISSING.search(done.stderr):
            return absent
        reason = programs.first_line(done.stderr).removeprefix("Fatal: ")
        raise ArchiveError(f"{self}: restic failed ({arguments[0]}): {reason}{_hint(reason)}")


def _hint(reason: str) -> str:
    if "wrong password" in reason:
        return "; BACKUP_KEY is not the one that it was made with"
    if "AccessDenied" in reason or "InvalidAccessKeyId" in reason or "Signature" in reason:
        return "; see BACKUP_ACCESS_KEY and BACKUP_SECRET_KEY"
    if "locked" in reason:
        return "; another machine is at work there, or was cut off: it goes after half an hour"
    return ""


def _put(source: Path, target: Path, *, move: bool = False) -> None:
    """Have *source* at *target* too: a link, where the file system has them."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if move:
        source.rename(target)
        return
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
