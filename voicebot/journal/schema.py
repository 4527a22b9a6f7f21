"""The tables, how a database is opened, and how an older one is brought up to date.

SQLAlchemy Core, not its ORM: the journal appends rows and reads lists, and the ORM costs 5 MB more
in a process that has to stay small. SQLite is the default, and what the pragmas below are for; any
other URL works with its driver installed.

The schema has a version, kept in the table ``schema_version``. A new database gets the tables below
as they are now; an older one gets the steps of :data:`MIGRATIONS` it has not had. Only the service
migrates; the commands that read say so when the versions differ.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    Column,
    Connection,
    DateTime,
    Dialect,
    Engine,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    create_engine,
    event,
    insert,
    inspect,
    make_url,
    select,
    update,
)
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

BUSY_SECONDS = 2.0
"""How long SQLite waits for another process's lock before the write fails and is retried."""


class JournalError(Exception):
    """The journal cannot be used. ``str()`` names the setting and says what to do."""


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime, stored as UTC also where the database knows no time zones (SQLite)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("the journal takes aware datetimes only")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = MetaData()

schema_version = Table("schema_version", metadata, Column("version", Integer, primary_key=True))

calls = Table(
    "calls",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("started_at", UtcDateTime, nullable=False, index=True),
    Column("ended_at", UtcDateTime),  # empty while it lasts, and for ever if the service was killed
    Column("connections", Integer, nullable=False, default=1),
    Column("outcome", String(32)),
    Column("ended_by", String(16)),
    Column("reason", String(64)),
    Column("caller_name", Text),
    Column("caller_number", String(32), index=True),
    Column("turns", Integer, nullable=False, default=0),
    Column("no_input", Integer, nullable=False, default=0),
    Column("no_match", Integer, nullable=False, default=0),
    Column("barge_ins", Integer, nullable=False, default=0),
    Column("transfers", Integer, nullable=False, default=0),
    Column("recording", Text),  # one path a line: a call that came back has several
    Column("traffic", String(16), nullable=False, default="live"),
    Column("script_name", Text, nullable=False, default=""),
    Column("script_version", Text, nullable=False, default=""),
)

turns = Table(
    "turns",
    metadata,
    # A number of its own: a call that comes back may count its turns from 0 again.
    Column("id", Integer, primary_key=True),
    Column("call_id", ForeignKey("calls.id", ondelete="CASCADE"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("state_from", String(32), nullable=False),
    Column("state_to", String(32), nullable=False),
    Column("outcome", String(32), nullable=False),
    Column("caller_text", Text, nullable=False),
    Column("bot_text", Text, nullable=False),
    Column("understood", Text, nullable=False),
    Column("response_s", Float),
    Column("endpointing_s", Float),
    Column("stt_s", Float),
    Column("think_s", Float),
    Column("playout_s", Float),
    Index("turns_of_call", "call_id", "id"),
)

callbacks = Table(
    "callbacks",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("call_id", ForeignKey("calls.id", ondelete="SET NULL")),
    Column("requested_at", UtcDateTime, nullable=False),
    Column("number", String(32), nullable=False),
    Column("name", Text),
    Column("reason", String(64)),
    Column("done_at", UtcDateTime, index=True),
    Column("done_by", Text),
    sqlite_autoincrement=True,  # an operator notes these numbers down: never use one twice
)

uses = Table(
    "uses",
    metadata,
    # What a call used of providers that charge for it. One row a model and unit, twice for a call
    # that came back.
    Column("id", Integer, primary_key=True),
    Column("call_id", ForeignKey("calls.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("stage", String(8), nullable=False),
    Column("provider", String(32), nullable=False),
    Column("model", String(128), nullable=False),
    Column("unit", String(32), nullable=False),
    Column("amount", Float, nullable=False),
    Column("cost", Float),  # empty: the price table did not have the model
    Column("currency", String(3), nullable=False),
)

Migration = Callable[[Connection], None]


def _add_uses(connection: Connection) -> None:
    uses.create(connection)


MIGRATIONS: Sequence[Migration] = (_add_uses,)
"""Step n (from 0) leads from schema version n + 1 to n + 2. Append, and change the tables above to
match; never change a step that was released."""


def newest_version(migrations: Sequence[Migration] = MIGRATIONS) -> int:
    return 1 + len(migrations)


def open_engine(url: str, *, create: bool) -> Engine:
    """Connect lazily to *url*; with *create*, make the file (for its owner and group) if need be.

    Raises JournalError for a URL that cannot work.
    """
    parsed = _parse(url)
    path = _sqlite_file(parsed)
    try:
        if create and path is not None:
            path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640))
        # Parameters are names, numbers and what people said: never in an error text.
        engine = create_engine(parsed, hide_parameters=True)
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise JournalError(
            f"JOURNAL_URL={_shown(parsed)}: {error}; "
            "install the database's driver, or use sqlite:///var/journal.db"
        ) from error
    except OSError as error:
        raise JournalError(
            f"JOURNAL_URL={_shown(parsed)}: cannot create the file: {error.strerror}: "
            f"{error.filename}; make its folder writable for the service's user"
        ) from error
    if parsed.get_backend_name() == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
    return engine


def file_exists(url: str) -> bool:
    """False only for an SQLite journal whose file is not there. Raises JournalError."""
    path = _sqlite_file(_parse(url))
    return path is None or path.exists()


def version_of(connection: Connection) -> int:
    """Schema version of the database; 0 for an empty one."""
    if not inspect(connection).has_table(schema_version.name):
        return 0
    return connection.execute(select(schema_version.c.version)).scalar() or 0


def migrate(engine: Engine, migrations: Sequence[Migration] = MIGRATIONS) -> int:
    """Bring the database to the newest version, in one transaction; returns that version.

    Raises JournalError if it cannot be opened, or was made by a newer voicebot.
    """
    newest = newest_version(migrations)
    try:
        with engine.begin() as connection:
            if engine.dialect.name == "sqlite":
                # The driver begins a transaction with the first INSERT only, too late for DDL.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            version = version_of(connection)
            if version > newest:
                raise JournalError(
                    f"JOURNAL_URL: the journal has schema version {version}, this voicebot knows "
                    f"{newest}; install the newer voicebot again, or restore an older journal"
                )
            if version == 0:
                metadata.create_all(connection)
                connection.execute(insert(schema_version).values(version=newest))
            elif version < newest:
                for step in migrations[version - 1 :]:
                    step(connection)
                connection.execute(update(schema_version).values(version=newest))
    except DBAPIError as error:
        raise JournalError(
            f"JOURNAL_URL={_shown(engine.url)}: cannot open the journal: {error.orig}; "
            "check that it is a journal, that the disk has room, and that no other program locks it"
        ) from error
    return newest


def _parse(url: str) -> URL:
    try:
        return make_url(url)
    except ArgumentError as error:
        # Without its text: it may hold a password.
        raise JournalError(
            "JOURNAL_URL: is not a SQLAlchemy URL; write it as sqlite:///var/journal.db"
        ) from error


def _sqlite_file(url: URL) -> Path | None:
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return None
    return Path(str(url.database))


def _shown(url: URL) -> str:
    return url.render_as_string(hide_password=True)


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={int(BUSY_SECONDS * 1000)}")
    # WAL: the commands can read while the service writes, and a commit is one append.
    cursor.execute("PRAGMA journal_mode=WAL")
    # NORMAL: a commit survives the death of the process; a power cut may take the last few.
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    # What is changed or removed is overwritten, so that nobody reads an erased person's words.
    cursor.execute("PRAGMA secure_delete=ON")
    cursor.close()
