"""What has been kept for long enough goes: recordings, texts, callbacks, test calls, each after its
own days.

A name and number stay as long as anything of theirs does, the recording or the words, so that
whoever asks to be forgotten can be found until then. Logs are journald's (``MaxRetentionSec=``),
snapshots are :mod:`voicebot.archive.backup`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from voicebot.archive import recordings
from voicebot.archive.records import Kind, Records


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Days that each is kept; 0 is for ever."""

    recordings: int
    transcripts: int
    callbacks: int
    probes: int

    @property
    def identities(self) -> int:
        if not (self.recordings and self.transcripts):
            return 0
        return max(self.recordings, self.transcripts)


@dataclass(frozen=True, slots=True)
class Removed:
    """One kind of thing, and how much of it went (or would go)."""

    what: str
    days: int
    count: int
    bytes: int | None = None
    """Of recordings."""


def run(
    directory: Path, records: Records | None, limits: Limits, *, now: datetime, dry: bool
) -> Iterator[Removed]:
    """Remove, or with *dry* only count; told as it is done. *records* is None without a journal.

    The caller has the recordings (:func:`voicebot.archive.recordings.exclusive`). Raises
    ArchiveError.
    """
    yield _recordings(directory, limits.recordings, now, dry)
    if records is None:
        return
    kinds = (
        (Kind.PATHS, limits.recordings),
        (Kind.TEXTS, limits.transcripts),
        (Kind.IDENTITIES, limits.identities),
        (Kind.CALLBACKS, limits.callbacks),
        (Kind.PROBES, limits.probes),
    )
    act: Callable[[Kind, datetime], int] = records.count if dry else records.expire
    for kind, days in kinds:
        count = act(kind, now - timedelta(days=days)) if days else 0
        if kind is not Kind.PATHS:  # they go with their recordings, and are told of there
            yield Removed(kind.value, days, count)
    if not dry:
        records.settle()


def _recordings(directory: Path, days: int, now: datetime, dry: bool) -> Removed:
    if not days:
        return Removed("recordings", days, 0, 0)
    before = now - timedelta(days=days)
    old = [file for file in recordings.find(directory) if file.started < before]
    if not dry:
        recordings.remove(file.path for file in old)
        recordings.remove_empty_days(directory, min(before, now - timedelta(days=1)))
    return Removed("recordings", days, len(old), sum(file.size for file in old))
