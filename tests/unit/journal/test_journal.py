"""The journal: what is told is kept, whatever happens to the database or the process."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import textwrap
import threading
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError, OperationalError

from tests.support.journals import (
    CALL,
    NOON,
    ended,
    journal_at,
    reading,
    started,
    turn,
    url_of,
    used,
    value,
)
from voicebot.journal import (
    CallbackRequest,
    CallEndRecord,
    CallStartRecord,
    Journal,
    JournalError,
    writer,
)
from voicebot.journal.reader import percentile
from voicebot.telemetry.metrics import Metrics


def test_a_call_with_its_turns_is_read_back_as_it_was_told(tmp_path: Path) -> None:
    with journal_at(url_of(tmp_path)) as journal:
        journal.call_started(started(script_name="SAV", script_version="1"))
        journal.turn_ended(turn(0, bot_text="Bonjour !"))
        journal.turn_ended(
            turn(1, caller_text="Ma box ne marche plus.", understood="internet", response_s=0.84)
        )
        journal.call_ended(
            ended(caller_name="Zoé Lefèvre", caller_number="0612345678", turns=1, recording="a.wav")
        )
    with reading(url_of(tmp_path)) as reader:
        (call,) = reader.recent(10)
        turns = reader.turns(CALL)
    assert call["started_at"] == NOON
    assert call["ended_at"] == NOON + timedelta(seconds=102)
    assert (call["caller_name"], call["caller_number"]) == ("Zoé Lefèvre", "0612345678")
    assert (call["outcome"], call["turns"], call["recording"]) == ("completed", 1, "a.wav")
    assert (call["traffic"], call["script_name"]) == ("live", "SAV")
    assert call["response_p95_s"] == 0.84
    assert [t["number"] for t in turns] == [0, 1]
    assert turns[1]["caller_text"] == "Ma box ne marche plus."
    assert turns[0]["response_s"] is None


def test_a_call_that_comes_back_is_one_call_with_the_figures_of_both(tmp_path: Path) -> None:
    with journal_at(url_of(tmp_path)) as journal:
        journal.call_started(started())
        journal.call_ended(
            ended(outcome="transferred", turns=3, transfers=1, caller_name="Ana", recording="1.wav")
        )
        journal.call_started(started())
        journal.turn_ended(turn(0))
        journal.call_ended(ended(outcome="callback", turns=2, recording="2.wav"))
    with reading(url_of(tmp_path)) as reader:
        (call,) = reader.recent(10)
    assert (call["connections"], call["turns"], call["transfers"]) == (2, 5, 1)
    assert (call["outcome"], call["caller_name"]) == ("callback", "Ana")
    assert call["recording"].splitlines() == ["1.wav", "2.wav"]


def test_a_promise_waits_for_the_disk_and_nothing_else_does(tmp_path: Path) -> None:
    levels: list[str] = []

    def executed(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "synchronous" in statement:
            levels.append(statement.rpartition("=")[2])

    with journal_at(url_of(tmp_path)) as journal:
        event.listen(journal._engine, "before_cursor_execute", executed)
        request = CallbackRequest(call_id=CALL, requested_at=NOON, number="0612345678")
        journal.callback_requested(request).result(10)
        journal.turn_ended(turn(0))
    assert levels == ["FULL", "NORMAL"]


def test_a_record_that_is_refused_takes_none_with_it_when_the_database_goes_away_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_write = writer._write
    outages = [OperationalError("insert", {}, Exception("database is locked"))]

    def write(connection: Any, record: Any) -> int:
        if getattr(record, "number", None) == 1:
            raise IntegrityError("insert", {}, Exception("refused"))
        if getattr(record, "number", None) == 2 and outages:
            raise outages.pop()
        return real_write(connection, record)

    monkeypatch.setattr(writer, "_write", write)
    metrics = Metrics()
    with (
        journal_at(url_of(tmp_path), metrics, first_pause=0.01) as journal,
        journal._change,  # all three are written together
    ):
        for number in range(3):
            journal.turn_ended(turn(number))
    with reading(url_of(tmp_path)) as reader:
        assert [row["number"] for row in reader.turns(CALL)] == [0, 2]
    assert value(metrics, "voicebot_journal_dropped_records_total") == 1


def test_a_promised_callback_is_safe_before_the_caller_is_told(tmp_path: Path) -> None:
    async def conversation() -> int:
        request = CallbackRequest(call_id=CALL, requested_at=NOON, number="0612345678")
        return await asyncio.wait_for(
            asyncio.wrap_future(journal.callback_requested(request)), timeout=10
        )

    with journal_at(url_of(tmp_path)) as journal:
        number = asyncio.run(conversation())
        # Another connection sees it now, not when the journal closes.
        with closing(sqlite3.connect(tmp_path / "var/journal.db")) as other:
            assert other.execute("SELECT id, number, call_id FROM callbacks").fetchall() == [
                (number, "0612345678", CALL)
            ]


def test_a_callback_is_stored_although_its_call_is_unknown_and_nobody_waits(tmp_path: Path) -> None:
    request = CallbackRequest(call_id="lost", requested_at=NOON, number="1", name="A", reason="b")

    async def impatient() -> None:
        waiting = asyncio.wrap_future(journal.callback_requested(request))
        waiting.cancel()

    with journal_at(url_of(tmp_path)) as journal:
        asyncio.run(impatient())
    with reading(url_of(tmp_path)) as reader:
        (row,) = reader.callbacks(done_too=False)
        assert (row["name"], row["reason"]) == ("A", "b")
        assert reader.find("lost")["started_at"] == NOON


def test_a_callback_is_done_once(tmp_path: Path) -> None:
    with journal_at(url_of(tmp_path)) as journal:
        for number in ("1", "2"):
            request = CallbackRequest(call_id=CALL, requested_at=NOON, number=number)
            journal.callback_requested(request).result(10)
        with reading(url_of(tmp_path)) as reader:
            reader.mark_done(1, at=NOON, by="alice")
            assert [row["number"] for row in reader.callbacks(done_too=False)] == ["2"]
            assert [row["done_by"] for row in reader.callbacks(done_too=True)] == ["alice", None]
            with pytest.raises(JournalError, match="before, by alice"):
                reader.mark_done(1, at=NOON, by="bob")
            with pytest.raises(JournalError, match="no such callback"):
                reader.mark_done(9, at=NOON, by="bob")


def test_a_locked_database_only_delays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voicebot.journal.schema.BUSY_SECONDS", 0.01)
    metrics = Metrics()
    with journal_at(url_of(tmp_path), metrics, first_pause=0.005) as journal:
        other = sqlite3.connect(tmp_path / "var/journal.db", isolation_level=None)
        with closing(other):
            other.execute("BEGIN IMMEDIATE")
            journal.call_started(started())
            request = CallbackRequest(call_id=CALL, requested_at=NOON, number="1")
            stored = journal.callback_requested(request)
            while not value(metrics, "voicebot_journal_failures_total"):
                threading.Event().wait(0.005)
            assert not stored.done()
            assert value(metrics, "voicebot_journal_pending_records") == 2
            other.execute("ROLLBACK")
        assert stored.result(10) == 1
    assert value(metrics, "voicebot_journal_pending_records") == 0
    assert value(metrics, "voicebot_journal_dropped_records_total") == 0


def test_at_the_bound_turns_are_dropped_and_promises_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voicebot.journal.schema.BUSY_SECONDS", 0.01)
    metrics = Metrics()
    with journal_at(url_of(tmp_path), metrics, capacity=4, first_pause=0.005) as journal:
        other = sqlite3.connect(tmp_path / "var/journal.db", isolation_level=None)
        with closing(other):
            other.execute("BEGIN IMMEDIATE")
            for number in range(10):
                journal.turn_ended(turn(number))
            request = CallbackRequest(call_id=CALL, requested_at=NOON, number="1")
            futures = [journal.callback_requested(request) for _ in range(5)]
            assert value(metrics, "voicebot_journal_dropped_records_total") == 6 + 1
            other.execute("ROLLBACK")
        assert [future.result(10) for future in futures[:4]] == [1, 2, 3, 4]
        with pytest.raises(JournalError, match="not stored"):
            futures[4].result(10)
    with reading(url_of(tmp_path)) as reader:
        assert [row["number"] for row in reader.turns(CALL)] == [0, 1, 2, 3]


def test_a_record_the_database_refuses_does_not_hold_up_the_others(tmp_path: Path) -> None:
    metrics = Metrics()
    with journal_at(url_of(tmp_path), metrics) as journal:
        journal.call_started(started())
        journal.turn_ended(turn(1))
        journal.turn_ended(turn(2, started_at=datetime(2026, 3, 14)))
        journal.turn_ended(turn(3, caller_text="\ud800"))
        journal.turn_ended(turn(4, state_to=None))
        journal.turn_ended(turn(5))
        journal.call_ended(ended())
    with reading(url_of(tmp_path)) as reader:
        assert [row["number"] for row in reader.turns(CALL)] == [1, 5]
        assert reader.recent(1)[0]["outcome"] == "completed"
    assert value(metrics, "voicebot_journal_dropped_records_total") == 3
    assert value(metrics, "voicebot_journal_failures_total") == 0


def test_closing_gives_up_in_time_and_says_what_was_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voicebot.journal.schema.BUSY_SECONDS", 0.01)
    journal = Journal(url_of(tmp_path), Metrics(), first_pause=0.005)
    with closing(sqlite3.connect(tmp_path / "var/journal.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        request = CallbackRequest(call_id=CALL, requested_at=NOON, number="1")
        stored = journal.callback_requested(request)
        assert not journal.close(timeout=0.05)
    with pytest.raises(JournalError, match="stopped before"):
        stored.result(0)
    with pytest.raises(JournalError, match="closed"):
        journal.callback_requested(request).result(0)


def test_times_of_any_zone_are_kept_as_the_same_instant(tmp_path: Path) -> None:
    paris = timezone(timedelta(hours=2))
    with journal_at(url_of(tmp_path)) as journal:
        journal.call_started(CallStartRecord(call_id=CALL, started_at=NOON.astimezone(paris)))
    with reading(url_of(tmp_path)) as reader:
        assert reader.find(CALL)["started_at"] == NOON


def test_what_a_call_used_is_kept_and_summed_over_its_returns(tmp_path: Path) -> None:
    with journal_at(url_of(tmp_path)) as journal:
        for ending in ((used("a", 10, 0.01),), (used("a", 5, 0.005), used("b", 1, 0.1))):
            journal.call_started(started(CALL))
            journal.call_ended(
                CallEndRecord(call_id=CALL, ended_at=NOON, outcome="x", ended_by="bot", uses=ending)
            )
        journal.call_started(started("unpriced"))
        journal.call_ended(
            CallEndRecord(
                call_id="unpriced", ended_at=NOON, outcome="x", ended_by="bot",
                uses=(used("a", 10, 0.01), used("c", 1, None)),
            )
        )  # fmt: skip
        journal.call_started(started("free"))
    with reading(url_of(tmp_path)) as reader:
        assert [(row["model"], row["amount"]) for row in reader.uses(CALL)] == [("a", 15), ("b", 1)]
        costs = {row["id"]: (row["cost"], row["currency"]) for row in reader.recent(9)}
    assert costs[CALL] == (pytest.approx(0.115), "EUR")
    assert costs["unpriced"] == (None, "EUR"), "a part of a sum must not pass for the sum"
    assert costs["free"] == (0.0, None)


def test_a_call_is_found_by_the_beginning_of_its_id(tmp_path: Path) -> None:
    with journal_at(url_of(tmp_path)) as journal:
        for call_id in ("aaa-1", "aaa-2", "bbb"):
            journal.call_started(started(call_id))
    with reading(url_of(tmp_path)) as reader:
        assert reader.find("bb")["id"] == "bbb"
        with pytest.raises(JournalError, match="several"):
            reader.find("aaa")
        for nobody in ("zzz", "%", "_"):
            with pytest.raises(JournalError, match="no such call"):
                reader.find(nobody)


@pytest.mark.parametrize(
    ("values", "expected"), [([], None), ([2.0], 2.0), (range(1, 101), 95), ([3, 1, 2], 3)]
)
def test_a_percentile_is_a_value_that_was_measured(values: Any, expected: float | None) -> None:
    assert percentile(values, 0.95) == expected


WRITER = """
    import sys
    from datetime import UTC, datetime
    from voicebot.journal import CallbackRequest, CallStartRecord, Journal, TurnRecord
    from voicebot.telemetry.metrics import Metrics
    journal = Journal(sys.argv[1], Metrics())
    now = datetime.now(UTC)
    for n in range(100_000):
        call = f"call-{n}"
        journal.call_started(CallStartRecord(call_id=call, started_at=now))
        journal.turn_ended(TurnRecord(call_id=call, number=1, started_at=now, state_from="a",
                                      state_to="b", outcome="answered", caller_text="x" * 500))
        request = CallbackRequest(call_id=call, requested_at=now, number=str(n))
        print(n, journal.callback_requested(request).result(), flush=True)
"""


def test_kill_9_loses_nothing_that_was_committed(tmp_path: Path) -> None:
    program = [sys.executable, "-c", textwrap.dedent(WRITER), url_of(tmp_path)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        promised = [next(process.stdout) for _ in range(30)]
        process.kill()
        promised += [line for line in process.stdout if line.endswith("\n")]
    with journal_at(url_of(tmp_path)), reading(url_of(tmp_path)) as reader:
        stored = {f"{row['number']} {row['id']}\n" for row in reader.callbacks(done_too=True)}
        assert set(promised) <= stored
        assert len(reader.turns("call-29")) == 1
    with closing(sqlite3.connect(tmp_path / "var/journal.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
