"""Whatever keeps the backups, what was destroyed comes back: over SSH, from repositories."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.support import servers
from tests.support.archive import MARIE, NOW, PIERRE, House, call_id, contents, destroy, voicebot
from voicebot import config
from voicebot.archive import ArchiveError, backup, recordings
from voicebot.archive.place import Snapshot
from voicebot.commands.task import data_of, place_of

ROOT = Path(__file__).parents[3]
Capture = pytest.CaptureFixture[str]
KEY = "a passphrase, not a password"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with servers.object_store(tmp_path_factory.mktemp("s3")) as url:
        yield url


@pytest.fixture(params=["folder", "object-store"])
def repository(
    request: pytest.FixtureRequest, house: House, store: str, monkeypatch: pytest.MonkeyPatch
) -> str:
    """An encrypted target that does not exist yet, set in the settings."""
    monkeypatch.setenv("CACHE_DIR", str(house.root / "cache"))
    monkeypatch.setenv("BACKUP_KEY", KEY)
    target = f"restic:{house.root}/repository"
    if request.param == "object-store":
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("BACKUP_ACCESS_KEY", "an identity")
        monkeypatch.setenv("BACKUP_SECRET_KEY", "its secret")
        bucket = f"backups-{house.root.name.lower().replace('_', '-')[-40:].strip('-')}"
        target = f"restic:s3:{store}/{bucket}/sav"
    monkeypatch.setenv("BACKUP_TARGET", target)
    return target


def saved_at(house: House, moment: datetime, days: int = 30) -> backup.Saved:
    with recordings.exclusive(house.recordings, "backup") as work:
        settings = config.load()
        return backup.run(
            place_of(settings), data_of(settings), work, days=days, journal=True, now=moment,
            progress=lambda what, done, total: None,
        )  # fmt: skip


def test_what_was_destroyed_comes_back(house: House, repository: str, capsys: Capture) -> None:
    house.live(1, callback=True)
    house.live(2, MARIE)
    before = contents(house)
    assert voicebot("restore", "--list") == 0, "nothing is there, and that is no fault"
    assert voicebot("backup") == 0
    assert voicebot("restore", "--check") == 0
    assert "every file matches its checksum" in capsys.readouterr().out

    destroy(house)
    shutil.rmtree(house.root / "cache", ignore_errors=True)  # another machine
    assert voicebot("restore") == 0
    assert contents(house) == before


def test_nothing_can_be_read_without_the_key(
    house: House, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("CACHE_DIR", str(house.root / "cache"))
    monkeypatch.setenv("BACKUP_TARGET", f"restic:{house.root}/repository")
    house.live(1)
    assert voicebot("backup") == 1
    assert "BACKUP_KEY" in capsys.readouterr().err

    monkeypatch.setenv("BACKUP_KEY", KEY)
    assert voicebot("backup") == 0
    stored = b"".join(
        path.read_bytes() for path in (house.root / "repository").rglob("*") if path.is_file()
    )
    for secret in (PIERRE, "Dupont", call_id(1), "RIFF", KEY):
        assert secret.encode() not in stored

    monkeypatch.setenv("BACKUP_KEY", "another one")
    assert voicebot("restore", "--check") == 1
    said = capsys.readouterr().err
    assert "BACKUP_KEY is not the one that it was made with" in said
    assert KEY not in said


def test_what_has_not_changed_is_not_sent_again_and_old_snapshots_go(
    house: House, repository: str
) -> None:
    house.live(1)
    house.write_noise(2, megabytes=1)
    for day in (0, 1, 40):
        last = saved_at(house, NOW + timedelta(days=day))
    assert last.removed == ["2026-03-14T120005Z", "2026-03-15T120005Z"]
    assert place_of(config.load()).snapshots() == [Snapshot(last.name, complete=True)]
    if (house.root / "repository").exists():
        stored = sum(
            p.stat().st_size for p in (house.root / "repository").rglob("*") if p.is_file()
        )
        assert stored < 1_500_000, "the megabyte is there once"


def test_whoever_was_forgotten_does_not_come_back(house: House, repository: str) -> None:
    house.live(1)
    house.live(2, MARIE)
    first = saved_at(house, NOW)
    assert voicebot("forget", PIERRE, "--yes") == 0
    saved_at(house, NOW + timedelta(days=1))
    destroy(house)
    assert voicebot("restore", "--snapshot", first.name) == 0
    assert not any(call_id(1) in name for name in house.files())
    assert PIERRE.encode() not in house.journal_file.read_bytes()
    assert MARIE.encode() in house.journal_file.read_bytes()


def test_killed_at_some_moments_it_can_be_gone_on_with(house: House, repository: str) -> None:
    for number in range(3):
        house.live(number)
    assert voicebot("backup") == 0
    command = [sys.executable, "-m", "voicebot", "backup"]
    for number in range(3):
        house.live(10 + number)
        with subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as running:
            time.sleep(0.5 + 0.4 * number)
            running.send_signal(signal.SIGKILL)
        assert orphans(house.root) == []
    assert voicebot("backup") == 0
    for snapshot in place_of(config.load()).snapshots():
        assert voicebot("restore", "--check", "--snapshot", snapshot.name) == 0
    assert recordings.WORK not in {Path(name).parts[0] for name in house.files()}


def orphans(below: Path) -> list[str]:
    """Commands that still work for *below* a moment after their task was killed."""
    deadline = time.monotonic() + 5
    while True:
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                words = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
                program = (process / "exe").readlink().name
            except OSError:
                continue
            if str(below).encode() in words and program in {"restic", "rsync", "ffmpeg", "age"}:
                found.append(program)
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.02)


def test_a_store_that_does_not_answer_is_named(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CACHE_DIR", str(house.root / "cache"))
    monkeypatch.setenv("BACKUP_KEY", KEY)
    place = place_of(
        config.load(), f"restic:rest:http://user:hunter2@127.0.0.1:{servers.free_port()}/"
    )
    with pytest.raises(ArchiveError, match=r"restic failed .*refused") as caught:
        place.snapshots()
    assert "hunter2" not in str(place)
    assert KEY not in str(caught.value)


def test_without_restic_it_says_so(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("BACKUP_KEY", KEY)
    with pytest.raises(ArchiveError, match="apt-get install restic"):
        place_of(config.load(), "restic:/srv/repository").snapshots()


@pytest.mark.parametrize("held", [False, True], ids=["shell", "held to rrsync"])
def test_over_real_ssh(house: House, monkeypatch: pytest.MonkeyPatch, held: bool) -> None:
    house.live(1, callback=True)
    house.live(2, MARIE)
    before = contents(house)
    house.backups.mkdir()
    options = f'command="rrsync {house.backups}"' if held else ""
    with servers.ssh_server(house.root, options) as server:
        monkeypatch.setenv("RSYNC_RSH", server.rsh)
        target = f"{server.user}@127.0.0.1:{'/' if held else house.backups}"
        monkeypatch.setenv("BACKUP_TARGET", target)
        assert voicebot("backup") == 0
        assert voicebot("backup") == 0, "the second, that shares"
        sounds = {p.stat().st_ino for p in house.backups.rglob("*.wav")}
        assert len(sounds) == 2
        destroy(house)
        assert voicebot("restore") == 0
    assert contents(house) == before
    assert os.listdir(house.root / "home") == [".ssh"], "nothing went anywhere else"  # noqa: PTH208
