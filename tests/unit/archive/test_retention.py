"""What is too old goes, each thing after its own days; the figures stay."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.archive import MARIE, House, call_id, voicebot
from voicebot.archive import records, retention
from voicebot.archive.records import Kind, Records
from voicebot.archive.retention import Limits
from voicebot.journal.reader import JournalReader

NOW = datetime.now(UTC)
Environment = Callable[..., None]


@pytest.fixture
def days(monkeypatch: pytest.MonkeyPatch) -> Environment:
    def set_days(**settings: int) -> None:
        for name, value in settings.items():
            monkeypatch.setenv(f"{name.upper()}_DAYS", str(value))

    return set_days


def ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


def test_recordings_texts_and_callbacks_go_each_after_its_own_days(
    house: House, days: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, age in enumerate((5, 15, 25, 35)):
        house.live(number, at=ago(age), callback=True)
    days(recordings=10, transcripts=20, callbacks=30)
    metrics = house.root / "retention.prom"

    assert voicebot("retention", "--metrics", str(metrics)) == 0

    out = capsys.readouterr().out
    assert "recordings         3 removed" in out
    assert "texts              2 removed, older than 20 days" in out
    assert "names and numbers  2 removed" in out
    assert "callbacks          1 removed, older than 30 days" in out
    assert [name for name in house.files() if name[0] != "."] == [
        f"{ago(5):%Y-%m-%d}/{ago(5):%H%M%S}-{call_id(0)}.wav"
    ]
    assert len([path for path in house.recordings.iterdir() if path.is_dir()]) == 1
    with closing(JournalReader(house.journal_url)) as reader:
        calls = {call["id"]: call for call in reader.recent(10)}
        texts = [reader.turns(call_id(n))[0]["caller_text"] != "" for n in range(4)]
        assert [row["call_id"] for row in reader.callbacks(done_too=True)] == [
            call_id(n) for n in range(3)
        ]
    assert texts == [True, True, False, False]
    assert [calls[call_id(n)]["caller_number"] is not None for n in range(4)] == texts
    assert [calls[call_id(n)]["recording"] is not None for n in range(4)] == [
        True, False, False, False,
    ]  # fmt: skip
    oldest = calls[call_id(3)]
    assert (oldest["outcome"], oldest["response_p95_s"]) == ("completed", 0.84)
    assert 'result="done",task="retention"} 8.0' in metrics.read_text()


def test_a_dry_run_says_the_same_and_removes_nothing(
    house: House, days: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    house.live(1, at=ago(50), callback=True)
    days(recordings=10, transcripts=10, callbacks=10)
    assert voicebot("retention", "--dry-run") == 0
    dry = capsys.readouterr().out
    assert len(house.files()) == 2  # the recording and the lock
    assert voicebot("retention") == 0
    assert capsys.readouterr().out == dry.replace("would go", "removed")
    assert len(house.files()) == 1


def test_0_days_are_for_ever(
    house: House, days: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = house.live(1, at=ago(5000), callback=True)
    days(recordings=0, transcripts=0, callbacks=0, probes=0)
    assert voicebot("retention") == 0
    assert capsys.readouterr().out.count("kept for ever") == 5
    assert recording.exists()


def test_test_calls_go_whole_and_customers_stay(
    house: House, days: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    house.live(1, at=ago(9))
    house.live(2, at=ago(9), traffic="probe")
    house.live(3, at=ago(5), traffic="probe")
    days(probes=7)
    assert voicebot("retention") == 0
    assert "test calls         1 removed, older than 7 days" in capsys.readouterr().out
    with closing(JournalReader(house.journal_url)) as reader:
        assert {call["id"] for call in reader.recent(10, probes=True)} == {call_id(1), call_id(3)}
        assert reader.turns(call_id(2)) == []


@pytest.mark.parametrize(
    ("recordings", "transcripts", "identities"),
    [(10, 20, 20), (30, 20, 30), (0, 20, 0), (10, 0, 0)],
)
def test_a_name_stays_as_long_as_there_is_something_to_find_by_it(
    recordings: int, transcripts: int, identities: int
) -> None:
    limits = Limits(recordings=recordings, transcripts=transcripts, callbacks=1, probes=1)
    assert limits.identities == identities


def test_converted_and_unfinished_recordings(house: House, days: Environment) -> None:
    old = ago(50)
    house.record(1, at=old, suffix=".mp3")
    part = house.record(2, at=old, suffix=".wav.part")
    foreign = house.recordings / f"{old:%Y-%m-%d}" / "notes.txt"
    foreign.write_text("not ours")
    days(recordings=10)
    assert voicebot("retention") == 0
    assert {part.name, foreign.name} == {Path(name).name for name in house.files()} - {".lock"}


def test_what_is_removed_is_gone_from_the_file(house: House) -> None:
    house.live(1, at=ago(50), said="Je m'appelle Barnabé Quelconque.")
    house.live(2, MARIE, at=ago(1))
    limits = Limits(recordings=10, transcripts=10, callbacks=10, probes=10)
    with closing(sqlite3.connect(house.journal_file)) as service:  # open, as a service has it
        service.execute("SELECT count(*) FROM calls").fetchone()
        with closing(Records(house.journal_url)) as opened:
            list(retention.run(house.recordings, opened, limits, now=NOW, dry=False))
        left = b"".join(file.read_bytes() for file in house.root.glob("journal.db*"))
    assert b"Quelconque" not in left
    assert b"0612345678" not in left
    assert MARIE.encode() in left


def test_a_great_deal_goes_in_many_short_transactions(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        house.live(number, at=ago(50))
    monkeypatch.setattr(records, "BATCH", 2)
    with closing(Records(house.journal_url)) as opened:
        assert opened.count(Kind.TEXTS, NOW) == 5
        assert opened.expire(Kind.TEXTS, NOW) == 5
        assert opened.count(Kind.TEXTS, NOW) == 0


def test_without_a_journal_recordings_go_all_the_same(house: House, days: Environment) -> None:
    house.record(1, at=ago(50))
    days(recordings=10)
    assert voicebot("retention") == 0
    assert not house.journal_file.exists()
    assert house.files() == [".lock"]


def test_a_journal_that_is_locked_is_named(
    house: House, days: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    house.live(1, at=ago(50))
    days(transcripts=10)
    with closing(sqlite3.connect(house.journal_file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert voicebot("retention") == 1
    assert (
        "JOURNAL_URL: the journal cannot be changed: database is locked" in capsys.readouterr().err
    )
