"""The journal's file: who may read it, what is refused as one, how an older one is brought on."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from tests.support.journals import (
    CALL,
    NOON,
    journal_at,
    reading,
    started,
    url_of,
    used,
)
from voicebot.journal import (
    CallEndRecord,
    Journal,
    JournalError,
)
from voicebot.journal.reader import JournalReader
from voicebot.journal.schema import (
    MIGRATIONS,
    metadata,
    migrate,
    newest_version,
    open_engine,
    uses,
    version_of,
)
from voicebot.telemetry.metrics import Metrics


def test_the_file_is_for_its_owner_and_group_and_readable_while_written(tmp_path: Path) -> None:
    with journal_at(url_of(tmp_path)):
        file = tmp_path / "var/journal.db"
        assert stat.S_IMODE(file.stat().st_mode) & 0o027 == 0
        with closing(sqlite3.connect(file)) as other:
            assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("nonsense", "JOURNAL_URL"),
        ("nosuchdb://host/x", "driver"),
        ("sqlite:////proc/never/journal.db", "cannot create the file"),
    ],
)
def test_a_journal_that_cannot_work_is_refused_at_start(url: str, complaint: str) -> None:
    with pytest.raises(JournalError, match=complaint):
        Journal(url, Metrics())


def test_a_file_that_is_no_journal_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "journal.db"
    file.write_bytes(b"these are not the rows you are looking for" * 100)
    before = file.read_bytes()
    with pytest.raises(JournalError, match="not a database"):
        Journal(f"sqlite:///{file}", Metrics())
    assert file.read_bytes() == before


def test_an_older_journal_is_brought_up_to_date_once_and_a_newer_one_refused(
    tmp_path: Path,
) -> None:
    def add_column(connection: Connection) -> None:
        connection.execute(text("ALTER TABLE calls ADD COLUMN mood TEXT"))

    def fail(connection: Connection) -> None:
        connection.execute(text("CREATE TABLE half_done (x INTEGER)"))
        raise ZeroDivisionError

    engine = open_engine(url_of(tmp_path), create=True)
    try:
        assert migrate(engine, []) == 1
        with pytest.raises(ZeroDivisionError):
            migrate(engine, [fail])
        assert migrate(engine, [add_column]) == 2
        assert migrate(engine, [add_column]) == 2
        with engine.connect() as connection:
            assert version_of(connection) == 2
            assert connection.execute(text("SELECT mood FROM calls")).all() == []
            tables = connection.execute(text("SELECT name FROM sqlite_master")).scalars().all()
        assert "half_done" not in tables
        newer = [add_column, *[lambda connection: None] * len(MIGRATIONS)]
        assert migrate(engine, newer) == newest_version() + 1
    finally:
        engine.dispose()
    with pytest.raises(JournalError, match=f"schema version {newest_version() + 1}"):
        Journal(url_of(tmp_path), Metrics())
    with reading(url_of(tmp_path)) as reader, pytest.raises(JournalError, match="newer voicebot"):
        reader.recent(1)


def test_a_journal_of_the_first_version_gets_what_it_lacks(tmp_path: Path) -> None:
    engine = open_engine(url_of(tmp_path), create=True)
    with engine.begin() as connection:
        metadata.create_all(connection, tables=[t for t in metadata.sorted_tables if t is not uses])
        connection.execute(text("INSERT INTO schema_version VALUES (1)"))
    engine.dispose()
    with journal_at(url_of(tmp_path)) as journal:
        journal.call_started(started(CALL))
        journal.call_ended(
            CallEndRecord(
                call_id=CALL, ended_at=NOON, outcome="x", ended_by="bot", uses=(used("a", 1, 2.0),)
            )
        )
    with reading(url_of(tmp_path)) as reader:
        assert reader.recent(1)[0]["cost"] == 2.0


def test_reading_before_the_service_ever_ran_says_so(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="no journal yet"):
        JournalReader(url_of(tmp_path))
    assert list(tmp_path.iterdir()) == []
