"""Recordings: one stereo WAV for each call, caller left, bot right, safe against any crash.

The event loop only collects references to frames and hands over four at a time (80 ms); one
thread does all the file work, a few calls' at once. What that guarantees:

* The process is killed at any instant: at most the last 100 ms of each call are lost, if the thread
  gets its turn within 5 ms; else what it had not got to. Written bytes are in the kernel's page
  cache, which outlives us.
* A file is readable at any instant: its header has the sizes a stream has (all ones), which
  ffmpeg and most players take as "until the end". ``recover()`` puts the right sizes in.
* The machine loses power: what the kernel had not written back yet (tens of seconds) is lost. A
  *finished* file was synchronised before it got its name.
* The disk is full or fails: that recording ends where it stands and is kept, the call goes on,
  and the next call tries again.

Files are ``<directory>/<date>/<time>-<call id>.wav``, date and time UTC as in the log, with
``.part`` behind it while they grow (:mod:`voicebot.call.recording_file`).
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog

from voicebot.call.recording_file import RecordingFile, growing
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
        self._files: dict[Recording, RecordingFile] = {}  # the thread's alone
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
            self._files[recording] = RecordingFile.create(
                self._directory, recording.call_id, item.at
            )
            recording.path = self._files[recording].path
            return
        file = self._files.get(recording)
        if file is None:  # it failed before
            if isinstance(item, _Close) and not item.keep:
                _remove_kept(recording)
            return
        if isinstance(item, _Batch):
            file.append(item.first, item.caller, item.bot)
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
                if not file.finish():
                    recording.path = None
            # Some file systems tell of a write that failed only now. The thread lives on.
            with suppress(OSError):
                file.release()


def _remove_kept(recording: Recording) -> None:
    """What a recording that failed had held: also that is not to be kept."""
    path, recording.path = recording.path, None
    if path is not None:
        path.unlink(missing_ok=True)
        growing(path).unlink(missing_ok=True)
