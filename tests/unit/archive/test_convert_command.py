"""``voicebot convert``: all recordings of a night, on workers, one run at a time."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.archive import PIERRE, House, call_id, tone, voicebot, write_wav
from voicebot.archive import recordings
from voicebot.archive.convert import CONVERT, sources
from voicebot.archive.mp3 import State, Task
from voicebot.archive.recordings import exclusive
from voicebot.telemetry.metrics import Metrics
from voicebot.workers.pool import WorkerPool

DAY = "2026-03-14"
ROOT = Path(__file__).parents[3]


def stems(house: House, suffix: str) -> list[str]:
    return sorted(path.stem for path in house.recordings.rglob(f"*{suffix}"))


def test_a_night_s_recordings_become_mp3s_and_the_originals_go(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [house.record(n).stem for n in range(3)]
    growing = house.record(9, suffix=".wav.part")
    metrics = house.root / "convert.prom"

    assert voicebot("convert", "--all-cores", "--delete-raw", "--metrics", str(metrics)) == 0

    assert stems(house, ".mp3") == names
    assert stems(house, ".wav") == []
    assert growing.exists()
    assert sorted(house.files()) == sorted(
        [".lock", *(f"{DAY}/{n}.mp3" for n in names), f"{DAY}/{growing.name}"]
    )
    said = capsys.readouterr()
    assert said.out.startswith("3 converted (0:02 of sound); 0.0 MB freed")
    assert said.err == "", "the bar is for terminals"
    text = metrics.read_text()
    assert 'voicebot_task_items{result="done",task="convert"} 3.0' in text
    assert 'voicebot_task_last_success_timestamp_seconds{task="convert"}' in text


def test_the_conversation_of_a_call_names_the_file_that_there_is(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = house.live(1)
    assert voicebot("convert", "--all-cores", "--delete-raw") == 0
    assert voicebot("calls", call_id(1)) == 0
    assert f"recording: {recording.with_suffix('.mp3')}" in capsys.readouterr().out


def test_with_a_key_recordings_and_older_mp3s_are_encrypted(
    house: House, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = house.root / "key.txt"
    subprocess.run(["age-keygen", "-o", str(secret)], check=True, capture_output=True)
    public = secret.read_text().split("public key: ")[1].split()[0]
    recording = house.live(1)
    assert voicebot("convert", "--all-cores", "--delete-raw") == 0
    new = house.record(2)
    monkeypatch.setenv("RECORDINGS_KEY", public)
    assert voicebot("convert", "--all-cores", "--delete-raw") == 0
    assert sorted(name for name in house.files() if name[0] != ".") == [
        f"{DAY}/{stem}.mp3.age" for stem in (recording.stem, new.stem)
    ]
    assert voicebot("convert", "--all-cores", "--delete-raw") == 0
    capsys.readouterr()
    assert voicebot("calls", call_id(1)) == 0
    assert f"{recording.stem}.mp3.age" in capsys.readouterr().out
    assert voicebot("forget", PIERRE, "--yes") == 0
    assert sorted(Path(name).name for name in house.files() if name[0] != ".") == [
        f"{new.stem}.mp3.age"
    ]


def test_a_key_that_is_none_is_refused(
    house: House, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RECORDINGS_KEY", "AGE-SECRET-KEY-1ABC")
    assert voicebot("convert") == 2
    assert "RECORDINGS_KEY" in capsys.readouterr().err


def test_a_second_run_has_nothing_to_do_until_the_originals_may_go(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    house.record(1)
    assert voicebot("convert", "--all-cores") == 0
    capsys.readouterr()
    assert voicebot("convert", "--all-cores") == 0
    assert "nothing to convert" in capsys.readouterr().out
    assert voicebot("convert", "--all-cores", "--delete-raw") == 0
    assert "1 had been converted before" in capsys.readouterr().out
    assert stems(house, ".wav") == []


def test_what_cannot_be_converted_is_named_and_does_not_stop_the_others(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = house.record(1), house.record(2)
    bad.write_bytes(b"half a header")
    metrics = house.root / "convert.prom"
    metrics.write_text('voicebot_task_last_success_timestamp_seconds{task="convert"} 77.0\n')

    assert voicebot("convert", "--all-cores", "--delete-raw", "--metrics", str(metrics)) == 1

    said = capsys.readouterr().out
    assert f"{bad}: is no WAV file" in said
    assert "1 failed" in said
    assert bad.exists()
    assert not good.exists()
    text = metrics.read_text()
    assert 'result="failed",task="convert"} 1.0' in text
    assert 'last_success_timestamp_seconds{task="convert"} 77.0' in text, "it was no success"


def test_one_instance_at_a_time(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    house.record(1)
    metrics = house.root / "convert.prom"
    with exclusive(house.recordings, "backup"):
        assert voicebot("convert", "--metrics", str(metrics)) == 3
    assert f"held by backup (process {os.getpid()})" in capsys.readouterr().err
    assert stems(house, ".mp3") == []
    assert not metrics.exists(), "it is the other run's to write"


def test_scratch_of_a_killed_run_is_removed_by_the_next(house: House) -> None:
    house.record(1)
    with exclusive(house.recordings, "convert") as work:
        (work / "half.mp3.part").write_bytes(b"half")
        kept = work.rename(house.root / "kept")  # as if the process had died here
    kept.rename(house.recordings / recordings.WORK)
    assert voicebot("convert", "--all-cores") == 0
    assert recordings.WORK not in {Path(name).parts[0] for name in house.files()}


def test_a_raw_file_that_may_be_growing_waits_and_so_does_one_beside_a_wav(house: House) -> None:
    now = datetime.now(UTC)
    wav = house.record(1)
    for name, age in (("fresh", 0), ("old", 3600), (f"{DAY}/{wav.stem}", 3600)):
        raw = house.recordings / f"{name}.raw"
        raw.write_bytes(tone(0.1, channels=1))
        then = now.timestamp() - age
        os.utime(raw, (then, then))
    found = sources(house.recordings, delete=True, now=now)
    assert [file.path.name for file in found] == [wav.name, "old.raw"]
    later = sources(house.recordings, delete=True, now=now + timedelta(minutes=11))
    assert {file.path.name for file in later} == {wav.name, "old.raw", "fresh.raw"}


def test_a_recording_knows_its_call_and_its_time_by_its_name(house: House) -> None:
    house.record(5)
    (house.recordings / "sav.raw").write_bytes(b"")
    os.utime(house.recordings / "sav.raw", (1e9, 1e9))
    other, named = recordings.find(house.recordings)
    assert named.call_id == call_id(5)
    assert named.started == datetime(2026, 3, 14, 12, 0, 5, tzinfo=UTC)
    assert other.call_id is None
    assert other.started == datetime.fromtimestamp(1e9, UTC)


def test_workers_give_way_to_everything_else(tmp_path: Path) -> None:
    source = write_wav(tmp_path / "a.wav")
    task = Task(str(source), str(tmp_path), "32k", False, "call", "2026")

    async def in_a_worker() -> tuple[State, int]:
        pool = WorkerPool(sorted(os.sched_getaffinity(0))[:1], Metrics())
        await pool.start()
        try:
            outcome = await pool.run(CONVERT, task)
            return outcome.state, os.sched_getscheduler(pool.pids[0])
        finally:
            await pool.close()

    assert asyncio.run(in_a_worker()) == (State.CONVERTED, os.SCHED_IDLE)
    assert os.sched_getscheduler(0) != os.SCHED_IDLE


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=lambda s: s.name)
def test_a_run_that_is_ended_is_continued_by_the_next(house: House, how: signal.Signals) -> None:
    names = [house.record(n).stem for n in range(8)]
    running = subprocess.Popen(
        [sys.executable, "-m", "voicebot", "convert", "--all-cores", "--delete-raw"],
        cwd=ROOT, env={**os.environ, **house.environment}, stderr=subprocess.PIPE,
    )  # fmt: skip
    with running:
        deadline = time.monotonic() + 60
        while not stems(house, ".mp3") and time.monotonic() < deadline:
            time.sleep(0.005)
        running.send_signal(how)
        assert running.stderr is not None
        said = running.stderr.read().decode()
    if how is signal.SIGTERM:
        assert running.returncode == 130
        assert "it can be run again" in said
        assert recordings.WORK not in {Path(name).parts[0] for name in house.files()}
    with (house.recordings / recordings.LOCK).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # it was let go
    done = stems(house, ".mp3")
    assert done
    assert sorted({*done, *stems(house, ".wav")}) == names

    assert voicebot("convert", "--all-cores", "--delete-raw") == 0
    assert stems(house, ".mp3") == names
    assert stems(house, ".wav") == []
