"""One recording made into an MP3, and encrypted if that is wanted, in a worker process.

ffmpeg and age do the work; the sound goes through pipes, so that a call of hours needs no memory.
At no instant is there a half MP3 under its name, or a sound in neither file:

1. The MP3 is made in the scratch folder.
2. It is decoded again; it must be as long as the original, to 0.1 s, with as many channels.
3. With a key it is encrypted, still there: what was decoded is what was encrypted.
4. It is synchronised, gets its name, and the name is synchronised.
5. Only then, and only if that was asked for, the original is removed.

A kill between any two of these leaves the original, and the next run goes on from there. An MP3
that is there already is never written over: it is compared with the original, as in step 2.
The programs die with the worker, however that ends. Sound goes to and from ffmpeg as WAV, the one
form that the smallest ffmpeg knows.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import tempfile
import wave
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import IO, Final

from voicebot.archive.programs import tied
from voicebot.archive.recordings import ENCRYPTED, sync_directory
from voicebot.audio.pcm import SAMPLE_RATE, SAMPLE_WIDTH

TOLERANCE: Final = 0.1
"""Seconds by which an MP3 may differ in length. LAME notes its own delay, so it is 0 in fact."""
_NICENESS = 14  #: on top of the 5 that a worker has
_FILE_MODE = 0o640
_PIECE = 1 << 18  #: bytes of sound handled at once
_CHUNK = struct.Struct("<4sI")  # of a WAV file: name, size
_UNKNOWN = 0xFFFFFFFF
_AGE_HEADER = b"age-encryption.org/v1\n"


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
    """A ``.wav`` or ``.raw``; or an ``.mp3``, which is only encrypted."""
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
    recipient: str = ""
    """age's public key; the MP3 can then be heard by whoever has the other half. Empty: plain."""


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


@dataclass(frozen=True, slots=True)
class _Sound:
    """What a file holds."""

    frames: int
    rate: int
    channels: int
    width: int = SAMPLE_WIDTH
    """Bytes of one sample of one channel."""

    @property
    def size(self) -> int:
        """Bytes, whole samples only."""
        return self.frames * self.channels * self.width

    @property
    def seconds(self) -> float:
        return self.frames / self.rate


class _FaultyError(Exception):
    """The sound cannot be read, or the MP3 is not what it should be."""


def run(task: Task) -> Outcome:
    """The job of a worker: never raises for a recording that is at fault."""
    if task.idle:
        _give_way()
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
    target = source.with_suffix(f".mp3{ENCRYPTED}" if task.recipient else ".mp3")
    if not source.exists() and target.exists():  # done by a worker that died before it said so
        size = target.stat().st_size
        return Outcome(task.source, State.PRESENT, mp3_bytes=size, removed=True)
    size = source.stat().st_size
    sound = _measured(source)
    if not sound.frames:
        return Outcome(task.source, State.EMPTY, removed=task.delete and _remove(source))
    present = target.exists()
    if present:
        _check_present(target, sound, task)
    else:
        _make(source, sound, task, target)
    return Outcome(
        task.source,
        State.PRESENT if present else State.CONVERTED,
        seconds=sound.seconds,
        source_bytes=size,
        mp3_bytes=target.stat().st_size,
        removed=task.delete and _remove(source),
    )


def _check_present(target: Path, sound: _Sound, task: Task) -> None:
    """What was there before us: is it worth the original?"""
    if not task.delete:
        return
    if task.recipient:
        # It has its name since it was compared and encrypted; nobody here can decrypt it.
        with target.open("rb") as file:
            if file.read(len(_AGE_HEADER)) == _AGE_HEADER:
                return
        raise _FaultyError(f"{target.name}: is not encrypted; move it away, and run this again")
    try:
        _compare(target, sound)
    except _FaultyError as error:
        raise _FaultyError(
            f"{error}: it was not made by this command; move it away, and run this again"
        ) from None


def _make(source: Path, sound: _Sound, task: Task, target: Path) -> None:
    part = Path(task.work, f"{target.name}.part")
    if source.suffix == ".mp3":
        plain = source
    else:
        plain = Path(task.work, f"{source.stem}.mp3.part") if task.recipient else part
        _encode(source, sound, task, plain)
    _compare(plain, sound)
    if task.recipient:
        _encrypt(plain, task.recipient, part)
        if plain != source:
            plain.unlink()
    shutil.copystat(source, part)
    part.chmod(_FILE_MODE)
    fd = os.open(part, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
    part.rename(target)
    sync_directory(target.parent)


def _encode(source: Path, sound: _Sound, task: Task, part: Path) -> None:
    tags = {"title": task.title, "album": "voicebot", "date": task.date}
    # Not joint: each side keeps half of the bits, and nothing of one is heard on the other.
    options = ["-joint_stereo", "0"] if sound.channels == 2 else []
    if sound.channels == 2:
        tags["comment"] = "left: caller, right: bot"
    for name, value in tags.items():
        options += ["-metadata", f"{name}={value}"]
    with _opened(source) as pieces:
        arguments = (
            "-f", "wav", "-i", "pipe:0", "-c:a", "libmp3lame", "-b:a", task.bitrate, *options,
            "-f", "mp3", "-y", str(part),
        )  # fmt: skip
        with _running("ffmpeg", *arguments, stdin=subprocess.PIPE) as process:
            assert process.stdin is not None, "asked for"
            left = sound.size  # a file that was cut off ends within a sample
            with suppress(BrokenPipeError):  # it has failed, and says why
                process.stdin.write(_header(sound))
                for piece in pieces:
                    process.stdin.write(piece[:left])
                    left -= len(piece[:left])
                process.stdin.close()


def _compare(mp3: Path, sound: _Sound) -> None:
    """Decode *mp3* and compare it with *sound*."""
    decoded = _decoded(mp3)
    if abs(decoded.seconds - sound.seconds) > TOLERANCE:
        raise _FaultyError(
            f"{mp3.name}: has {decoded.seconds:.2f} s, the recording {sound.seconds:.2f} s"
        )
    if decoded.channels != sound.channels:
        raise _FaultyError(
            f"{mp3.name}: has {decoded.channels} channels, the recording {sound.channels}"
        )


def _decoded(mp3: Path) -> _Sound:
    """What an MP3 holds, every frame of it decoded."""
    arguments = ("-f", "mp3", "-i", str(mp3), "-c:a", "pcm_s16le", "-f", "wav", "pipe:1")
    try:
        with _running("ffmpeg", *arguments, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None, "asked for"
            channels, rate = _read_header(process.stdout)
            size = 0
            while piece := process.stdout.read(_PIECE):
                size += len(piece)
    except _FaultyError as error:
        raise _FaultyError(f"{mp3.name}: cannot be decoded: {error}") from None
    return _Sound(size // (SAMPLE_WIDTH * channels), rate, channels)


def _header(sound: _Sound) -> bytes:
    """Of a WAV stream of samples like those of *sound*."""
    align = sound.channels * sound.width
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        *(b"RIFF", _UNKNOWN, b"WAVE", b"fmt ", 16, 1, sound.channels),
        *(sound.rate, sound.rate * align, align, 8 * sound.width, b"data", _UNKNOWN),
    )


def _read_header(stream: IO[bytes]) -> tuple[int, int]:
    """Channels and rate of a WAV stream, which is then at its first sample."""
    stream.read(12)
    channels = rate = 0
    while len(head := stream.read(_CHUNK.size)) == _CHUNK.size:
        name, size = _CHUNK.unpack(head)
        if name == b"data":
            return channels, rate
        body = stream.read(size + size % 2)
        if name == b"fmt ":
            channels, rate = struct.unpack_from("<HI", body, 2)
    raise _FaultyError("it ends early")


def _encrypt(plain: Path, recipient: str, part: Path) -> None:
    part.unlink(missing_ok=True)  # age refuses to write over a file
    with _running("age", "--encrypt", "-r", recipient, "-o", str(part), str(plain)):
        pass


def _measured(source: Path) -> _Sound:
    """What *source* holds, to the last whole sample. A ``.raw`` is slin: 8 kHz, mono, 16 bits."""
    if source.suffix == ".mp3":
        return _decoded(source)
    if source.suffix == ".raw":
        return _Sound(source.stat().st_size // SAMPLE_WIDTH, SAMPLE_RATE, 1)
    with _wave(source) as file:
        align = file.getsampwidth() * file.getnchannels()
        size = 0
        while piece := file.readframes(_PIECE // align):  # a header may promise more than there is
            size += len(piece)
        return _Sound(size // align, file.getframerate(), file.getnchannels(), file.getsampwidth())


@contextmanager
def _opened(source: Path) -> Iterator[Iterator[bytes]]:
    """The samples of *source*."""
    if source.suffix == ".raw":
        with source.open("rb") as raw:
            yield iter(lambda: raw.read(_PIECE), b"")
        return
    with _wave(source) as file:
        align = file.getsampwidth() * file.getnchannels()
        yield iter(lambda: file.readframes(_PIECE // align), b"")


@contextmanager
def _wave(source: Path) -> Iterator[wave.Wave_read]:
    try:
        with wave.open(str(source)) as file:
            yield file
    except (wave.Error, EOFError) as error:
        raise _FaultyError(f"is no WAV file: {str(error) or 'it ends early'}") from None


@contextmanager
def _running(
    program: str, *arguments: str, stdin: int = subprocess.DEVNULL, stdout: int = subprocess.DEVNULL
) -> Iterator[subprocess.Popen[bytes]]:
    """*program* while it runs; raises _FaultyError with what it said if it fails."""
    quiet = ("-nostdin", "-v", "error", "-threads", "1") if program == "ffmpeg" else ()
    with tempfile.TemporaryFile() as said:
        try:
            process = subprocess.Popen(
                [program, *quiet, *arguments], stdin=stdin, stdout=stdout, stderr=said,
                preexec_fn=tied,
            )  # fmt: skip
        except FileNotFoundError:
            raise _FaultyError(f"{program} is missing") from None
        try:
            yield process
        except BaseException:
            process.kill()
            raise
        finally:
            _close(process.stdin, process.stdout)
            status = process.wait()
        said.seek(0)
        words = said.read().decode(errors="replace")
        # A decoder that meets damage says so, goes on, and ends well.
        if status or words.strip():
            raise _FaultyError(f"{program}: {_last_line(words) or f'exit status {status}'}")


def _close(*files: IO[bytes] | None) -> None:
    for file in files:
        if file is not None:
            with suppress(BrokenPipeError):
                file.close()


def _remove(source: Path) -> bool:
    source.unlink()
    sync_directory(source.parent)
    return True


@cache
def _give_way() -> None:
    with suppress(OSError):  # a container may forbid it, and is then held back by its own shares
        os.nice(_NICENESS)
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    if shutil.which("ionice"):  # Python has no call for it
        subprocess.run(["ionice", "-c", "3", "-p", str(os.getpid())], check=False)


def _last_line(words: str) -> str:
    lines: Sequence[str] = [line for line in words.splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""
