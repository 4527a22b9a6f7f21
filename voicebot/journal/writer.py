"""The writing side of the journal: methods that never wait, and one thread that writes.

Records are committed as the call goes, all that wait in one transaction, so a killed service loses
at most what was said a moment before. What the database does to us stays here: while it is locked,
full or away, records wait in memory and are tried again with growing pauses; a record it refuses
for good is logged and given up alone. A call never notices, with one exception on purpose: whoever
promised a callback can wait for it to be stored.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Final

import structlog
from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    ProgrammingError,
    SQLAlchemyError,
    StatementError,
)

from voicebot.journal.records import (
    CallbackRequest,
    CallEndRecord,
    CallStartRecord,
    Record,
    TurnRecord,
)
from voicebot.journal.schema import (
    BUSY_SECONDS,
    JournalError,
    callbacks,
    calls,
    migrate,
    open_engine,
    turns,
    uses,
)
from voicebot.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

CAPACITY: Final = 5_000
"""Turns kept while the database is away: an hour of 20 busy calls, 5 MB. Further ones are dropped
and counted; beginnings, ends and callbacks are taken up to twice that."""
BATCH: Final = 200
FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 5.0


@dataclass(frozen=True, slots=True)
class _Item:
    record: Record
    stored: Future[int] | None = None


class Journal:
    """The journal at *url*, opened and brought up to date. Methods are thread safe.

    Raises JournalError if it cannot be opened now; later trouble is only logged and counted. The
    caller owes a :meth:`close`.
    """

    def __init__(
        self,
        url: str,
        metrics: Metrics,
        *,
        capacity: int = CAPACITY,
        first_pause: float = FIRST_PAUSE,
    ) -> None:
        self._metrics = metrics
        self._capacity = capacity
        self._first_pause = first_pause
        self._engine = open_engine(url, create=True)
        try:
            migrate(self._engine)
        except JournalError:
            self._engine.dispose()
            raise
        self._items: deque[_Item] = deque()
        self._change = threading.Condition()
        self._closing_by: float | None = None
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def call_started(self, record: CallStartRecord) -> None:
        self._put(_Item(record))

    def turn_ended(self, record: TurnRecord) -> None:
        self._put(_Item(record))

    def call_ended(self, record: CallEndRecord) -> None:
        self._put(_Item(record))

    def callback_requested(self, record: CallbackRequest) -> Future[int]:
        """Store a callback; the future has its number once it is safe, power cuts included.

        It cannot be cancelled. It fails with JournalError if the request is given up. On an event
        loop, await it with ``asyncio.wrap_future`` and a time limit of your own: while the
        database is away it stays open, and the request is still stored later.
        """
        stored: Future[int] = Future()
        stored.set_running_or_notify_cancel()
        self._put(_Item(record, stored))
        return stored

    def close(self, timeout: float = 10.0) -> bool:
        """Write what waits, for at most *timeout* s, and stop. False if something was lost."""
        with self._change:
            self._closing_by = time.monotonic() + timeout
            self._change.notify()
        self._thread.join(timeout + BUSY_SECONDS + 1.0)
        lost = list(self._items)
        if lost:
            log.error("journal records lost at the end", count=len(lost))
        if (
            not self._thread.is_alive()
        ):  # else it hangs in the disk, and the items are still its own
            self._items.clear()
            for item in lost:
                self._give_up(item, "the service stopped before the journal could be written")
        return not lost

    def _put(self, item: _Item) -> None:
        with self._change:
            room = self._capacity * (1 if isinstance(item.record, TurnRecord) else 2)
            taken = len(self._items) < room and self._closing_by is None
            if taken:
                self._items.append(item)
                self._metrics.journal_pending.set(len(self._items))
                self._change.notify()
        if not taken:
            self._give_up(item, "the journal's memory is full, or it is closed")

    def _give_up(self, item: _Item, why: str) -> None:
        self._metrics.journal_dropped.inc()
        if item.stored is not None:
            item.stored.set_exception(JournalError(f"callback request not stored: {why}"))

    def _run(self) -> None:
        pause = 0.0
        while batch := self._next(pause):
            try:
                self._commit(batch)
            except (SQLAlchemyError, ValueError, OverflowError) as error:
                if self._is_refusal(error):
                    self._commit_singly(batch)
                    continue
                self._metrics.journal_failures.inc()
                if not pause:
                    log.error(
                        "journal unavailable",
                        error=_cause(error),
                        advice="records are kept in memory and tried again; check JOURNAL_URL's "
                        "disk space, permissions and locks",
                    )
                pause = min(max(pause * 2, self._first_pause), LONGEST_PAUSE)
            else:
                if pause:
                    log.info("journal available again")
                pause = 0.0
        self._engine.dispose()

    def _next(self, pause: float) -> list[_Item]:
        """Wait *pause* s, then for records; empty when it is time to stop."""
        with self._change:
            if pause:
                self._change.wait_for(lambda: self._closing_by is not None, pause)
                if self._closing_by is not None:
                    # Closing cuts a long pause short, but must not turn it into a busy loop.
                    self._change.wait(self._first_pause)
            self._change.wait_for(lambda: self._items or self._closing_by is not None)
            if pause and self._closing_by is not None and time.monotonic() > self._closing_by:
                return []
            return list(islice(self._items, BATCH))

    def _commit(self, batch: Sequence[_Item]) -> None:
        """Write all of *batch* or nothing, then take it out of memory."""
        promise = any(item.stored is not None for item in batch)
        with self._engine.begin() as connection:
            if self._engine.dialect.name == "sqlite":
                # A promise to a person is worth waiting for the disk.
                level = "FULL" if promise else "NORMAL"
                connection.exec_driver_sql(f"PRAGMA synchronous={level}")
            keys = [_write(connection, item.record) for item in batch]
        self._metrics.journal_writes.inc()
        self._forget(batch)
        for item, key in zip(batch, keys, strict=True):
            if item.stored is not None:
                item.stored.set_result(key)

    def _commit_singly(self, batch: Sequence[_Item]) -> None:
        """*batch* holds a record the database refuses: find it, and write the others."""
        for item in batch:
            try:
                self._commit([item])
            except (SQLAlchemyError, ValueError, OverflowError) as error:
                if not self._is_refusal(error):
                    return  # the database went away meanwhile: the rest waits as usual
                log.error(
                    "journal record refused",
                    call_id=item.record.call_id,
                    kind=type(item.record).__name__,
                    error=_cause(error),
                )
                self._forget([item])
                self._give_up(item, "the database refused it")

    def _is_refusal(self, error: Exception) -> bool:
        """Whether the record is at fault, so that trying again is no use."""
        if isinstance(error, IntegrityError | DataError):
            return True
        if isinstance(error, DBAPIError):
            # SQLite reports wrong use with these; elsewhere they can be lost rights or connections.
            wrong_use = isinstance(error, InterfaceError | ProgrammingError)
            return wrong_use and self._engine.dialect.name == "sqlite"
        return isinstance(error, StatementError | ValueError | OverflowError)

    def _forget(self, batch: Sequence[_Item]) -> None:
        with self._change:
            for _ in batch:
                self._items.popleft()
            self._metrics.journal_pending.set(len(self._items))


def _cause(error: Exception) -> str:
    """What the driver said; SQLAlchemy's own text repeats the statement over many lines."""
    return str(error.orig) if isinstance(error, StatementError) and error.orig else str(error)


def _write(connection: Connection, record: Record) -> int:
    """Insert or update; returns a callback's number, else 0."""
    if isinstance(record, CallStartRecord):
        _begin(connection, record)
        return 0
    if isinstance(record, CallEndRecord):
        _ensure_call(connection, record.call_id, record.ended_at)
        _end(connection, record)
        return 0
    if isinstance(record, TurnRecord):
        _ensure_call(connection, record.call_id, record.started_at)
        connection.execute(insert(turns).values(asdict(record)))
        return 0
    _ensure_call(connection, record.call_id, record.requested_at)
    key = connection.execute(insert(callbacks).values(asdict(record))).inserted_primary_key
    assert key is not None, "one row was inserted"
    return int(key[0])


def _begin(connection: Connection, record: CallStartRecord) -> None:
    known = select(calls.c.id).where(calls.c.id == record.call_id)
    if connection.execute(known).first() is None:
        values = asdict(record)
        connection.execute(insert(calls).values(id=values.pop("call_id"), **values))
        return
    connection.execute(
        update(calls)
        .where(calls.c.id == record.call_id)
        .values(connections=calls.c.connections + 1, ended_at=None)
    )


def _ensure_call(connection: Connection, call_id: str, at: datetime) -> None:
    """A turn or a promise must not be lost because the record of its call was."""
    known = select(calls.c.id).where(calls.c.id == call_id)
    if connection.execute(known).first() is None:
        connection.execute(insert(calls).values(id=call_id, started_at=at))


def _end(connection: Connection, record: CallEndRecord) -> None:
    this = calls.c.id == record.call_id
    before = connection.execute(select(calls).where(this)).mappings().one()
    values: dict[str, Any] = {
        "ended_at": record.ended_at, "outcome": record.outcome, "ended_by": record.ended_by,
    }  # fmt: skip
    for name in ("reason", "caller_name", "caller_number"):
        if getattr(record, name) is not None:
            values[name] = getattr(record, name)
    for name in ("turns", "no_input", "no_match", "barge_ins", "transfers"):
        values[name] = before[name] + getattr(record, name)
    files = [before["recording"], record.recording]
    values["recording"] = "\n".join(file for file in files if file) or None
    connection.execute(update(calls).where(this).values(values))
    if record.uses:
        rows = [{"call_id": record.call_id, **asdict(use)} for use in record.uses]
        connection.execute(insert(uses), rows)
