"""Everything is backed up, destroyed, and restored; and what is not whole is not restored."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.support.archive import MARIE, NOW, PIERRE, House, call_id, contents, destroy, voicebot
from voicebot import config
from voicebot.archive import backup, recordings, snapshot
from voicebot.archive.rsync import RsyncPlace
from voicebot.commands.settings import saved
from voicebot.commands.task import data_of
from voicebot.journal import CallStartRecord, Journal
from voicebot.journal.reader import JournalReader
from voicebot.telemetry.metrics import Metrics

ROOT = Path(__file__).parents[3]
Capture = pytest.CaptureFixture[str]


def snapshots(house: House) -> list[str]:
    return sorted(path.name for path in house.backups.iterdir())


def backed_up_at(house: House, moment: datetime, days: int = 30) -> backup.Saved:
    """A backup at a time of our choice."""
    with recordings.exclusive(house.recordings, "backup") as work:
        return backup.run(
            RsyncPlace(str(house.backups)), data_of(config.load()), work, days=days, journal=True,
            now=moment, progress=lambda what, done, total: None,
        )  # fmt: skip


def test_what_was_destroyed_comes_back(house: House, capsys: Capture) -> None:
    house.live(1, callback=True)
    house.live(2, MARIE)
    before = contents(house)
    assert voicebot("backup", str(house.backups)) == 0
    assert "1 snapshots" in capsys.readouterr().out

    destroy(house)
    assert voicebot("restore", str(house.backups)) == 0

    assert contents(house) == before
    with closing(JournalReader(house.journal_url)) as reader:
        assert {call["id"] for call in reader.recent(10)} == {call_id(1), call_id(2)}
    journal = Journal(house.journal_url, Metrics())  # and a service can go on with it
    journal.call_started(CallStartRecord(call_id=call_id(3), started_at=NOW))
    assert journal.close()
    assert recordings.WORK not in house.files()


def test_a_backup_beside_a_writing_service_is_consistent(house: House) -> None:
    house.live(1)
    journal = Journal(house.journal_url, Metrics())
    journal.call_started(CallStartRecord(call_id=call_id(2), started_at=NOW))
    growing = house.record(2, suffix=".wav.part")
    try:
        assert voicebot("backup", str(house.backups)) == 0
    finally:
        assert journal.close()
    (name,) = snapshots(house)
    assert growing.name not in "\n".join(house.files(house.backups))
    snapshot.check_journal(house.backups / name / snapshot.JOURNAL)


def test_the_checksums_need_no_voicebot(house: House) -> None:
    house.live(1)
    assert voicebot("backup", str(house.backups)) == 0
    (name,) = snapshots(house)
    subprocess.run(
        ["sha256sum", "--check", "--quiet", "--strict", "manifest.sha256"],
        cwd=house.backups / name, check=True,
    )  # fmt: skip


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove", "add", "journal", "manifest"])
def test_a_snapshot_that_is_not_whole_is_found_out_and_not_restored(
    house: House, damage: str, capsys: Capture
) -> None:
    recording = house.live(1)
    assert voicebot("backup", str(house.backups)) == 0
    (name,) = snapshots(house)
    folder = house.backups / name
    sound = next(folder.rglob("*.wav"))
    if damage == "flip":
        data = bytearray(sound.read_bytes())
        data[1000] ^= 1
        sound.write_bytes(data)
    elif damage == "truncate":
        os.truncate(sound, 1000)
    elif damage == "remove":
        sound.unlink()
    elif damage == "add":
        (folder / "recordings" / "evil.wav").write_bytes(b"!")
    elif damage == "journal":
        (folder / snapshot.JOURNAL).write_bytes(b"SQLite format 3\0")
    else:
        (folder / "manifest.sha256").unlink()
    capsys.readouterr()

    assert voicebot("restore", str(house.backups), "--check") == 1
    assert capsys.readouterr().err.startswith("restore: ")
    before = contents(house)
    assert voicebot("restore", str(house.backups), "--force") == 1
    assert contents(house) == before
    assert recording.exists()


def test_a_whole_snapshot_passes_the_check(house: House, capsys: Capture) -> None:
    house.live(1)
    assert voicebot("backup", str(house.backups)) == 0
    assert voicebot("restore", str(house.backups), "--check") == 0
    assert "every file matches its checksum" in capsys.readouterr().out


def test_a_restore_does_not_write_over_anything_unless_told_to(
    house: House, capsys: Capture
) -> None:
    house.live(1)
    assert voicebot("backup", str(house.backups)) == 0
    newer = house.live(2, MARIE)
    before = contents(house)

    assert voicebot("restore", str(house.backups)) == 1
    said = capsys.readouterr().err
    assert "has 2 recordings" in said
    assert "has calls" in said
    assert contents(house) == before

    assert voicebot("restore", str(house.backups), "--force") == 0
    with closing(JournalReader(house.journal_url)) as reader:
        assert [call["id"] for call in reader.recent(10)] == [call_id(1)]
    assert newer.exists(), "recordings of later calls are nobody's to remove"


def test_a_journal_that_is_damaged_is_in_the_way_too(house: House) -> None:
    house.live(1)
    assert voicebot("backup", str(house.backups)) == 0
    destroy(house)
    house.journal_file.write_bytes(b"no database")
    assert voicebot("restore", str(house.backups)) == 1
    assert voicebot("restore", str(house.backups), "--force") == 0


def test_whoever_was_forgotten_does_not_come_back(house: House, capsys: Capture) -> None:
    house.live(1)
    house.live(2, MARIE)
    backed_up_at(house, NOW)
    assert voicebot("forget", PIERRE, "--yes") == 0
    backed_up_at(house, NOW + timedelta(days=1))
    destroy(house)  # with the list of the erased that is kept there
    capsys.readouterr()

    older = snapshots(house)[0]
    assert voicebot("restore", str(house.backups), "--snapshot", older) == 0

    assert "1 calls erased again" in capsys.readouterr().out
    assert not any(call_id(1) in name for name in house.files())
    assert PIERRE.encode() not in house.journal_file.read_bytes()
    with closing(JournalReader(house.journal_url)) as reader:
        numbers = {call["id"]: call["caller_number"] for call in reader.recent(10)}
    assert numbers == {call_id(1): None, call_id(2): MARIE}


def test_snapshots_share_what_has_not_changed_and_grow_old(house: House) -> None:
    house.live(1)
    for day in (0, 1, 40):
        last = backed_up_at(house, NOW + timedelta(days=day))
    assert last.removed == ["2026-03-14T120005Z", "2026-03-15T120005Z"]
    assert (last.kept, snapshots(house)) == (1, [last.name])

    second = backed_up_at(house, NOW + timedelta(days=41))
    sounds = [next((house.backups / one.name).rglob("*.wav")) for one in (last, second)]
    assert sounds[0].stat().st_ino == sounds[1].stat().st_ino


def test_the_last_snapshot_stays_however_old_and_0_days_keep_all(house: House) -> None:
    house.live(1)
    backed_up_at(house, NOW)
    assert snapshots(house) == ["2026-03-14T120005Z"]
    backed_up_at(house, NOW + timedelta(days=4000), days=0)
    assert len(snapshots(house)) == 2


def test_two_backups_within_a_second_have_two_names(house: House) -> None:
    house.live(1)
    assert backed_up_at(house, NOW).name != backed_up_at(house, NOW).name


def test_settings_and_script_are_there_and_secrets_are_not(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.live(1)
    script = house.root / "l'appareil.yaml"
    shutil.copyfile(ROOT / "voicebot" / "data" / "scripts" / "sav.fr.yaml", script)
    monkeypatch.setenv("SCRIPT_FILE", str(script))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("WORKER_CORES", "0,1")
    settings = config.load()
    assert voicebot("backup", str(house.backups)) == 0
    folder = house.backups / snapshots(house)[0]
    assert (folder / snapshot.SCRIPT).read_bytes() == script.read_bytes()
    text = (folder / snapshot.SETTINGS).read_text()
    assert "sk-secret" not in text
    assert "#OPENAI_API_KEY=" in text
    assert json.loads((folder / snapshot.ABOUT).read_text())["format"] == 1

    again = config.load({"VOICEBOT_ENV_FILE": str(folder / snapshot.SETTINGS)})
    assert again.script_file == script
    assert (again.worker_cores, again.journal_url) == ((0, 1), house.journal_url)
    assert saved(again) == saved(settings).replace(
        "# OPENAI_API_KEY was set; fill it in again\n#OPENAI_API_KEY=\n", ""
    )

    destroy(house)
    assert voicebot("restore", str(house.backups)) == 0
    assert (house.root / "restored-settings.env").read_text() == text
    assert (house.root / "restored-script.yaml").exists()


def test_a_database_s_password_is_a_secret() -> None:
    settings = config.Settings(journal_url="postgresql://voicebot:hunter2@db/voicebot")
    assert "hunter2" not in saved(settings)


def test_a_journal_that_is_not_sqlite_is_left_to_its_own_tool(
    house: House, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    house.record(1)
    monkeypatch.setenv("JOURNAL_URL", "postgresql://voicebot:hunter2@db/voicebot")
    assert voicebot("backup", str(house.backups)) == 1
    said = capsys.readouterr().err
    assert "pg_dump" in said
    assert "hunter2" not in said
    assert voicebot("backup", str(house.backups), "--without-journal") == 0
    assert voicebot("restore", str(house.backups), "--check") == 0


def test_a_backup_that_fails_says_why_and_is_no_success(house: House, capsys: Capture) -> None:
    house.live(1)
    in_the_way = house.root / "file"
    in_the_way.write_text("")
    metrics = house.root / "backup.prom"
    assert voicebot("backup", str(in_the_way), "--metrics", str(metrics)) == 1
    assert "rsync failed" in capsys.readouterr().err
    assert "last_success" not in metrics.read_text()
    assert house.live(2).exists()


def test_nothing_to_restore_from(house: House, capsys: Capture) -> None:
    assert voicebot("restore", str(house.backups)) == 1
    assert "no complete snapshot" in capsys.readouterr().err
    house.live(1)
    backed_up_at(house, NOW)
    destroy(house)
    assert voicebot("restore", str(house.backups), "--snapshot", "2020-01-01T000000Z") == 1
    assert "the latest is 2026-03-14T120005Z" in capsys.readouterr().err
    assert voicebot("restore", str(house.backups), "--list") == 0
    assert capsys.readouterr().out == "2026-03-14T120005Z\n"


def test_killed_at_any_moment_a_backup_leaves_nothing_that_would_be_restored(
    house: House,
) -> None:
    for number in range(4):
        house.live(number)
    before = contents(house)
    command = [sys.executable, "-m", "voicebot", "backup", str(house.backups)]
    environment = {**os.environ, **house.environment}
    started = time.monotonic()
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    usual = time.monotonic() - started
    for number in range(10):
        running = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, start_new_session=True
        )
        with running:
            time.sleep(usual * (0.4 + number * 0.06))
            os.killpg(running.pid, signal.SIGKILL)  # with the rsync that it runs

    assert contents(house) == before
    assert voicebot("backup", str(house.backups)) == 0
    whole = [one for one in RsyncPlace(str(house.backups)).snapshots() if one.complete]
    assert snapshots(house) == [one.name for one in whole], "what was cut off has been removed"
    for one in whole:
        assert voicebot("restore", str(house.backups), "--check", "--snapshot", one.name) == 0
