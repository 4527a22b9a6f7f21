"""The reading side of the journal, for the commands; safe while the service writes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from math import ceil
from typing import Any

from sqlalchemy import Connection, Engine, case, func, select, update
from sqlalchemy.exc import DBAPIError

from voicebot.journal.schema import (
    JournalError,
    callbacks,
    calls,
    file_exists,
    newest_version,
    open_engine,
    turns,
    uses,
    version_of,
)

Row = dict[str, Any]
"""Column names to values, as in the schema."""


def percentile(values: Iterable[float], share: float) -> float | None:
    """The nearest-rank percentile: a value that was really measured. None of nothing."""
    ordered = sorted(values)
    return ordered[max(0, ceil(share * len(ordered)) - 1)] if ordered else None


class JournalReader:
    """Reads the journal at *url*. Every method raises JournalError."""

    def __init__(self, url: str) -> None:
        if not file_exists(url):
            raise JournalError(_nothing_yet(url))
        self._url = url
        self._engine: Engine = open_engine(url, create=False)

    def close(self) -> None:
        self._engine.dispose()

    def recent(self, limit: int, *, probes: bool = False) -> list[Row]:
        """The latest calls, newest first, each with ``response_p95_s`` of its turns and ``cost`` in
        ``currency``; a cost of None: one of the models that it used had no price.

        Callers' only, or those of probes too.
        """
        with self._connection() as connection:
            query = select(calls).order_by(calls.c.started_at.desc()).limit(limit)
            if not probes:
                query = query.where(calls.c.traffic == "live")
            return _completed(connection, connection.execute(query).mappings())

    def find(self, call_id: str) -> Row:
        """The call whose id is, or begins with, *call_id*."""
        with self._connection() as connection:
            query = select(calls).where(calls.c.id.startswith(call_id.lower(), autoescape=True))
            found = _completed(connection, connection.execute(query.limit(2)).mappings())
        if not found:
            raise JournalError(f"{call_id}: no such call; `voicebot calls` lists them")
        if len(found) > 1:
            raise JournalError(f"{call_id}: several calls begin so; write more of the id")
        return found[0]

    def turns(self, call_id: str) -> list[Row]:
        """The turns of the call with exactly this id, in order."""
        query = select(turns).where(turns.c.call_id == call_id).order_by(turns.c.id)
        with self._connection() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def uses(self, call_id: str) -> list[Row]:
        """What the call with exactly this id used of providers that charge for it."""
        query = (
            select(
                uses.c.stage, uses.c.provider, uses.c.model, uses.c.unit, uses.c.currency,
                func.sum(uses.c.amount).label("amount"), _KNOWN_COST,
            )
            .where(uses.c.call_id == call_id)
            .group_by(uses.c.stage, uses.c.provider, uses.c.model, uses.c.unit, uses.c.currency)
            .order_by(uses.c.stage, uses.c.provider, uses.c.model, uses.c.unit)
        )  # fmt: skip
        with self._connection() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def callbacks(self, *, done_too: bool) -> list[Row]:
        """Callback requests, oldest first: open ones, or all."""
        query = select(callbacks).order_by(callbacks.c.id)
        if not done_too:
            query = query.where(callbacks.c.done_at.is_(None))
        with self._connection() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def mark_done(self, callback: int, *, at: datetime, by: str) -> None:
        """Note that somebody called back. Raises JournalError if it is not open."""
        wanted = callbacks.c.id == callback
        with self._connection() as connection:
            row = connection.execute(select(callbacks).where(wanted)).mappings().first()
            if row is None:
                raise JournalError(f"{callback}: no such callback; `voicebot callbacks` lists them")
            if row["done_at"] is not None:
                raise JournalError(f"{callback}: was marked done before, by {row['done_by']}")
            connection.execute(update(callbacks).where(wanted).values(done_at=at, done_by=by))

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                self._check_version(connection)
                yield connection
        except DBAPIError as error:
            raise JournalError(
                f"JOURNAL_URL: cannot read the journal: {error.orig}; "
                "run this as the service's user, or as one of its group"
            ) from error

    def _check_version(self, connection: Connection) -> None:
        found, known = version_of(connection), newest_version()
        if found == 0:
            raise JournalError(_nothing_yet(self._url))
        if found != known:
            raise JournalError(
                f"JOURNAL_URL: the journal has schema version {found}, this command knows {known}; "
                + ("restart the service" if found < known else "install the newer voicebot")
            )


_KNOWN_COST = case(
    (func.count(uses.c.cost) == func.count(), func.sum(uses.c.cost)), else_=None
).label("cost")
"""The sum, unless one of the parts is not known: a sum of the others would look like all of it."""


def _completed(connection: Connection, found: Iterable[Any]) -> list[Row]:
    rows = [dict(row) for row in found]
    _add_p95(connection, rows)
    _add_cost(connection, rows)
    return rows


def _add_cost(connection: Connection, rows: Sequence[Row]) -> None:
    query = (
        select(uses.c.call_id, func.max(uses.c.currency), _KNOWN_COST)
        .where(uses.c.call_id.in_([row["id"] for row in rows]))
        .group_by(uses.c.call_id)
    )
    costs = {call_id: (cost, currency) for call_id, currency, cost in connection.execute(query)}
    for row in rows:
        row["cost"], row["currency"] = costs.get(row["id"], (0.0, None))


def _add_p95(connection: Connection, rows: Sequence[Row]) -> None:
    responses: dict[str, list[float]] = {row["id"]: [] for row in rows}
    query = select(turns.c.call_id, turns.c.response_s).where(
        turns.c.call_id.in_(responses), turns.c.response_s.is_not(None)
    )
    for call_id, response in connection.execute(query):
        responses[call_id].append(response)
    for row in rows:
        row["response_p95_s"] = percentile(responses[row["id"]], 0.95)


def _nothing_yet(url: str) -> str:
    place = url.removeprefix("sqlite:///") if url.startswith("sqlite:///") else "JOURNAL_URL"
    return f"no journal yet at {place}: `voicebot serve` makes it when it first starts"
