"""Recordings: both sides in time, readable after any crash, and no trouble for the call."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import time
import wave
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from voicebot.audio.pcm import FRAME_SAMPLES, FRAME_SECONDS
from voicebot.call.recorder import BATCH_FRAMES, GATHER_SECONDS, Recorder
from voicebot.call.recording_file import HEADER_BYTES, header, recover
from voicebot.telemetry.metrics import Metrics

CALL = "3f2a7f0e-8a4b-4a53-9a56-1f1d0a6ad777"
NOON = datetime(2026, 3, 14, 12, 0, 5, tzinfo=UTC)
CALLER = array("h", [1000] * FRAME_SAMPLES).tobytes()
BOT = array("h", [-2000] * FRAME_SAMPLES).tobytes()


@contextmanager
def recording_to(directory: Path, metrics: Metrics, **options: int) -> Iterator[Recorder]:
    recorder = Recorder(directory, metrics, clock=lambda: NOON, **options)
    try:
        yield recorder
    finally:
        assert recorder.close()


def sides(path: Path) -> tuple[array[int], array[int]]:
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (8000, 2, 2)
        assert path.stat().st_size == HEADER_BYTES + file.getnframes() * 4
        samples = array("h", file.readframes(file.getnframes()))
    return samples[0::2], samples[1::2]


def eventually(true: Callable[[], bool]) -> None:
    """For what another process or thread does; the limit only matters when it fails."""
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.005)


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_a_call_becomes_one_file_with_the_caller_left_and_the_bot_right(tmp_path: Path) -> None:
    with recording_to(tmp_path, Metrics()) as recorder:
        recording = recorder.open(CALL)
        for _ in range(12):  # not a whole number of batches
            recording.write(CALLER, BOT)
        recording.close()
    assert recording.path == tmp_path / "2026-03-14" / f"120005-{CALL}.wav"
    left, right = sides(recording.path)
    assert len(left) == len(right) == 12 * FRAME_SAMPLES
    assert set(left) == {1000}
    assert set(right) == {-2000}
    assert [path.name for path in recording.path.parent.iterdir()] == [recording.path.name]


def test_files_and_folders_are_not_for_everybody(tmp_path: Path) -> None:
    mask = os.umask(0)
    try:
        with recording_to(tmp_path / "new", Metrics()) as recorder:
            recording = recorder.open(CALL)
            recording.write(CALLER, BOT)
    finally:
        os.umask(mask)
    assert recording.path is not None
    assert stat.S_IMODE(recording.path.stat().st_mode) == 0o640
    assert stat.S_IMODE(recording.path.parent.stat().st_mode) == 0o750
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o750


def test_a_call_that_comes_back_gets_a_second_file(tmp_path: Path) -> None:
    with recording_to(tmp_path, Metrics()) as recorder:
        for _ in range(3):
            recording = recorder.open(CALL)
            recording.write(CALLER, BOT)
            recording.close()
    names = sorted(path.name for path in tmp_path.glob("*/*"))
    assert names == [f"120005-{CALL}-2.wav", f"120005-{CALL}-3.wav", f"120005-{CALL}.wav"]


def test_calls_are_recorded_side_by_side(tmp_path: Path) -> None:
    with recording_to(tmp_path, Metrics()) as recorder:
        calls = [recorder.open(f"call-{n}") for n in range(20)]
        for _ in range(50):
            for call in calls:
                call.write(CALLER, BOT)
    for call in calls:
        assert call.path is not None
        assert len(sides(call.path)[0]) == 50 * FRAME_SAMPLES


def test_frames_of_a_wrong_size_do_not_shift_the_other_side(tmp_path: Path) -> None:
    with recording_to(tmp_path, Metrics()) as recorder:
        recording = recorder.open(CALL)
        recording.write(CALLER[:100], BOT)
        recording.write(CALLER + CALLER, BOT)
        recording.write(b"", BOT)
    assert recording.path is not None
    left, right = sides(recording.path)
    assert len(left) == len(right) == 3 * FRAME_SAMPLES
    assert left[: FRAME_SAMPLES + 1] == array("h", [1000] * 50 + [0] * 110 + [1000])
    assert set(left[2 * FRAME_SAMPLES :]) == {0}


def test_a_call_without_a_frame_leaves_no_file(tmp_path: Path) -> None:
    with recording_to(tmp_path, Metrics()) as recorder:
        recording = recorder.open(CALL)
        recording.close()
    assert recording.path is None
    assert list(tmp_path.glob("*/*")) == []


def test_at_the_bound_frames_are_dropped_counted_and_replaced_by_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = Metrics()
    disk_hangs, disk_works = threading.Event(), threading.Event()

    def slow_fsync(_fd: int) -> None:
        disk_hangs.set()
        assert disk_works.wait(10)

    with recording_to(tmp_path, metrics, capacity=2) as recorder:
        recording = recorder.open(CALL)
        monkeypatch.setattr("voicebot.call.recording_file.os.fsync", slow_fsync)
        other = recorder.open("other")
        eventually(lambda: recorder.pending == 0)
        other.write(CALLER, BOT)
        other.close()
        assert disk_hangs.wait(10)
        for _ in range(20):
            recording.write(CALLER, BOT)
        disk_works.set()
        eventually(lambda: other.path is not None and other.path.exists())
        eventually(lambda: recorder.pending == 0)
        for _ in range(5):
            recording.write(CALLER, BOT)
    assert recording.path is not None
    left, _ = sides(recording.path)
    assert value(metrics, "voicebot_audio_dropped_frames_total", queue="recorder") == 12
    assert left == array("h", [1000] * 1280 + [0] * 1920 + [1000] * 800)


def test_an_unwritable_folder_costs_the_recording_and_nothing_else(tmp_path: Path) -> None:
    metrics = Metrics()
    (tmp_path / "taken").write_text("a file where the folder should be")
    with recording_to(tmp_path / "taken", metrics) as recorder:
        first = recorder.open(CALL)
        for _ in range(20):
            first.write(CALLER, BOT)
        first.close()
        eventually(lambda: value(metrics, "voicebot_recording_failures_total") == 1)
        (tmp_path / "taken").unlink()  # the operator mends it
        second = recorder.open(CALL)
        second.write(CALLER, BOT)
    assert first.path is None
    assert second.path is not None
    assert sides(second.path)[0]


def test_a_full_disk_keeps_what_was_recorded(tmp_path: Path) -> None:
    """The limit on file sizes gives a short write and then an error, as a full disk does."""
    metrics = Metrics()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_001, hard))
    try:
        with recording_to(tmp_path, metrics) as recorder:
            recording = recorder.open(CALL)
            for _ in range(100):
                recording.write(CALLER, BOT)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert recording.path is not None
    left, right = sides(recording.path)
    assert len(left) == len(right) == (10_001 - HEADER_BYTES) // 4
    assert value(metrics, "voicebot_recording_failures_total") == 1


def test_a_disk_that_fails_costs_the_rest_of_its_recording_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Input and output errors of one file, as a dying disk gives them."""
    metrics = Metrics()
    real_write = os.write
    broken: set[int] = set()

    def write(fd: int, data: memoryview) -> int:
        name = str(Path(f"/proc/self/fd/{fd}").readlink())
        if "broken" in name and os.fstat(fd).st_size > 6_000:
            broken.add(fd)
            raise OSError(errno.EIO, "Input/output error", name)
        return real_write(fd, data)

    monkeypatch.setattr("voicebot.call.recording_file.os.write", write)
    with recording_to(tmp_path, metrics) as recorder:
        calls = [recorder.open("broken"), recorder.open("well")]
        for _ in range(50):
            for call in calls:
                call.write(CALLER, BOT)
    assert broken
    assert value(metrics, "voicebot_recording_failures_total") == 1
    lengths = [len(sides(call.path)[0]) for call in calls if call.path is not None]
    assert lengths == [12 * FRAME_SAMPLES, 50 * FRAME_SAMPLES], "three batches, and all"


def test_a_disk_that_fails_at_the_first_sound_leaves_no_file_and_names_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that is full does: there is room for a name, and for nothing in it."""
    metrics = Metrics()
    real_write = os.write

    def write(fd: int, data: memoryview) -> int:
        if os.fstat(fd).st_size >= HEADER_BYTES:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real_write(fd, data)

    monkeypatch.setattr("voicebot.call.recording_file.os.write", write)
    with recording_to(tmp_path, metrics) as recorder:
        call = recorder.open(CALL)
        for _ in range(50):
            call.write(CALLER, BOT)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert call.path is None


def test_a_disk_that_tells_of_its_failure_at_the_end_stops_no_other_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As NFS does, and quotas: close() fails too. What it was is the first call's trouble alone."""
    metrics = Metrics()
    real_write, real_close = os.write, os.close
    failing: set[int] = set()

    def write(fd: int, data: memoryview) -> int:
        if os.fstat(fd).st_size > 3_000 and not failing:
            failing.add(fd)
            raise OSError(errno.EDQUOT, "Disk quota exceeded")
        return real_write(fd, data)

    def close(fd: int) -> None:
        real_close(fd)
        if fd in failing:
            raise OSError(errno.EDQUOT, "Disk quota exceeded")

    def fsync(fd: int) -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    with recording_to(tmp_path, metrics) as recorder:
        with monkeypatch.context() as patched:
            patched.setattr("voicebot.call.recording_file.os.write", write)
            patched.setattr("voicebot.call.recording_file.os.close", close)
            patched.setattr("voicebot.call.recording_file.os.fsync", fsync)
            first = recorder.open(CALL)
            for _ in range(50):
                first.write(CALLER, BOT)
            eventually(lambda: recorder.pending == 0 and bool(failing))
            first.close()
            eventually(lambda: recorder.pending == 0)
        second = recorder.open(CALL)
        for _ in range(50):
            second.write(CALLER, BOT)
    assert second.path is not None
    assert len(sides(second.path)[0]) == 50 * FRAME_SAMPLES


@pytest.mark.parametrize("finished", [True, False])
def test_who_refuses_after_the_disk_has_failed_leaves_no_file_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished: bool
) -> None:
    """Whether or not what there was of the recording could be given its name."""
    metrics = Metrics()
    real_write = os.write

    def write(fd: int, data: memoryview) -> int:
        if os.fstat(fd).st_size > 3_000:
            raise OSError(errno.EIO, "Input/output error")
        return real_write(fd, data)

    def fsync(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("voicebot.call.recording_file.os.write", write)
    if not finished:
        monkeypatch.setattr("voicebot.call.recording_file.os.fsync", fsync)
    with recording_to(tmp_path, metrics) as recorder:
        call = recorder.open(CALL)
        for _ in range(50):
            call.write(CALLER, BOT)
        eventually(lambda: bool(value(metrics, "voicebot_recording_failures_total")))
        eventually(lambda: bool(list(tmp_path.rglob("*.wav" if finished else "*.wav.part"))))
        call.discard()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("length", [0, 1, 43, 44, 45, 46, 47, 48, 49, 44 + 4 * 777 + 3])
def test_a_file_cut_at_any_byte_is_recovered(tmp_path: Path, length: int) -> None:
    day = tmp_path / "2026-03-14"
    day.mkdir()
    whole = header(None) + array("h", [7, -7] * 1000).tobytes()
    (day / "120005-x.wav.part").write_bytes(whole[:length])
    recovered = recover(tmp_path)
    samples = max(0, length - HEADER_BYTES) // 4
    if samples == 0:
        assert recovered == []
        assert list(day.iterdir()) == []
    else:
        assert recovered == [day / "120005-x.wav"]
        left, right = sides(recovered[0])
        assert left == array("h", [7] * samples)
        assert right == array("h", [-7] * samples)


def test_recovery_never_replaces_a_finished_file(tmp_path: Path) -> None:
    day = tmp_path / "2026-03-14"
    day.mkdir()
    (day / "120005-x.wav").write_bytes(b"kept")
    (day / "120005-x.wav.part").write_bytes(header(None) + bytes(400))
    assert recover(tmp_path) == [day / "120005-x-2.wav"]
    assert (day / "120005-x.wav").read_bytes() == b"kept"


def test_recovery_leaves_the_file_of_a_living_process_alone(tmp_path: Path) -> None:
    day = tmp_path / "2026-03-14"
    day.mkdir()
    part = day / "120005-x.wav.part"
    part.write_bytes(header(None) + bytes(400))
    with part.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert recover(tmp_path) == []
    assert recover(tmp_path) == [day / "120005-x.wav"]


def test_recovery_of_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    assert recover(tmp_path / "never") == []


WRITER = """
    import sys, time
    from pathlib import Path
    from voicebot.call.recorder import Recorder
    from voicebot.telemetry.metrics import Metrics
    recording = Recorder(Path(sys.argv[1]), Metrics()).open("killed")
    for n in range(1, 60 * 50):
        recording.write(n.to_bytes(2, "little") * 160, bytes(320))
        print(n, flush=True)
        time.sleep(0.002)
"""


def test_kill_9_costs_at_most_the_last_tenth_of_a_second(tmp_path: Path) -> None:
    program = [sys.executable, "-c", textwrap.dedent(WRITER), str(tmp_path)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) == 203:
                break
        # The thread's turn: what was handed over, 40 whole batches, reaches the file.
        eventually(lambda: sum(p.stat().st_size for p in tmp_path.glob("*/*")) >= 200 * 640)
        process.kill()
        written = [int(line) for line in process.stdout]
    last = max([203, *written])
    (part,) = tmp_path.glob("*/*.part")

    heard = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", str(part), "-f", "s16le", "-"],
        capture_output=True,
        check=True,
    )
    assert len(heard.stdout) == part.stat().st_size - HEADER_BYTES

    (path,) = recover(tmp_path)
    left, _ = sides(path)
    assert left == array("h", [n for n in range(1, len(left) // 160 + 1) for _ in range(160)])
    # Three frames may be with the loop; at ten times the real pace, two batches with the thread.
    assert last - len(left) // 160 <= 11


def test_what_waits_to_be_handed_over_and_written_is_less_than_a_tenth_of_a_second() -> None:
    """The promise at the real pace, of which a kill at random moments (``make kills``) is the
    proof: a whole batch, and the longest that the thread lets batches gather."""
    assert BATCH_FRAMES * FRAME_SECONDS + GATHER_SECONDS < 0.1
