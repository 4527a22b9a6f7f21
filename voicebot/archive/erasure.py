"""A person, known by telephone number, is erased everywhere, and that it is so is looked up again.

Erased are all words, names, numbers, callbacks and recordings of every call that gave the number,
and of every call in which it was said (read back, or spelt out and not confirmed). Figures of the
calls stay. Each step can be repeated after a kill: the calls are found by what goes last.

1. The calls' ids are noted (``.erased``), for a restore from an older snapshot.
2. Recordings are removed, and learnt sentences (:mod:`voicebot.prompts.learned`) that hold the
   number or a name. There should be none; one that only looks as if it held a name is learnt again.
3. The journal's rows are emptied, and overwritten on disk.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from voicebot.archive import ArchiveError, recordings
from voicebot.archive.place import Snapshot
from voicebot.archive.records import Found, Records
from voicebot.dialogue.numbers import heard_numbers
from voicebot.dialogue.script import Script
from voicebot.dialogue.words import tokens
from voicebot.prompts import learned

_FEWEST_DIGITS = 6
_SHORTEST_NAME = 3  # letters: shorter ones ("de", "le") are words, too
_BETWEEN = r"[\s.,/-]{0,3}"  # what people and recognisers put between digits


class Number:
    """A telephone number, however it is written. Raises ArchiveError if it is none."""

    def __init__(self, written: str, script: Script) -> None:
        self._script = script
        self.digits = self._plain(written)
        if len(self.digits) < _FEWEST_DIGITS or re.search(r"[^\d\s+().,/-]", written):
            raise ArchiveError(f"{written}: is no telephone number")
        forms = [self.digits]
        for prefix, replaced in script.phone.prefixes.items():
            if self.digits.startswith(replaced):
                forms.append(prefix + self.digits[len(replaced) :])
        spelt = "|".join(_BETWEEN.join(form) for form in forms)
        self._said = re.compile(rf"(?<!\d)(?:{spelt})(?!\d)")

    def __str__(self) -> str:
        return self._script.phone.spoken(self.digits)

    def is_(self, number: str) -> bool:
        """Whether *number* is the same, written in another way perhaps."""
        return self._plain(number) == self.digits

    def said_in(self, text: str) -> bool:
        """Whether it is in *text*, in digits or in words."""
        if not text:
            return False
        if self._said.search(text):
            return True
        heard = heard_numbers(tokens(text), self._script.numbers, self._script.phone)
        return any(one.number == self.digits for one in heard)

    def as_bytes(self) -> list[bytes]:
        """How the files of a journal may hold it."""
        spoken = str(self)
        return [form.encode() for form in (self.digits, spoken, spoken.replace(" ", "."))]

    def _plain(self, written: str) -> str:
        digits = re.sub(r"\D", "", written.replace("(0)", ""))
        return self._script.phone.national(digits) or digits


@dataclass(slots=True)
class Person:
    """What there is of somebody."""

    found: Found
    files: list[Path]
    """Finished recordings."""
    parts: list[Path]
    """Unfinished ones, that a crash left."""
    sentences: list[Path]
    """Files of learnt sentences."""
    running: list[str]
    """Ids of calls that have not ended: their end will write to the journal again."""

    def __bool__(self) -> bool:
        return bool(self.found or self.files or self.parts or self.sentences)


def search(
    records: Records,
    directory: Path,
    cache: Path,
    number: Number,
    *,
    running: Collection[str] = (),
) -> Person:
    """Everything of whoever has *number*, in the journal, in *directory* (the recordings) and in
    *cache*; *running* are the ids of calls in progress."""
    found = records.search(number.is_, number.said_in)
    person = _with_files(found, directory, set(running))
    person.sentences = _sentences(cache, number, found.names)
    return person


def _sentences(cache: Path, number: Number, names: Collection[str]) -> list[Path]:
    words = {word for name in names for word in tokens(name) if len(word) >= _SHORTEST_NAME}
    return learned.files_that_say(
        cache, lambda text: number.said_in(text) or bool(words & set(tokens(text)))
    )


def _with_files(found: Found, directory: Path, running: set[str]) -> Person:
    ids = {call_id.lower() for call_id in found.call_ids}
    files = {file.path for file in recordings.find(directory) if file.call_id in ids}
    for path in found.recordings:  # RECORDINGS_DIR may have been another one then
        candidates = (path, *(path.with_suffix(suffix) for suffix in recordings.SUFFIXES))
        known = {file.resolve() for file in files}
        files |= {p for p in candidates if p.is_file() and p.resolve() not in known}
    parts = recordings.parts_of(directory, ids)
    growing = [path for path in parts if _is_written(path)]
    live = (ids & running) | {recordings.call_id_of(path.name) or "" for path in growing}
    return Person(found, sorted(files), [p for p in parts if p not in growing], [], sorted(live))


def erase(records: Records, directory: Path, person: Person, *, now: datetime) -> None:
    """Erase it. The caller has the recordings. Raises ArchiveError; can then be repeated."""
    recordings.note_erased(directory, person.found.call_ids, now)
    recordings.remove([*person.files, *person.parts, *person.sentences])
    records.erase(person.found.call_ids, person.found.callbacks)


def proof(
    records: Records, directory: Path, cache: Path, number: Number, erased: Found
) -> list[str]:
    """Look for everything once more; what is still there, in words. Empty: it is proven."""
    remains: list[str] = []
    again = search(records, directory, cache, number)
    if again.found:
        remains.append(f"{len(again.found.call_ids)} calls in the journal; run this again")
    left = _with_files(Found(confirmed=erased.call_ids), directory, set())
    left.sentences = _sentences(cache, number, erased.names)
    remains += [f"{path}; remove it" for path in (*left.files, *left.parts, *left.sentences)]
    settled = records.settle()
    if settled and records.holds_bytes(number.as_bytes()):
        # An older version removed rows without overwriting them. Written anew, the file has only
        # rows that exist, and those have just been searched.
        records.vacuum()
        settled = records.settle()
    if not settled:
        remains.append(
            "the journal's write-ahead log: another program has been reading it for long; "
            "end that (fuser -v names it), and run this again"
        )
    return remains


def holding(
    snapshots: Collection[Snapshot], earliest: datetime, days: int
) -> list[tuple[Snapshot, datetime | None]]:
    """The *snapshots* taken since *earliest*, and until when each is kept (None: for ever)."""
    return [
        (snapshot, snapshot.taken + timedelta(days=days) if days else None)
        for snapshot in sorted(snapshots)
        if snapshot.taken >= earliest
    ]


def _is_written(part: Path) -> bool:
    """Whether a living recorder has this file: it holds a lock on it."""
    try:
        fd = os.open(part, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(fd)
