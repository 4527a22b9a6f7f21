"""The journal as retention and erasure see it: what is old, what is whose, and making it go.

Works beside a running service: short transactions, so that its writer is never held up for long,
and SQLite overwrites what is removed (``secure_delete``). Figures of a call stay: when, how long,
which outcome, how fast. Who is to be erased, and what is too old, is decided elsewhere.
"""

from __future__ import annotations

import mmap
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Table, delete, func, make_url, or_, select, update
from sqlalchemy.exc import DBAPIError

from voicebot.archive import ArchiveError
from voicebot.journal.schema import (
    callbacks,
    calls,
    file_exists,
    newest_version,
    open_engine,
    turns,
    version_of,
)

BATCH: Final = 500
"""Rows of one transaction: some ten milliseconds."""
PATIENCE: Final = 5.0
"""Seconds that are given to readers to let go of old pages of the journal."""


class Kind(Enum):
    """What retention removes from the journal."""

    TEXTS = "texts"
    IDENTITIES = "names and numbers"
    CALLBACKS = "callbacks"
    PATHS = "recording paths"
    PROBES = "test calls"
    """Whole: one a minute is half a million calls a year, and no customer's."""


@dataclass(slots=True)
class Found:
    """What the journal has of a person."""

    confirmed: set[str] = field(default_factory=set)
    """Calls that gave the number, or asked for a callback at it."""
    mentioned: set[str] = field(default_factory=set)
    """Further calls in which it was only said."""
    callbacks: list[int] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    """Given in these calls."""
    turns: int = 0
    """Turns of these calls that have a text."""
    recordings: list[Path] = field(default_factory=list)
    earliest: datetime | None = None
    """When the first of these calls began."""

    @property
    def call_ids(self) -> set[str]:
        return self.confirmed | self.mentioned

    def __bool__(self) -> bool:
        return bool(self.call_ids or self.callbacks)


def sqlite_file(url: str) -> Path | None:
    """The file of an SQLite journal, None for another database. Raises JournalError."""
    file_exists(url)  # a URL that cannot be read is told of here
    parsed = make_url(url)
    return Path(str(parsed.database)) if parsed.get_backend_name() == "sqlite" else None


class Records:
    """An existing journal at *url*. The caller owes a :meth:`close`.

    Methods raise ArchiveError; making one may raise JournalError.
    """

    def __init__(self, url: str) -> None:
        self._file = sqlite_file(url)
        self._engine = open_engine(url, create=False)

    def close(self) -> None:
        self._engine.dispose()

    # -- by age

    def count(self, kind: Kind, before: datetime) -> int:
        """How much of *kind* is older than *before*."""
        table, old = _old(kind, before)
        with self._transaction() as connection:
            return connection.execute(
                select(func.count()).where(old).select_from(table)
            ).scalar_one()

    def expire(self, kind: Kind, before: datetime) -> int:
        """Remove it; how much there was."""
        table, old = _old(kind, before)
        key = _key(table)
        removed = 0
        while True:
            with self._transaction(write=True) as connection:
                ids = list(connection.execute(select(key).where(old).limit(BATCH)).scalars())
                if not ids:
                    return removed
                if kind not in _NOTHING:  # as a whole, with what belongs to it
                    connection.execute(delete(table).where(key.in_(ids)))
                else:
                    connection.execute(update(table).where(key.in_(ids)).values(_NOTHING[kind]))
            removed += len(ids)

    # -- by person

    def search(self, is_number: Callable[[str], bool], said_in: Callable[[str], bool]) -> Found:
        """Calls and callbacks whose number *is_number*, and calls with a text it was *said_in*."""
        found = Found()
        with self._transaction() as connection:
            for call_id, number in connection.execute(
                select(calls.c.id, calls.c.caller_number).where(calls.c.caller_number.is_not(None))
            ):
                if is_number(number):
                    found.confirmed.add(call_id)
            for key, call_id, number, name in connection.execute(
                select(callbacks.c.id, callbacks.c.call_id, callbacks.c.number, callbacks.c.name)
            ):
                if is_number(number):
                    found.callbacks.append(key)
                    found.names |= {name} if name else set()
                    found.confirmed |= {call_id} if call_id else set()
            texts = select(turns.c.call_id, turns.c.caller_text, turns.c.bot_text).where(_HAS_TEXT)
            for call_id, *said in connection.execute(texts.execution_options(yield_per=1000)):
                if call_id not in found.confirmed and any(map(said_in, said)):
                    found.mentioned.add(call_id)
            self._complete(connection, found)
        return found

    def _complete(self, connection: Connection, found: Found) -> None:
        for ids in _batches(sorted(found.call_ids)):
            found.turns += connection.execute(
                select(func.count()).select_from(turns).where(turns.c.call_id.in_(ids), _HAS_TEXT)
            ).scalar_one()
            rows = connection.execute(
                select(calls.c.started_at, calls.c.recording, calls.c.caller_name).where(
                    calls.c.id.in_(ids)
                )
            )
            for started_at, files, name in rows:
                found.names |= {name} if name else set()
                found.earliest = min(found.earliest or started_at, started_at)
                found.recordings += [Path(file) for file in (files or "").splitlines()]

    def erase(self, call_ids: Collection[str], callback_ids: Collection[int] = ()) -> None:
        """Take person and words out of these calls, and remove these callbacks and theirs."""
        for keys in _batches(sorted(callback_ids)):
            with self._transaction(write=True) as connection:
                connection.execute(delete(callbacks).where(callbacks.c.id.in_(keys)))
        for ids in _batches(sorted(call_ids)):
            with self._transaction(write=True) as connection:
                connection.execute(delete(callbacks).where(callbacks.c.call_id.in_(ids)))
                connection.execute(
                    update(turns).where(turns.c.call_id.in_(ids)).values(_NOTHING[Kind.TEXTS])
                )
                gone = {**_NOTHING[Kind.IDENTITIES], **_NOTHING[Kind.PATHS]}
                connection.execute(update(calls).where(calls.c.id.in_(ids)).values(gone))

    def with_something(self, call_ids: Collection[str]) -> set[str]:
        """Those of *call_ids* of which there still is a name, a number, a text or a callback."""
        found: set[str] = set()
        for ids in _batches(sorted(call_ids)):
            with self._transaction() as connection:
                for query in (
                    select(calls.c.id).where(
                        or_(calls.c.caller_name.is_not(None), calls.c.caller_number.is_not(None)),
                        calls.c.id.in_(ids),
                    ),
                    select(turns.c.call_id).where(_HAS_TEXT, turns.c.call_id.in_(ids)),
                    select(callbacks.c.call_id).where(callbacks.c.call_id.in_(ids)),
                ):
                    found |= set(connection.execute(query).scalars())
        return found

    # -- for good

    def settle(self) -> bool:
        """Bring what was removed out of SQLite's write-ahead log too.

        False if a reader that does not end (a forgotten shell) keeps it there.
        """
        if self._file is None:
            return True
        deadline = time.monotonic() + PATIENCE
        while True:
            with self._alone() as connection:
                busy = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").scalar_one()
            if not busy:
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)

    def vacuum(self) -> None:
        """Write the database anew: rids it of what older versions removed without overwriting."""
        with self._alone() as connection:
            connection.exec_driver_sql("VACUUM")

    def holds_bytes(self, needles: Iterable[bytes]) -> bool:
        """Whether the files of the journal hold one of *needles*, wherever that is."""
        if self._file is None:
            return False
        patterns = list(needles)
        for file in (self._file, self._file.with_name(f"{self._file.name}-wal")):
            try:
                with (
                    file.open("rb") as opened,
                    mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data,
                ):
                    if any(data.find(needle) >= 0 for needle in patterns):
                        return True
            except (FileNotFoundError, ValueError):  # ValueError: it is empty
                continue
            except OSError as error:
                raise ArchiveError(f"{file}: cannot be read: {error.strerror}") from error
        return False

    @contextmanager
    def _transaction(self, *, write: bool = False) -> Iterator[Connection]:
        with self._told(), self._engine.begin() as connection:
            if write and self._file is not None:
                # Or two writers that have both read before would lock each other out.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            found, known = version_of(connection), newest_version()
            if found != known:
                raise ArchiveError(
                    f"JOURNAL_URL: the journal has schema version {found}, this command knows "
                    f"{known}; start the service once, which brings it up to date"
                    if found < known
                    else f"JOURNAL_URL: the journal is of a newer voicebot ({found}); install that"
                )
            yield connection

    @contextmanager
    def _alone(self) -> Iterator[Connection]:
        """A connection without a transaction."""
        with self._told(), self._engine.connect() as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise ArchiveError(
                f"JOURNAL_URL: the journal cannot be changed: {error.orig}; run this as the "
                "service's user, and again if another program had locked it"
            ) from error


_HAS_TEXT = or_(turns.c.caller_text != "", turns.c.bot_text != "")
_NOTHING: dict[Kind, dict[str, Any]] = {
    Kind.TEXTS: {"caller_text": "", "bot_text": ""},
    Kind.IDENTITIES: {"caller_name": None, "caller_number": None},
    Kind.PATHS: {"recording": None},
}


def _old(kind: Kind, before: datetime) -> tuple[Table, ColumnElement[bool]]:
    if kind is Kind.TEXTS:
        return turns, (turns.c.started_at < before) & _HAS_TEXT
    if kind is Kind.CALLBACKS:
        return callbacks, callbacks.c.requested_at < before
    if kind is Kind.PROBES:
        return calls, (calls.c.started_at < before) & (calls.c.traffic == "probe")
    filled = [calls.c[name].is_not(None) for name in _NOTHING[kind]]
    return calls, (calls.c.started_at < before) & or_(*filled)


def _key(table: Table) -> ColumnElement[Any]:
    return table.c.id


def _batches(keys: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (keys[at : at + BATCH] for at in range(0, len(keys), BATCH))
