"""One recording made into an MP3: as long as it was, never half, never lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from array import array
from pathlib import Path
from typing import Any

import pytest

from tests.support.archive import tone, write_wav
from voicebot.archive import mp3
from voicebot.archive.mp3 import State, Task

ROOT = Path(__file__).parents[3]


def task(source: Path, work: Path, **changes: Any) -> Task:
    work.mkdir(exist_ok=True)
    values: dict[str, Any] = {
        "source": str(source), "work": str(work), "bitrate": "64k", "delete": False,
        "title": "a call", "date": "2026-03-14T12:00:05Z",
    }  # fmt: skip
    return Task(**{**values, **changes})


def decoded(file: Path) -> tuple[array[int], ...]:
    """The channels of an MP3, by ffmpeg alone."""
    raw = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", str(file), "-f", "s16le", "-"],
        capture_output=True, check=True,
    )  # fmt: skip
    both = array("h", raw.stdout)
    return both[0::2], both[1::2]


def loudness(samples: array[int]) -> float:
    return float(sum(map(abs, samples)) / len(samples))


def test_an_mp3_is_as_long_as_the_recording_and_keeps_its_sides(tmp_path: Path) -> None:
    left_only = array("h", tone(2.0, channels=1))
    both = array("h", bytes(4 * len(left_only)))
    both[0::2] = left_only
    source = write_wav(tmp_path / "a.wav", sound=both.tobytes())

    outcome = mp3.convert(task(source, tmp_path / "work"))

    assert (outcome.state, outcome.seconds, outcome.removed) == (State.CONVERTED, 2.0, False)
    left, right = decoded(tmp_path / "a.mp3")
    assert len(left) == len(right) == 16000
    assert loudness(left) > 1000
    assert loudness(right) < 5
    assert source.exists()


def test_its_tag_has_the_call_and_the_date(tmp_path: Path) -> None:
    mp3.convert(task(write_wav(tmp_path / "a.wav"), tmp_path / "work"))
    found = subprocess.run(
        ["ffprobe", "-v", "error", "-show_entries", "format_tags", str(tmp_path / "a.mp3")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "TAG:title=a call" in found.stdout
    assert "TAG:date=2026-03-14T12:00:05Z" in found.stdout


def test_a_raw_file_of_an_older_version_is_mono(tmp_path: Path) -> None:
    source = tmp_path / "a.raw"
    source.write_bytes(tone(0.5, channels=1) + b"\0")  # cut off within a sample
    outcome = mp3.convert(task(source, tmp_path / "work", delete=True))
    assert (outcome.state, outcome.seconds) == (State.CONVERTED, 0.5)
    assert [path.name for path in tmp_path.glob("a.*")] == ["a.mp3"]


def test_the_original_goes_only_if_the_mp3_that_was_there_is_its_own(tmp_path: Path) -> None:
    source = write_wav(tmp_path / "a.wav", 1.0)
    mp3.convert(task(source, tmp_path / "work"))
    made = (tmp_path / "a.mp3").read_bytes()

    write_wav(source, 1.3)  # another sound by that name
    outcome = mp3.run(task(source, tmp_path / "work", delete=True, idle=False))
    assert outcome.state is State.FAILED
    assert "has 1.00 s, the recording 1.30 s" in outcome.detail
    assert source.exists()
    assert (tmp_path / "a.mp3").read_bytes() == made

    write_wav(source, 1.05)
    outcome = mp3.run(task(source, tmp_path / "work", delete=True, idle=False))
    assert (outcome.state, outcome.removed) == (State.PRESENT, True)
    assert not source.exists()


def test_an_mp3_that_cannot_be_decoded_is_no_reason_to_remove_anything(tmp_path: Path) -> None:
    source = write_wav(tmp_path / "a.wav")
    (tmp_path / "a.mp3").write_bytes(b"half of something")
    outcome = mp3.run(task(source, tmp_path / "work", delete=True, idle=False))
    assert outcome.state is State.FAILED
    assert "a.mp3: cannot be decoded" in outcome.detail
    assert source.exists()


@pytest.mark.parametrize("content", [b"", b"RIFF", b"no sound at all" * 10], ids=len)
def test_a_file_that_is_no_recording_is_told_of_and_stays(tmp_path: Path, content: bytes) -> None:
    source = tmp_path / "a.wav"
    source.write_bytes(content)
    outcome = mp3.run(task(source, tmp_path / "work", delete=True, idle=False))
    assert outcome.state is State.FAILED
    assert "is no WAV file" in outcome.detail
    assert [path.name for path in tmp_path.glob("a.*")] == ["a.wav"]


def test_a_recording_without_sound_needs_no_mp3(tmp_path: Path) -> None:
    source = write_wav(tmp_path / "a.wav", sound=b"")
    assert mp3.convert(task(source, tmp_path / "work")).state is State.EMPTY
    assert mp3.convert(task(source, tmp_path / "work", delete=True)).removed
    assert list(tmp_path.glob("a.*")) == []


def test_an_encoder_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_wav(tmp_path / "a.wav")
    monkeypatch.setenv("PATH", "")
    outcome = mp3.run(task(source, tmp_path / "work", delete=True, idle=False))
    assert outcome.state is State.FAILED
    assert "ffmpeg" in outcome.detail
    assert [path.name for path in tmp_path.glob("a.*")] == ["a.wav"]


def test_damage_in_the_middle_is_found_out(tmp_path: Path) -> None:
    """A decoder goes on after it, and the length is right."""
    source = write_wav(tmp_path / "a.wav", 4.0)
    mp3.convert(task(source, tmp_path / "work"))
    made = tmp_path / "a.mp3"
    data = bytearray(made.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 400] = os.urandom(400)
    made.write_bytes(data)
    outcome = mp3.run(task(source, tmp_path / "work", delete=True, idle=False))
    assert outcome.state is State.FAILED
    assert "a.mp3: cannot be decoded: ffmpeg: " in outcome.detail
    assert source.exists()


def test_hours_of_sound_need_no_memory(tmp_path: Path) -> None:
    source = tmp_path / "a.raw"
    with source.open("wb") as file:
        file.truncate(2 * 8000 * 3600 * 2)  # two hours, 115 MB
    program = textwrap.dedent("""
        import pathlib, re, sys
        from voicebot.archive import mp3
        outcome = mp3.run(mp3.Task(sys.argv[1], sys.argv[2], "16k", True, "", "", idle=False))
        print(outcome.state.value, outcome.seconds, outcome.detail,
              re.search("VmHWM:\\s*(\\d+)", pathlib.Path("/proc/self/status").read_text())[1])
    """)
    (tmp_path / "work").mkdir()
    said = subprocess.run(
        [sys.executable, "-c", program, str(source), str(tmp_path / "work")],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert said[:2] == ["converted", "7200.0"]
    assert int(said[-1]) < 40_000, "kB"


def test_the_encoder_dies_with_the_worker(tmp_path: Path) -> None:
    source = tmp_path / "a.raw"
    with source.open("wb") as file:
        file.truncate(200_000_000)
    work = tmp_path / "work"
    work.mkdir()
    worker = os.fork()
    if not worker:
        mp3.run(task(source, work, idle=False))
        os._exit(0)
    children = Path(f"/proc/{worker}/task/{worker}/children")
    while not (part := work / "a.mp3.part").exists():
        time.sleep(0.001)
    (encoder,) = map(int, children.read_text().split())
    os.kill(worker, signal.SIGKILL)
    os.waitpid(worker, 0)
    deadline = time.monotonic() + 10
    while _runs(encoder) and time.monotonic() < deadline:
        time.sleep(0.001)
    assert not _runs(encoder)
    assert part.exists()
    assert not (tmp_path / "a.mp3").exists()


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def key(tmp_path: Path) -> tuple[str, Path]:
    """A public key, and the file of its secret half."""
    secret = tmp_path / "key.txt"
    subprocess.run(["age-keygen", "-o", str(secret)], check=True, capture_output=True)
    public = subprocess.run(
        ["age-keygen", "-y", str(secret)], check=True, capture_output=True, text=True
    )
    return public.stdout.strip(), secret


def decrypted(file: Path, secret: Path) -> bytes:
    return subprocess.run(
        ["age", "--decrypt", "-i", str(secret), str(file)], check=True, capture_output=True
    ).stdout


def test_with_a_key_only_its_owner_can_listen(tmp_path: Path, key: tuple[str, Path]) -> None:
    source = write_wav(tmp_path / "a.wav", 1.0)
    public, secret = key
    outcome = mp3.convert(task(source, tmp_path / "work", delete=True, recipient=public))
    assert (outcome.state, outcome.removed) == (State.CONVERTED, True)
    assert [path.name for path in tmp_path.glob("a.*")] == ["a.mp3.age"]
    assert list((tmp_path / "work").iterdir()) == []
    encrypted = tmp_path / "a.mp3.age"
    assert encrypted.stat().st_mode & 0o777 == 0o640
    assert b"LAME" not in encrypted.read_bytes()
    opened = tmp_path / "opened.mp3"
    opened.write_bytes(decrypted(encrypted, secret))
    assert len(decoded(opened)[0]) == 8000


def test_an_mp3_from_before_there_was_a_key_is_encrypted(
    tmp_path: Path, key: tuple[str, Path]
) -> None:
    mp3.convert(task(write_wav(tmp_path / "a.wav"), tmp_path / "work", delete=True))
    plain = (tmp_path / "a.mp3").read_bytes()
    public, secret = key
    mp3.convert(task(tmp_path / "a.mp3", tmp_path / "work", delete=True, recipient=public))
    assert [path.name for path in tmp_path.glob("a.*")] == ["a.mp3.age"]
    assert decrypted(tmp_path / "a.mp3.age", secret) == plain


def test_what_is_not_encrypted_does_not_pass_for_it(tmp_path: Path, key: tuple[str, Path]) -> None:
    source = write_wav(tmp_path / "a.wav")
    (tmp_path / "a.mp3.age").write_bytes(b"something else")
    outcome = mp3.run(task(source, tmp_path / "work", delete=True, idle=False, recipient=key[0]))
    assert outcome.state is State.FAILED
    assert "is not encrypted" in outcome.detail
    assert source.exists()


def test_a_key_that_age_refuses_costs_nothing(tmp_path: Path) -> None:
    source = write_wav(tmp_path / "a.wav")
    wrong = "age1" + "q" * 58
    outcome = mp3.run(task(source, tmp_path / "work", delete=True, idle=False, recipient=wrong))
    assert outcome.state is State.FAILED
    assert "age" in outcome.detail
    assert [path.name for path in tmp_path.glob("a.*")] == ["a.wav"]


def test_a_job_done_by_a_worker_that_died_is_done(tmp_path: Path) -> None:
    done = task(write_wav(tmp_path / "a.wav"), tmp_path / "work", delete=True, idle=False)
    assert mp3.run(done).state is State.CONVERTED
    again = mp3.run(done)
    assert (again.state, again.removed) == (State.PRESENT, True)


# One process that forks as often as it is asked to, so that a kill costs no start of Python. How
# long one file takes is measured first: the kills are spread over that time, and a bit more.
VICTIM = textwrap.dedent("""
    import os, pathlib, signal, sys, time
    from voicebot.archive import mp3
    from voicebot.archive.mp3 import Task
    folder, work = pathlib.Path(sys.argv[1]), sys.argv[2]
    def convert(source):
        mp3.run(Task(str(source), work, "64k", True, "call", "2026", idle=False))
    first, *others = sorted(folder.glob("*.wav"))
    convert(first)  # whatever is done only once
    started = time.monotonic()
    convert(others[0])
    usual = time.monotonic() - started
    for number in range(int(sys.argv[3])):
        child = os.fork()
        if not child:
            for source in sorted(folder.glob("*.wav")):
                convert(source)
            os._exit(0)
        time.sleep(number * 0.37 % 1 * 1.8 * usual)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        print(len(list(folder.glob("*.mp3"))), flush=True)
""")


def test_killed_at_many_moments_it_leaves_no_half_mp3_and_loses_nothing(tmp_path: Path) -> None:
    folder, work = tmp_path / "recordings", tmp_path / "work"
    work.mkdir()
    lengths = {f"call{n:02}": 0.2 + n / 50 for n in range(45)}
    for name, seconds in lengths.items():
        write_wav(folder / f"{name}.wav", seconds)

    done = subprocess.run(
        [sys.executable, "-c", VICTIM, str(folder), str(work), "50"],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip

    assert len(done.stdout.splitlines()) > 15
    assert {path.suffix for path in folder.iterdir()} <= {".wav", ".mp3"}
    converted = {path.stem for path in folder.glob("*.mp3")}
    kept = {path.stem for path in folder.glob("*.wav")}
    assert len(converted) > 2, "every kill came too early to show anything"
    assert kept, "every kill came too late to show anything"
    assert kept | converted == lengths.keys()
    for name in converted:
        left, _ = decoded(folder / f"{name}.mp3")
        assert abs(len(left) / 8000 - lengths[name]) <= mp3.TOLERANCE
    for name in sorted(kept)[:3]:  # whatever lies about in the scratch folder, it can be done again
        assert mp3.convert(task(folder / f"{name}.wav", work, delete=True)).removed
