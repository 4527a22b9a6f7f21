"""A recording on the disk: one stereo WAV, caller left, bot right, that any crash leaves readable.

While it grows it is called ``.part`` behind its name, its header has the sizes that a stream has
(all ones), which ffmpeg and most players take as "until the end", and its writer holds a lock on
it, which is how :func:`recover` tells an orphan from the file of a process that lives.
"""

from __future__ import annotations

import fcntl
import os
import struct
from array import array
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

import structlog

from voicebot.audio.pcm import FRAME_BYTES, SAMPLE_RATE

log = structlog.get_logger(__name__)

HEADER_BYTES: Final = 44
_BLOCK: Final = 4  # bytes of one sample of both sides
_UNKNOWN: Final = 0xFFFFFFFF
_FILE_MODE: Final = 0o640
_DIRECTORY_MODE: Final = 0o750


def header(data_bytes: int | None) -> bytes:
    """The 44 bytes before the samples; None if the file still grows."""
    data = _UNKNOWN if data_bytes is None else data_bytes
    riff = _UNKNOWN if data_bytes is None else data_bytes + HEADER_BYTES - 8
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        *(b"RIFF", riff, b"WAVE", b"fmt ", 16, 1, 2),
        *(SAMPLE_RATE, SAMPLE_RATE * _BLOCK, _BLOCK, 16, b"data", data),
    )


class RecordingFile:
    """One growing file. Every method may raise OSError."""

    def __init__(self, fd: int, part: Path, path: Path) -> None:
        self._fd = fd
        self.part = part
        self.path = path
        self._frames = 0
        self._size = 0
        self._write(header(None))

    @classmethod
    def create(cls, directory: Path, call_id: str, at: datetime) -> RecordingFile:
        day = directory / f"{at:%Y-%m-%d}"
        directory.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
        day.mkdir(mode=_DIRECTORY_MODE, exist_ok=True)
        for path in _names(day, f"{at:%H%M%S}-{call_id}"):
            part = growing(path)
            if path.exists():
                continue
            try:
                fd = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE)
            except FileExistsError:
                continue
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                return cls(fd, part, path)
            except OSError:
                os.close(fd)
                part.unlink(missing_ok=True)
                raise
        raise AssertionError("the names never end")

    @property
    def seconds(self) -> float:
        return max(0, self._size - HEADER_BYTES) / (SAMPLE_RATE * _BLOCK)

    def append(self, first: int, caller: list[bytes], bot: list[bytes]) -> None:
        """Add frames, of which *first* is the number in the call; what is missing is silence."""
        missing = first - self._frames
        if missing:
            self._write(bytes(missing * FRAME_BYTES * 2))
        self._write(interleave(caller, bot))
        self._frames = first + len(caller)

    def finish(self) -> bool:
        """Cut an odd tail, put the sizes in, synchronise, and give the file its name.

        False if it held no sound and was removed.
        """
        kept = _finish(self._fd, self.part, self.path)
        self.release()
        return kept

    def remove(self) -> None:
        """Delete it, finished or not."""
        self.part.unlink(missing_ok=True)
        self.release()

    def release(self) -> None:
        """Close and unlock. Idempotent."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            # A nearly full disk takes a part; the next call then says why.
            written = os.write(self._fd, view)
            self._size += written
            view = view[written:]


def growing(path: Path) -> Path:
    """What the file *path* is called until it is finished."""
    return path.with_name(f"{path.name}.part")


def interleave(caller: list[bytes], bot: list[bytes]) -> bytes:
    """Stereo samples of frames of both sides; one that is not 320 bytes is padded or cut."""
    both = array("h", bytes(2 * FRAME_BYTES * len(caller)))
    both[0::2] = array("h", _joined(caller))
    both[1::2] = array("h", _joined(bot))
    return both.tobytes()


def _joined(frames: list[bytes]) -> bytes:
    data = b"".join(frames)
    if len(data) != FRAME_BYTES * len(frames):
        data = b"".join(frame[:FRAME_BYTES].ljust(FRAME_BYTES, b"\0") for frame in frames)
    return data


def _names(day: Path, stem: str) -> Iterator[Path]:
    yield day / f"{stem}.wav"
    number = 2
    while True:
        yield day / f"{stem}-{number}.wav"
        number += 1


def _finish(fd: int, part: Path, path: Path) -> bool:
    data = max(0, os.fstat(fd).st_size - HEADER_BYTES)
    data -= data % _BLOCK
    if not data:
        part.unlink()  # a call that ended before its first frame
        return False
    os.ftruncate(fd, HEADER_BYTES + data)
    os.pwrite(fd, header(data), 0)
    os.fsync(fd)
    part.rename(path)
    return True


def recover(directory: Path) -> list[Path]:
    """Finish the files that a crash left behind; returns what they are called now.

    Call it once at start, before the first call. Files of a living process are left alone. Raises
    nothing: a file that cannot be finished is logged and tried again at the next start.
    """
    finished: list[Path] = []
    for part in sorted(directory.glob("*/*.wav.part")):
        try:
            path = _recover(part)
        except BlockingIOError:
            continue  # locked: another process is writing it
        except OSError as error:
            log.error("recording not recovered", path=str(part), error=str(error))
            continue
        if path is None:
            log.info("empty recording removed", path=str(part))
        else:
            log.warning("recording recovered", path=str(path))
            finished.append(path)
    return finished


def _recover(part: Path) -> Path | None:
    fd = os.open(part, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        stem = part.name.removesuffix(".wav.part")
        path = next(name for name in _names(part.parent, stem) if not name.exists())
        return path if _finish(fd, part, path) else None
    finally:
        os.close(fd)
