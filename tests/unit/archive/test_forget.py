"""A person is erased everywhere, whatever way the number is written, and nobody else is."""

from __future__ import annotations

import asyncio
import fcntl
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.archive import MARIE, NOW, PIERRE, House, call_id, voicebot
from voicebot import script_file
from voicebot.archive import ArchiveError, recordings
from voicebot.archive.erasure import Number, holding
from voicebot.archive.place import Snapshot
from voicebot.commands import forget
from voicebot.commands.machine import Machine
from voicebot.journal import CallStartRecord, Journal
from voicebot.journal.reader import JournalReader
from voicebot.prompts import learned
from voicebot.prompts.cache import PromptCache
from voicebot.telemetry.metrics import Metrics

Capture = pytest.CaptureFixture[str]
SCRIPT = script_file.load()
SPELLINGS = (
    "0612345678", "06 12 34 56 78", "06.12.34.56.78", "06-12-34-56-78", "+33612345678",
    "+33 6 12 34 56 78", "0033612345678", "+33 (0)6 12 34 56 78", "33612345678",
)  # fmt: skip


def on_disk(house: House) -> bytes:
    return b"".join(file.read_bytes() for file in house.root.glob("journal.db*"))


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_trace_goes_and_everybody_else_stays(
    house: House, spelling: str, capsys: Capture
) -> None:
    house.live(1, callback=True, said="Je suis Pierre Dupont, à Sainte-Geneviève.")
    house.live(2).with_suffix(".wav").rename(
        house.recordings / "2026-03-14" / f"120005-{call_id(2)}.mp3"
    )
    marie = house.live(3, MARIE, said="Mon wifi ne marche plus.", callback=True)

    assert voicebot("forget", spelling, "--yes") == 0

    out = capsys.readouterr().out
    for line in ("06 12 34 56 78", "calls       2", "texts       2", "callbacks   1"):
        assert line in out
    assert "recordings  2" in out
    assert "nothing is left" in out
    left = on_disk(house)
    for trace in ("0612345678", "Dupont", "Geneviève"):
        assert trace.encode() not in left
    sounds = [name for name in house.files() if name.startswith("2026")]
    assert sounds == [str(marie.relative_to(house.recordings))]
    with closing(JournalReader(house.journal_url)) as reader:
        calls = {call["id"]: call for call in reader.recent(10)}
        (callback,) = reader.callbacks(done_too=True)
        assert reader.turns(call_id(3))[0]["caller_text"] == "Mon wifi ne marche plus."
    assert callback["number"] == MARIE
    assert calls[call_id(3)]["caller_name"] == "Marie Martin"
    assert (calls[call_id(1)]["outcome"], calls[call_id(1)]["turns"]) == ("completed", 1)


def learn(house: House, *texts: str, voice: str = "a voice") -> None:
    """Put them where :mod:`voicebot.prompts.learned` keeps its own, past its safeguards."""
    shelf = PromptCache(house.cache / learned.FOLDER, voice)
    for text in texts:
        asyncio.run(shelf.add(text, b"\1\0" * 8000))


def test_a_learnt_sentence_with_the_number_or_the_name_goes_too(
    house: House, capsys: Capture
) -> None:
    """None should exist (:class:`voicebot.prompts.learned.Privacy`). If one does, it goes."""
    house.live(1)
    harmless = "Vérifiez que le câble est bien enfoncé."
    learn(house, "Je note le zéro six douze trente-quatre cinquante-six soixante-dix-huit.")
    learn(house, "Très bien dupont, je regarde.", harmless, voice="another voice")
    (house.cache / learned.FOLDER / f"{'0' * 32}.slin").write_bytes(b"whose words nobody knows")

    assert voicebot("forget", PIERRE, "--yes") == 1, "CONTROL_PORT=0: nobody can tell a service"

    out = capsys.readouterr().out
    assert "learnt      3 sentences" in out
    assert "restart it" in out
    assert PromptCache(house.cache / learned.FOLDER, "another voice").kept() == [harmless]
    assert len(house.files(house.cache)) == 2, "its audio and its note"


def test_a_learnt_sentence_is_found_without_any_call(house: House, capsys: Capture) -> None:
    house.live(3, MARIE)
    learn(house, "Je note le 06 12 34 56 78.")
    voicebot("forget", PIERRE, "--yes")
    assert "calls       0" in capsys.readouterr().out
    assert house.files(house.cache) == []


@pytest.mark.parametrize(
    ("answer", "status", "says"),
    [
        (None, 0, "no service listens on 127.0.0.1:9080"),
        ((200, b'{"released": 1}'), 0, "has let go of 1 learnt sentences"),
        ((503, b"it is starting"), 1, "did not let go of learnt sentences (503 it is starting)"),
        ((404, b"no such path"), 1, "run this again, or restart it"),
        ((0, b""), 1, "no answer"),
    ],
    ids=["not running", "running", "starting", "an older one", "hanging"],
)
def test_the_running_service_forgets_what_it_has_in_memory_or_it_is_said(
    house: House, capsys: Capture, monkeypatch: pytest.MonkeyPatch,
    answer: tuple[int, bytes] | None, status: int, says: str,
) -> None:  # fmt: skip
    house.live(3, MARIE)
    learn(house, "Je note le 06 12 34 56 78.")
    asked = []

    def post(url: str) -> tuple[int, bytes] | None:
        assert house.files(house.cache) == [], "the files are gone by then"
        asked.append(url)
        return answer

    monkeypatch.setenv("CONTROL_PORT", "9080")
    machine = Machine(post=post, fetch=lambda url: None)
    monkeypatch.setattr("voicebot.commands.forget.Machine", lambda: machine)
    assert voicebot("forget", PIERRE, "--yes") == status
    assert asked == ["http://127.0.0.1:9080/v1/learned/release"]
    out = capsys.readouterr().out
    assert says in out
    assert ("nothing is left" in out) == (status == 0)


@pytest.mark.parametrize(
    "said",
    [
        "Mon numéro, c'est le 06 12 34 56 78, voilà.",
        "C'est le zéro six, douze, trente-quatre, cinquante-six, soixante-dix-huit.",
        "06-12-34-56-78",
        "Plus 33 6 12 34 56 78.",
    ],
)
def test_a_call_in_which_the_number_was_only_said_goes_too(
    house: House, said: str, capsys: Capture
) -> None:
    recording = house.live(1, None, said=said)
    assert voicebot("forget", PIERRE, "--yes") == 0
    assert "0 that gave the number, 1 more in which it was said" in capsys.readouterr().out
    assert not recording.exists()
    with closing(JournalReader(house.journal_url)) as reader:
        assert reader.turns(call_id(1))[0]["caller_text"] == ""


@pytest.mark.parametrize("said", ["06 12 34 56 79", "106 12 34 56 78 90", "06 12. Puis 34 56."])
def test_another_number_is_another_person(house: House, said: str) -> None:
    recording = house.live(1, None, said=said)
    assert voicebot("forget", PIERRE, "--yes") == 0
    assert recording.exists()


def test_beside_a_service_that_writes(house: House) -> None:
    house.live(1)
    journal = Journal(house.journal_url, Metrics())
    try:
        assert voicebot("forget", PIERRE, "--yes") == 0
        assert PIERRE.encode() not in on_disk(house)
        journal.call_started(CallStartRecord(call_id=call_id(2), started_at=NOW))
    finally:
        assert journal.close()
    with closing(JournalReader(house.journal_url)) as reader:
        assert len(reader.recent(10)) == 2


def test_what_an_older_version_left_in_free_pages_goes(house: House) -> None:
    house.live(1)
    with closing(sqlite3.connect(house.journal_file, isolation_level=None)) as old:
        old.execute("PRAGMA secure_delete=OFF")
        old.execute("CREATE TABLE junk (text)")
        old.execute("INSERT INTO junk VALUES (?)", (f"filler {PIERRE} " * 500,))
        old.execute("DROP TABLE junk")
        old.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert PIERRE.encode() in on_disk(house)
    assert voicebot("forget", PIERRE, "--yes") == 0
    assert PIERRE.encode() not in on_disk(house)


def test_a_reader_that_does_not_end_keeps_it_from_being_proven(
    house: House, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.live(1)
    monkeypatch.setattr("voicebot.archive.records.PATIENCE", 0.0)
    monkeypatch.setattr("voicebot.journal.schema.BUSY_SECONDS", 0.01)
    with closing(sqlite3.connect(house.journal_file, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM calls").fetchone()
        assert voicebot("forget", PIERRE, "--yes") == 1
    assert "still there: the journal's write-ahead log" in capsys.readouterr().out
    assert voicebot("forget", PIERRE, "--yes") == 0


def test_it_asks_first(house: House, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = house.live(1)
    assert voicebot("forget", PIERRE) == 1  # nobody is there to answer
    said = capsys.readouterr()
    assert "calls       1" in said.out
    assert "nothing was erased" in said.err
    assert recording.exists()
    monkeypatch.setattr(forget, "_agreed", lambda: True)
    assert voicebot("forget", PIERRE) == 0
    assert not recording.exists()


def test_a_second_time_there_is_nothing(house: House, capsys: Capture) -> None:
    house.live(1)
    assert voicebot("forget", PIERRE, "--yes") == 0
    capsys.readouterr()
    assert voicebot("forget", PIERRE) == 0
    assert "calls       0" in capsys.readouterr().out
    assert recordings.read_erased(house.recordings) == {call_id(1)}


@contextmanager
def held(file: Path) -> Iterator[None]:
    """A recorder that lives has its file locked."""
    with file.open() as opened:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield


def test_the_file_of_a_crashed_call_goes_and_that_of_a_running_one_is_told_of(
    house: House, capsys: Capture
) -> None:
    house.live(1)
    crashed = house.record(1, suffix="-2.wav.part")
    running = house.record(1, suffix="-3.wav.part")
    with held(running):
        assert voicebot("forget", PIERRE, "--yes") == 1
    assert not crashed.exists()
    assert running.exists()
    assert f"call {call_id(1)} is still running" in capsys.readouterr().out


def test_a_call_that_the_service_holds_is_told_of(
    house: House, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.live(1)
    answer = json.dumps({"calls": [{"call_id": call_id(1)}, {"call_id": call_id(7)}]})
    monkeypatch.setenv("CONTROL_PORT", "9080")
    monkeypatch.setattr("voicebot.commands.forget.Machine", lambda: _Answering(answer))
    assert voicebot("forget", PIERRE, "--yes") == 1
    out = capsys.readouterr().out
    assert f"call {call_id(1)} is still running" in out
    assert call_id(7) not in out


class _Answering:
    """A machine whose service answers so."""

    def __init__(self, answer: str) -> None:
        self._answer = answer.encode()

    def fetch(self, url: str) -> bytes:
        return self._answer

    def post(self, url: str) -> tuple[int, bytes] | None:
        return 200, b'{"released": 0}'


def test_recordings_in_a_folder_that_was_used_before_go_too(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = house.live(1)
    monkeypatch.setenv("RECORDINGS_DIR", str(house.root / "new"))
    assert voicebot("forget", PIERRE, "--yes") == 0
    assert not before.exists()


def test_a_kill_between_two_steps_leaves_it_findable(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.live(1)

    def killed(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("voicebot.archive.records.Records.erase", killed)
        assert voicebot("forget", PIERRE, "--yes") == 130
    assert PIERRE.encode() in on_disk(house)
    assert voicebot("forget", PIERRE, "--yes") == 0
    assert PIERRE.encode() not in on_disk(house)


def test_backups_that_still_hold_the_person_are_named_with_their_end(
    house: House, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BACKUP_TARGET", str(house.backups))
    house.live(1)
    assert voicebot("forget", PIERRE, "--yes") == 0
    assert "no snapshot" in capsys.readouterr().out
    house.live(2)
    assert voicebot("backup") == 0
    capsys.readouterr()
    assert voicebot("forget", PIERRE, "--yes") == 0
    (name,) = (path.name for path in house.backups.iterdir())
    until = Snapshot(name, complete=True).taken + timedelta(days=30)
    out = capsys.readouterr().out
    assert f"{name} may hold it until {until.astimezone():%Y-%m-%d %H:%M:%S}" in out


def test_snapshots_from_before_the_first_call_hold_nothing() -> None:
    first, second = (Snapshot(f"2026-03-{day}T040000Z", complete=True) for day in (10, 20))
    call = datetime(2026, 3, 15, tzinfo=UTC)
    assert holding([second, first], call, 30) == [(second, second.taken + timedelta(days=30))]
    assert holding([second, first], call, 0) == [(second, None)]


@pytest.mark.parametrize("wrong", ["", "12", "Pierre Dupont", "06 12 34 5x 78", "06;DROP"])
def test_what_is_no_number_is_refused(house: House, wrong: str, capsys: Capture) -> None:
    house.live(1)
    assert voicebot("forget", wrong, "--yes") == 1
    assert "is no telephone number" in capsys.readouterr().err


def test_without_a_journal_nobody_can_be_found(house: House, capsys: Capture) -> None:
    house.record(1)
    assert voicebot("forget", PIERRE, "--yes") == 1
    assert "there is no journal" in capsys.readouterr().err


@given(st.from_regex(r"0[1-9][0-9]{8}", fullmatch=True), st.sampled_from([" ", ".", "-", "", ", "]))
def test_any_number_is_found_however_it_is_grouped(digits: str, between: str) -> None:
    number = Number(digits, SCRIPT)
    pairs = [digits[at : at + 2] for at in range(0, 10, 2)]
    assert number.said_in(f"C'est le {between.join(pairs)}.")
    assert number.is_("+33" + between.strip(",").join([digits[1], *pairs[1:]]))
    other = digits[:-1] + str((int(digits[-1]) + 1) % 10)
    assert not number.said_in(f"C'est le {other}.")
    assert not number.is_(other)


def test_a_number_in_words_is_found_behind_another_one() -> None:
    said = "Mon numéro est le zéro six douze trente-quatre cinquante-six soixante-dix-huit"
    number = Number("0612345678", SCRIPT)
    assert number.said_in(f"{said}.")
    assert number.said_in(f"Le 07 11 22 33 44, non, pardon. {said}.")
    assert not number.said_in("Le 07 11 22 33 44, non, pardon. C'est le zéro six douze.")


def test_a_foreign_number_is_compared_digit_by_digit() -> None:
    number = Number("+49 30 1234567", SCRIPT)
    assert number.is_("49301234567")
    assert number.said_in("00 49 30 1234567")
    assert not number.said_in("49 30 12345678")
    assert number.said_in("Das ist 49 30 123 45 67.")
    with pytest.raises(ArchiveError):
        Number("+49", SCRIPT)
