"""The place where backups are, here or on another host, reached by rsync alone.

rsync makes dated snapshots in which a file that has not changed is a hard link to that of the one
before, and it lists and removes them: the other side needs rsync and nothing else, so its account
can be held to that (rrsync). What a snapshot holds is not known here.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from voicebot.archive import ArchiveError, programs
from voicebot.archive.place import (
    MANIFEST,
    NAME_PATTERN,
    RECORDINGS,
    Progress,
    Snapshot,
    without_password,
)

SILENCE: Final = 300  #: s without a byte after which a transfer counts as stuck
LINKED: Final = 3
"""Earlier snapshots that are looked at for a file that has not changed; rsync takes 20."""
_PARTIAL = 23  # rsync: some files were not transferred; also when the source is not there


class RsyncPlace:
    """A :class:`~voicebot.archive.place.Place`: ``/path``, or ``[user@]host:path`` by SSH."""

    def __init__(self, target: str) -> None:
        if not target:
            raise ArchiveError("where to? name a folder or host:path, or set BACKUP_TARGET")
        if "://" in target or "::" in target:
            shown = without_password(target)
            raise ArchiveError(
                f"{shown}: must be a folder, host:path, which goes by SSH, or restic:{shown}"
            )
        host, colon, path = target.partition(":")
        self.remote = bool(colon) and "/" not in host
        if self.remote and (not path or host.startswith("-")):
            raise ArchiveError(f"{target}: must be host:path")
        self.root = target.rstrip("/") if self.remote else str(Path(target).expanduser().absolute())
        self._path = path if self.remote else self.root

    def __str__(self) -> str:
        return self.root

    def local(self, snapshot: Snapshot) -> Path | None:
        return None if self.remote else Path(self.root, snapshot.name)

    def snapshots(self) -> list[Snapshot]:
        found = self._run(
            "--list-only", "--recursive", f"--include=/*/{MANIFEST}", "--include=/*/",
            "--exclude=*", f"{self.root}/", absent_is_empty=True,
        )  # fmt: skip
        paths = [line.split(maxsplit=4)[-1] for line in found.splitlines() if line.strip()]
        complete = {path.split("/")[0] for path in paths if path.endswith(f"/{MANIFEST}")}
        names = {path for path in paths if NAME_PATTERN.fullmatch(path)}
        return sorted(Snapshot(name, name in complete) for name in names)

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
        links = [f"{one.name}/{RECORDINGS}" for one in reversed(self.snapshots())][:LINKED]
        self.put(recordings, sounds, f"{name}/{RECORDINGS}", links)
        self.put(work, [file for file in staged if file != MANIFEST], name)
        self.put(work, [MANIFEST], name)
        progress("copying", len(sounds), len(sounds))

    def fetch(self, snapshot: Snapshot, into: Path) -> None:
        self.get(snapshot.name, into)

    def collect(self, file: str, work: Path) -> list[str]:
        with tempfile.TemporaryDirectory(dir=work) as into:
            self.get("", Path(into), only=("/*/", f"/*/{file}"))
            return [found.read_text(encoding="utf-8") for found in Path(into).glob(f"*/{file}")]

    def put(
        self, source: Path, files: Sequence[str], folder: str, links: Iterable[str] = ()
    ) -> None:
        """Copy *files* (relative to *source*) into *folder* of this place.

        A file that one of the folders *links* of this place has unchanged becomes a link to it.
        """
        if not files:
            return
        # rsync takes it relative to the folder; rrsync allows no way up, and its root is "/".
        relative = "../" * len(Path(folder).parts)
        base = f"{self._path.rstrip('/')}/" if self._path.startswith("/") else relative
        self._run(
            "--from0", "--files-from=-", "--times", "--perms", "--links",
            "--chmod=D0750,F0640", "--mkpath", "--fsync",
            *(f"--link-dest={base}{link}" for link in links),
            f"{source}/", f"{self.root}/{folder}/", said="\0".join(files),
        )  # fmt: skip

    def get(self, folder: str, into: Path, *, only: Sequence[str] = ()) -> None:
        """Copy *folder* of this place (empty: all of it) to *into*; *only* are rsync patterns."""
        patterns = [f"--include={pattern}" for pattern in only] + ["--exclude=*"] * bool(only)
        source = f"{self.root}/{folder}/" if folder else f"{self.root}/"
        self._run(
            "--recursive", "--times", "--perms", "--chmod=D0750,F0640", "--fsync", *patterns,
            source, f"{into}/",
        )  # fmt: skip

    def remove(self, snapshots: Sequence[Snapshot]) -> None:
        for one in snapshots:
            self._remove(one)

    def _remove(self, snapshot: Snapshot) -> None:
        """Its manifest goes first, so that one that is half gone is not taken for whole."""
        with tempfile.TemporaryDirectory() as nothing:
            for inside in (f"/{snapshot.name}/{MANIFEST}", f"/{snapshot.name}/***"):
                self._run(
                    "--recursive", "--delete", f"--include=/{snapshot.name}/",
                    f"--include={inside}", "--exclude=*", f"{nothing}/", f"{self.root}/",
                )  # fmt: skip

    def _run(self, *arguments: str, said: str = "", absent_is_empty: bool = False) -> str:
        options = [f"--timeout={SILENCE}"]
        if self.remote and "RSYNC_RSH" not in os.environ:
            options.append("--rsh=ssh -o BatchMode=yes -o ConnectTimeout=20")
        done = programs.run("rsync", [*options, *arguments], os.environ, said=said)
        if done.returncode == 0:
            return done.stdout
        if (
            absent_is_empty
            and done.returncode == _PARTIAL
            and "No such file or directory" in done.stderr
        ):
            return ""
        reason = programs.first_line(done.stderr)
        raise ArchiveError(f"{self.root}: rsync failed ({done.returncode}): {reason}{self._hint()}")

    def _hint(self) -> str:
        if not self.remote:
            return "; is it there, has it room, and may this user write there?"
        host = self.root.partition(":")[0]
        return f"; `ssh -o BatchMode=yes {host} true` must work for this user, without a password"
