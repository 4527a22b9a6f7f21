"""kill -9 at random moments of recording, converting and backing up: what is lost, what is left.

``python -m bench.kills --times 200``, or ``make kills``. Exit status 0 if nothing was lost beyond
the last 100 ms of a recording, and there is no half MP3, no broken snapshot, no process and no file
that does not belong there. It works in a temporary folder, with nothing of this machine's.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import time
import wave
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.converting import make_recordings
from voicebot.archive import ArchiveError, mp3
from voicebot.archive.restore import check
from voicebot.archive.rsync import RsyncPlace
from voicebot.audio.pcm import FRAME_SAMPLES
from voicebot.call.recording_file import recover
from voicebot.telemetry import logs

CALLS = 4
"""Recorded at once."""
WRITER = textwrap.dedent("""
    import mmap, pathlib, struct, sys, time
    from voicebot.call.recorder import Recorder
    from voicebot.telemetry.metrics import Metrics
    folder, calls, counter = pathlib.Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    with open(counter, "r+b") as file:
        count = mmap.mmap(file.fileno(), 8)  # outlives us, as the page cache does
    recorder = Recorder(folder, Metrics())
    recordings = [recorder.open(f"call-{n}") for n in range(calls)]
    started = time.monotonic()
    for frame in range(1, 50 * 60):
        for recording in recordings:
            recording.write((frame % 30000).to_bytes(2, "little") * 160, bytes(320))
        struct.pack_into("<Q", count, 0, frame)
        time.sleep(max(0.0, started + 0.02 * frame - time.monotonic()))
""")
MOST_LOST = 5
"""Frames, of 20 ms: what a kill may cost a recording."""
SHORT = 12
"""Seconds of a recording that is converted: enough to be killed in the middle."""
PROGRAMS = {"ffmpeg", "rsync", "restic", "age"}


@dataclass(slots=True)
class Found:
    """What one kind of work showed."""

    kills: int = 0
    faults: list[str] = field(default_factory=list)
    numbers: dict[str, float] = field(default_factory=dict)

    def need(self, good: bool, fault: str) -> None:
        if not good:
            self.faults.append(f"kill {self.kills}: {fault}")


def recording(folder: Path, times: int, rng: random.Random) -> Found:
    """Calls in real time, at the pace of their frames."""
    found = Found()
    lost_most = 0
    for _ in range(times):
        found.kills += 1
        here = folder / f"recording-{found.kills}"
        here.mkdir()
        counter = folder / "counter"
        counter.write_bytes(bytes(8))
        with started([sys.executable, "-c", WRITER, str(here), str(CALLS), str(counter)]) as writer:
            while int.from_bytes(counter.read_bytes(), "little") < 1:
                time.sleep(0.002)
            time.sleep(rng.uniform(0.05, 1.5))
            writer.kill()
        written = int.from_bytes(counter.read_bytes(), "little")
        finished = recover(here)
        found.need(
            len(finished) == CALLS or written < MOST_LOST,
            f"{len(finished)} of {CALLS} recordings came back",
        )
        for path in finished:
            with wave.open(str(path)) as file:
                left = file.readframes(file.getnframes())[0::4]
                whole = file.getnframes() // FRAME_SAMPLES
            wrong = [n for n in range(whole) if left[n * FRAME_SAMPLES] != (n + 1) % 30000 % 256]
            found.need(not wrong, f"{path.name}: frame {wrong[:1]} is not what was written")
            lost = written - whole
            found.need(lost <= MOST_LOST, f"{lost} frames of {written} were lost")
            lost_most = max(lost_most, lost)
        found.need(not list(here.rglob("*.part")), "a .part file is left")
        shutil.rmtree(here)
    found.numbers["recording_lost_most_ms"] = 20.0 * lost_most
    return found


def converting(folder: Path, times: int, rng: random.Random) -> Found:
    """``voicebot convert --delete-raw``, killed with its workers and encoders at work."""
    found = Found()
    night = folder / "night"
    night.mkdir()
    command = [
        sys.executable, "-m", "voicebot", "convert", str(night), "--delete-raw", "--all-cores",
    ]  # fmt: skip
    _short_recordings(night)
    began = time.monotonic()
    found.need(_run(command, CONTROL_PORT="0"), "the first run failed")
    usual = time.monotonic() - began
    stems = _short_recordings(night)
    converted = 0
    for _ in range(times):
        found.kills += 1
        with started(command, CONTROL_PORT="0") as running:
            time.sleep(rng.uniform(0.2, 1.1) * usual)
            running.kill()
        found.need(not orphans(night), f"left at work: {orphans(night)}")
        wavs = {path.stem for path in night.rglob("*.wav")}
        mp3s = list(night.rglob("*.mp3"))
        lost = stems - wavs - {path.stem for path in mp3s}
        found.need(not lost, f"in neither form: {lost}")
        for path in mp3s:
            try:
                length = mp3._decoded(path).seconds
            except mp3._FaultyError as error:
                found.need(False, f"half an MP3: {error}")
            else:
                found.need(abs(length - SHORT) < 0.2, f"{path.name} has {length} s")
        others = {p.name for p in night.rglob("*.*") if p.suffix not in {".wav", ".mp3"}}
        strange = others - {".lock", ".work"} - parts(night)
        found.need(not strange, f"strange files: {strange}")
        if len(wavs) < 4:  # anew, so that there is something to kill
            converted += len(mp3s)
            stems = _short_recordings(night)
    found.need(_run(command, CONTROL_PORT="0"), "the run after the last kill failed")
    found.need(not (night / ".work").exists(), "scratch is left")
    found.numbers["converted_between_kills"] = converted
    return found


def _short_recordings(night: Path) -> set[str]:
    """16 recordings of SHORT seconds, and nothing else; their names."""
    shutil.rmtree(night / "2026-03-14", ignore_errors=True)
    make_recordings(night, 16)
    for path in night.rglob("*.wav"):
        os.truncate(path, 44 + 32_000 * SHORT)
    return {path.stem for path in night.rglob("*.wav")}


def _run(command: list[str], **settings: str) -> bool:
    """To its end; whether all went well."""
    done = subprocess.run(command, env=environment(**settings), capture_output=True, check=False)
    return done.returncode == 0


def parts(night: Path) -> set[str]:
    """What the scratch folder holds, which the next run removes."""
    work = night / ".work"
    return {path.name for path in work.rglob("*")} if work.exists() else set()


def backing_up(folder: Path, times: int, rng: random.Random) -> Found:
    """``voicebot backup`` beside a journal and recordings that must stay as they are."""
    found = Found()
    house = folder / "house"
    house.mkdir()
    make_recordings(house, 12)
    journal = house / "journal.db"
    with closing(sqlite3.connect(journal)) as made:
        made.execute("CREATE TABLE notes (text)")
        made.executemany("INSERT INTO notes VALUES (?)", [(str(n) * 200,) for n in range(2000)])
        made.commit()
    target = str(folder / "backups")
    settings = {
        "RECORDINGS_DIR": str(house), "JOURNAL_URL": f"sqlite:///{journal}",
        "CONTROL_PORT": "0", "BACKUP_TARGET": target, "CACHE_DIR": str(folder / "cache"),
    }  # fmt: skip
    command = [sys.executable, "-m", "voicebot", "backup"]
    before = {path: path.stat().st_size for path in house.rglob("*.wav")}
    place = RsyncPlace(target)
    began = time.monotonic()
    found.need(_run(command, **settings), "the first backup failed")
    usual = time.monotonic() - began
    for _ in range(times):
        found.kills += 1
        with started(command, **settings) as running:
            time.sleep(rng.uniform(0.2, 1.1) * usual)
            running.kill()
        found.need(not orphans(folder), f"left at work: {orphans(folder)}")
        after = {path: path.stat().st_size for path in house.rglob("*.wav")}
        found.need(after == before, "recordings have changed")
        for one in place.snapshots():
            if one.complete and rng.random() < 0.1:
                found.need(_whole(place.local(one)), f"{one.name} is complete and is not whole")
    found.need(_run(command, **settings), "the next backup failed")
    for one in place.snapshots():
        found.need(one.complete, f"{one.name} is left, and is not complete")
        found.need(_whole(place.local(one)), f"{one.name} is not whole")
    found.numbers["backup_snapshots"] = len(place.snapshots())
    found.need(not (house / ".work").exists(), "scratch is left")
    return found


def _whole(snapshot: Path | None) -> bool:
    assert snapshot is not None, "it is on this machine"
    try:
        check(snapshot, lambda what, done, total: None)
    except ArchiveError:
        return False
    return True


@contextmanager
def started(command: list[str], **settings: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        command, env=environment(**settings), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def environment(**settings: str) -> dict[str, str]:
    return {**os.environ, "VOICEBOT_ENV_FILE": os.devnull, **settings}


def orphans(below: Path) -> list[str]:
    """Programs that still work below the folder, a second after their task was killed."""
    deadline = time.monotonic() + 1
    while True:
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                words = (process / "cmdline").read_bytes()
                program = (process / "exe").readlink().name
            except OSError:
                continue
            if str(below).encode() in words and (program in PROGRAMS or b"workers.child" in words):
                found.append(program)
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.02)


WORK: dict[str, Callable[[Path, int, random.Random], Found]] = {
    "recording": recording, "converting": converting, "backing_up": backing_up,
}  # fmt: skip


def main() -> int:
    """Print one JSON object; 0 if nothing was found."""
    parser = argparse.ArgumentParser(prog="python -m bench.kills")
    parser.add_argument("--times", type=int, default=200, metavar="N", help="of each kind of work")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--only", choices=WORK, nargs="+", default=list(WORK))
    args = parser.parse_args()
    seed = args.seed if args.seed is not None else random.SystemRandom().randrange(2**32)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    logs.configure("error", "console")
    result: dict[str, object] = {"seed": seed}
    faults = 0
    for name in args.only:
        with tempfile.TemporaryDirectory(prefix="voicebot-kills-") as folder:
            began = time.monotonic()
            found = WORK[name](Path(folder), args.times, random.Random(seed))
        result[name] = {
            "kills": found.kills, **found.numbers, "faults": found.faults[:10],
            "seconds": round(time.monotonic() - began),
        }  # fmt: skip
        print(f"{name}: {found.kills} kills, {len(found.faults)} faults", file=sys.stderr)
        faults += len(found.faults)
    print(json.dumps(result, indent=2))
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
