"""One recording made into an MP3, in a worker process. pydub and ffmpeg do the work.

At no instant is there a half MP3 under its name, or a sound in neither file:

1. The MP3 is made in the scratch folder.
2. It is decoded again; it must be as long as the original, to 0.1 s, with as many channels.
3. It is synchronised, gets its name, and the name is synchronised.
4. Only then, and only if that was asked for, the original is removed.

A kill between any two of these leaves the original, and the next run goes on from there. An MP3
that is there already is never written over: it is compared with the original, as in step 2.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import warnings
import wave
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, Final

from voicebot.archive.recordings import sync_directory
from voicebot.audio.pcm import SAMPLE_RATE, SAMPLE_WIDTH

TOLERANCE: Final = 0.1
"""Seconds by which an MP3 may differ in length. LAME notes its own delay, so it is 0 in fact."""
_NICENESS = 14  #: on top of the 5 that a worker has
_FILE_MODE = 0o640


class State(Enum):
    """What became of a recording; the values are those of a metric's label."""

    CONVERTED = "converted"
    PRESENT = "present"
    """There was an MP3, and it is as it should be."""
    EMPTY = "empty"
    """The recording holds no sound."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Task:
    """One recording, and what to do with it."""

    source: str
    work: str
    """Scratch folder on the same file system."""
    bitrate: str
    delete: bool
    title: str
    """For the tag: the call's id."""
    date: str
    """For the tag: ISO 8601."""
    idle: bool = True
    """Compute and write only when nobody else wants to."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was done."""

    source: str
    state: State
    detail: str = ""
    """What is wrong, if it failed."""
    seconds: float = 0.0
    """Length of the sound."""
    source_bytes: int = 0
    mp3_bytes: int = 0
    removed: bool = False
    """The original is gone."""


class _FaultyError(Exception):
    """The sound cannot be read, or the MP3 is not what it should be."""


def run(task: Task) -> Outcome:
    """The job of a worker: never raises for a recording that is at fault."""
    if task.idle:
        _give_way()
    tempfile.tempdir = task.work  # pydub passes the sound to ffmpeg through temporary files
    try:
        return convert(task)
    except _FaultyError as error:
        return Outcome(task.source, State.FAILED, str(error))
    except OSError as error:
        reason = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        return Outcome(task.source, State.FAILED, reason)


def convert(task: Task) -> Outcome:
    """Do it. Raises OSError, or an error whose text says what is wrong."""
    source = Path(task.source)
    target = source.with_suffix(".mp3")
    size = source.stat().st_size
    sound = _read(source)
    if not sound.frame_count():
        return Outcome(task.source, State.EMPTY, removed=task.delete and _remove(source))
    present = target.exists()
    if not present:
        _make(sound, task, target)
    elif task.delete:
        try:
            _compare(target, sound)
        except _FaultyError as error:
            raise _FaultyError(
                f"{error}: it was not made by this command; move it away, and run this again"
            ) from None
    return Outcome(
        task.source,
        State.PRESENT if present else State.CONVERTED,
        seconds=sound.frame_count() / sound.frame_rate,
        source_bytes=size,
        mp3_bytes=target.stat().st_size,
        removed=task.delete and _remove(source),
    )


def _make(sound: Any, task: Task, target: Path) -> None:
    part = Path(task.work, f"{target.name}.part")
    tags = {"title": task.title, "album": "voicebot", "date": task.date}
    # Not joint: each side keeps half of the bits, and nothing of one is heard on the other.
    options = ["-joint_stereo", "0"] if sound.channels == 2 else []
    if sound.channels == 2:
        tags["comment"] = "left: caller, right: bot"
    try:
        with part.open("wb") as file:  # ours to close: pydub leaves its own open if ffmpeg fails
            sound.export(file, format="mp3", bitrate=task.bitrate, tags=tags, parameters=options)
    except _pydub().exceptions.CouldntEncodeError as error:
        raise _FaultyError(f"ffmpeg cannot make an MP3 of it: {_last_line(error)}") from None
    _compare(part, sound)
    shutil.copystat(task.source, part)
    part.chmod(_FILE_MODE)
    fd = os.open(part, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
    part.rename(target)
    sync_directory(target.parent)


def _compare(mp3: Path, sound: Any) -> None:
    """Decode *mp3* and compare it with *sound*."""
    pydub = _pydub()
    try:
        decoded = pydub.AudioSegment.from_file(str(mp3), format="mp3")
    except (pydub.exceptions.CouldntDecodeError, IndexError, KeyError) as error:
        # pydub finds no stream in ffprobe's answer, and falls over that
        raise _FaultyError(f"{mp3.name}: cannot be decoded: {_last_line(error)}") from None
    length = decoded.frame_count() / decoded.frame_rate
    wanted = sound.frame_count() / sound.frame_rate
    if abs(length - wanted) > TOLERANCE:
        raise _FaultyError(f"{mp3.name}: has {length:.2f} s, the recording {wanted:.2f} s")
    if decoded.channels != sound.channels:
        raise _FaultyError(
            f"{mp3.name}: has {decoded.channels} channels, the recording {sound.channels}"
        )


def _read(source: Path) -> Any:
    """The sound as a pydub segment. A ``.raw`` is slin: 8 kHz, mono, 16 bits."""
    if source.suffix == ".raw":
        data = source.read_bytes()
        width, rate, channels = SAMPLE_WIDTH, SAMPLE_RATE, 1
    else:
        try:
            with wave.open(str(source)) as file:
                width, rate, channels = (
                    file.getsampwidth(), file.getframerate(), file.getnchannels(),
                )  # fmt: skip
                data = file.readframes(file.getnframes())
        except (wave.Error, EOFError) as error:
            raise _FaultyError(f"is no WAV file: {str(error) or 'it ends early'}") from None
    whole = len(data) - len(data) % (width * channels)
    return _pydub().AudioSegment(
        data=data[:whole], sample_width=width, frame_rate=rate, channels=channels
    )


def _remove(source: Path) -> bool:
    source.unlink()
    sync_directory(source.parent)
    return True


@cache
def _pydub() -> Any:
    with warnings.catch_warnings():
        # pydub 0.25 has regular expressions that newer Pythons warn about when they compile it.
        warnings.simplefilter("ignore")
        import pydub
        import pydub.exceptions
    return pydub


@cache
def _give_way() -> None:
    os.nice(_NICENESS)
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    if shutil.which("ionice"):  # Python has no call for it
        subprocess.run(["ionice", "-c", "3", "-p", str(os.getpid())], check=False)


def _last_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__
