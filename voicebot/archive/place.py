"""Where snapshots are kept: what a backup needs of such a place, whatever keeps it.

:class:`~voicebot.archive.rsync.RsyncPlace` has dated folders, :class:`~voicebot.archive.restic.
ResticPlace` an encrypted repository, in object storage too. What a snapshot holds is not known
here, but that its manifest comes last.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

MANIFEST: Final = "manifest.sha256"
"""Comes last, so that a snapshot which has it is complete."""
RECORDINGS: Final = "recordings"
"""The folder of a snapshot that has them."""
_NAME: Final = "%Y-%m-%dT%H%M%SZ"
NAME_PATTERN: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{6}Z")

Progress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is, and of how much."""


@dataclass(frozen=True, slots=True, order=True)
class Snapshot:
    """One backup. They sort by age, oldest first."""

    name: str
    complete: bool

    @property
    def taken(self) -> datetime:
        return datetime.strptime(self.name, _NAME).replace(tzinfo=UTC)


def name_for(moment: datetime) -> str:
    """What a snapshot taken at *moment* is called."""
    return f"{moment.astimezone(UTC):{_NAME}}"


def without_password(target: str) -> str:
    """*target*, a place as the operator named it, to be shown: without the user of a URL."""
    return re.sub(r"//[^/]*@", "//", target)


class Place(Protocol):
    """Every method raises ArchiveError, with what the program at work said. ``str()`` is how the
    operator named it."""

    def snapshots(self) -> list[Snapshot]:
        """All of them, oldest first; none if there is nothing there yet."""

    def save(
        self,
        name: str,
        work: Path,
        staged: Sequence[str],
        recordings: Path,
        sounds: Sequence[str],
        progress: Progress,
    ) -> None:
        """Make the snapshot *name* of the files *staged* in *work* (the manifest among them) and
        *sounds* below *recordings*. *work* is on the same file system as *recordings*, and ours."""

    def fetch(self, snapshot: Snapshot, into: Path) -> None:
        """Copy all of *snapshot* into the folder *into*, which is made."""

    def collect(self, file: str, work: Path) -> list[str]:
        """The text of the small *file* of each snapshot that has it."""

    def local(self, snapshot: Snapshot) -> Path | None:
        """Its folder, if there is one on this machine that can be read as it is."""

    def remove(self, snapshots: Sequence[Snapshot]) -> None:
        """Remove these for good."""
