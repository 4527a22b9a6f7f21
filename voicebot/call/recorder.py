"""Recordings: one stereo WAV for each call, caller left, bot right, safe against any crash.

The event loop only collects references to frames and hands over four at a time (80 ms); one
thread does all the file work, a few calls' at once. What that guarantees:

* The process is killed at any instant: at most the last 100 ms of each call are lost, if the thread
  gets its turn within 5 ms; else what it had not got to. Written bytes are in the kernel's page
  cache, which outlives us.
* A file is readable at any instant: its header has the sizes a stream has (all ones), which
  ffmpeg and most players take as "until the end". :func:`recover` puts the right sizes in.
* The machine loses power: what the kernel had not written back yet (tens of seconds) is lost. A
  *finished* file was synchronised before it got its name.
* The disk is full or fails: that recording ends where it stands and is kept, the call goes on,
  and the next call tries again.

Files are ``<directory>/<date>/<time>-<call id>.wav``, date and time UTC as in the log, with
``.part`` behind it while they grow. A growing file is locked by its writer, which is how
:func:`recover` tells an orphan from the file of a process that lives.
"""

from __future__ import annotations

import fcntl
import os
import queue
import struct
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog

from voicebot.audio.pcm import FRAME_BYTES, SAMPLE_RATE
from voicebot.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

BATCH_FRAMES: Final = 4
"""Frames handed over at once: what a kill may cost, against the cost for each frame."""
GATHER_SECONDS: Final = 0.015
"""How long the thread lets batches come together. To be woken by each of them, 250 times a second
for 20 calls, costs the event loop more than the batch: the thread then shares its interpreter."""
CAPACITY: Final = 5_000
"""Batches in the queue, of all calls together: 20 s of 20 calls, 13 MB. A new one is dropped and
counted at the bound; the gap is silence in the file, so both sides stay in time."""
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


class Recording:
    """One call's recording. Every method is for the event loop and returns at once."""

    def __init__(self, recorder: Recorder, call_id: str) -> None:
        self.call_id = call_id
        self.path: Path | None = None
        """Where it will be once finished; None until the file exists, or if it never could."""
        self._recorder = recorder
        self._frames = 0
        self._caller: list[bytes] = []
        self._bot: list[bytes] = []
        self._closed = False

    def write(self, caller_frame: bytes, bot_frame: bytes) -> None:
        """Take one 20 ms slot: what the caller sent and what we played (slin, 320 bytes each)."""
        if self._closed:
            return
        self._caller.append(caller_frame)
        self._bot.append(bot_frame)
        if len(self._caller) == BATCH_FRAMES:
            self._hand_over()

    def close(self) -> None:
        """No more will come; the file is finished in the background. Idempotent."""
        if self._closed:
            return
        self._hand_over()
        self._closed = True
        self._recorder._forget(self)

    def discard(self) -> None:
        """Stop, and delete the file: the caller does not want to be recorded. Idempotent."""
        if self._closed:
            return
        self._caller, self._bot = [], []
        self._closed = True
        self._recorder._forget(self, keep=False)

    def _hand_over(self) -> None:
        if not self._caller:
            return
        batch = _Batch(self, self._frames, self._caller, self._bot)
        self._frames += len(self._caller)
        self._caller, self._bot = [], []
        self._recorder._take(batch)


@dataclass(frozen=True, slots=True)
class _Batch:
    recording: Recording
    first: int
    """Number of its first frame in the call: shows how much is missing before it."""
    caller: list[bytes]
    bot: list[bytes]


@dataclass(frozen=True, slots=True)
class _Open:
    recording: Recording
    at: datetime


@dataclass(frozen=True, slots=True)
class _Close:
    recording: Recording
    keep: bool


class Recorder:
    """Writes the recordings of all calls below *directory*. Owned by the event loop's thread."""

    def __init__(
        self,
        directory: Path,
        metrics: Metrics,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        capacity: int = CAPACITY,
    ) -> None:
        self._directory = directory
        self._metrics = metrics
        self._dropped = metrics.dropped_frames.labels("recorder")
        self._clock = clock
        self._capacity = capacity
        self._queue: queue.SimpleQueue[_Batch | _Open | _Close | None] = queue.SimpleQueue()
        self._live: set[Recording] = set()
        self._files: dict[Recording, _File] = {}  # the thread's alone
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def open(self, call_id: str) -> Recording:
        """Begin the recording of a call. Never fails: what goes wrong is logged and counted.

        The same *call_id* again (a call that came back) begins another file. The caller owes a
        ``close()``.
        """
        recording = Recording(self, call_id)
        self._live.add(recording)
        self._queue.put(_Open(recording, self._clock()))
        return recording

    def close(self, timeout: float = 10.0) -> bool:
        """Finish every recording and stop. False if the disk did not let it in *timeout* s."""
        for recording in list(self._live):
            recording.close()
        self._queue.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    @property
    def pending(self) -> int:
        """Batches, openings and closings that wait for the disk."""
        return self._queue.qsize()

    def _take(self, batch: _Batch) -> None:
        if self.pending >= self._capacity:
            self._dropped.inc(len(batch.caller))
        else:
            self._queue.put(batch)

    def _forget(self, recording: Recording, *, keep: bool = True) -> None:
        self._live.discard(recording)
        # Always accepted: there are at most two of these for each call.
        self._queue.put(_Close(recording, keep))

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            try:
                self._handle(item)
            except OSError as error:
                self._fail(item.recording, error)
            if self._queue.empty():
                time.sleep(GATHER_SECONDS)

    def _handle(self, item: _Batch | _Open | _Close) -> None:
        recording = item.recording
        if isinstance(item, _Open):
            self._metrics.recordings.inc()
            self._files[recording] = _File.create(self._directory, recording.call_id, item.at)
            recording.path = self._files[recording].path
            return
        file = self._files.get(recording)
        if file is None:  # it failed before
            if isinstance(item, _Close) and not item.keep:
                _remove_kept(recording)
            return
        if isinstance(item, _Batch):
            file.append(item)
            return
        if not item.keep:
            file.remove()
        if not item.keep or not file.finish():
            recording.path = None
        del self._files[recording]

    def _fail(self, recording: Recording, error: OSError) -> None:
        """Keep what there is; the rest of this call is not recorded."""
        self._metrics.recording_failures.inc()
        file = self._files.pop(recording, None)
        log.error(
            "recording stopped",
            call_id=recording.call_id,
            path=str(file.part if file else self._directory),
            error=f"{type(error).__name__}: {error.strerror or error}",
            seconds_kept=round(file.seconds, 1) if file else 0.0,
            advice="free or mount the disk of RECORDINGS_DIR; the next call tries again",
        )
        if file:
            # If even this fails, the .part file stays, and recover() finishes it at the next start.
            with suppress(OSError):
                file.finish()
            file.release()


class _File:
    """One growing file. Every method may raise OSError."""

    def __init__(self, fd: int, part: Path, path: Path) -> None:
        self._fd = fd
        self.part = part
        self.path = path
        self._frames = 0
        self._size = 0
        self._write(header(None))

    @classmethod
    def create(cls, directory: Path, call_id: str, at: datetime) -> _File:
        day = directory / f"{at:%Y-%m-%d}"
        directory.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
        day.mkdir(mode=_DIRECTORY_MODE, exist_ok=True)
        for path in _names(day, f"{at:%H%M%S}-{call_id}"):
            part = _growing(path)
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

    def append(self, batch: _Batch) -> None:
        missing = batch.first - self._frames
        if missing:
            self._write(bytes(missing * FRAME_BYTES * 2))
        self._write(interleave(batch.caller, batch.bot))
        self._frames = batch.first + len(batch.caller)

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


def _growing(path: Path) -> Path:
    """What the file *path* is called until it is finished."""
    return path.with_name(f"{path.name}.part")


def _remove_kept(recording: Recording) -> None:
    """What a recording that failed had held: also that is not to be kept."""
    path, recording.path = recording.path, None
    if path is not None:
        path.unlink(missing_ok=True)
        _growing(path).unlink(missing_ok=True)


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
