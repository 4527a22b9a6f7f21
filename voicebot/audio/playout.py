"""What the bot is about to say, cut into slots of 20 ms, and how much of it was heard.

Sentences arrive faster than they are spoken: from memory at once, from synthesis in pieces. They
wait here. The connection takes one frame for each slot, a lead of two frames before the caller
hears it; so what was *taken* is not yet what was *heard*, and this module keeps the two apart:
history must hold what the caller heard before he spoke up, not what we had ready.

It knows nothing of time: slots are its clock. It must be asked (:meth:`PlayoutBuffer.pop`) once
for each slot from the start of the call, speech or not.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from voicebot.audio.pacing import LEAD_FRAMES
from voicebot.audio.pcm import BYTES_PER_SECOND, FRAME_BYTES, FRAME_SECONDS

#: Most audio that may wait. The longest sentence ever said takes a quarter of it.
MAX_WAITING_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class PlayoutFrame:
    """The audio of one slot."""

    utterance: int
    pcm: bytes
    """Always FRAME_BYTES; the end of the last one is padded with silence."""
    first: bool
    """It starts its utterance."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What a flush cut off."""

    utterance: int
    """The oldest one that was not heard to its end."""
    seconds: float
    """How much of it the caller had heard when it was cut; 0 if it had only been written."""
    dropped: tuple[int, ...]
    """Later ones, of which nothing was heard."""


class _Utterance:
    """Audio of one utterance that still waits, kept in the pieces it came in (no copying)."""

    __slots__ = ("_offset", "_pieces", "finished", "number", "played", "waiting")

    def __init__(self, number: int) -> None:
        self.number = number
        self.finished = False
        self.played = 0  # frames
        self.waiting = 0  # bytes
        self._pieces: deque[bytes] = deque()
        self._offset = 0  # into the first piece

    def push(self, pcm: bytes) -> None:
        self._pieces.append(pcm)
        self.waiting += len(pcm)

    def take(self) -> bytes:
        """One frame, padded if there is less. Only if something waits."""
        first, start = self._pieces[0], self._offset
        if len(first) - start > FRAME_BYTES:
            self._offset += FRAME_BYTES
            frame = first[start : start + FRAME_BYTES]
        else:
            frame = self._gather()
        self.waiting -= min(self.waiting, FRAME_BYTES)
        self.played += 1
        return frame

    def _gather(self) -> bytes:
        frame = bytearray()
        while self._pieces and len(frame) < FRAME_BYTES:
            piece = self._pieces[0]
            end = self._offset + FRAME_BYTES - len(frame)
            frame += piece[self._offset : end]
            if end >= len(piece):
                self._pieces.popleft()
                self._offset = 0
            else:
                self._offset = end
        return bytes(frame.ljust(FRAME_BYTES, b"\0"))


class PlayoutBuffer:
    """The playout of one call.

    Utterances are numbered by the caller, upwards, and play in that order without a gap. For
    each one push its audio, then finish it. Bound: MAX_WAITING_SECONDS; audio beyond it is
    dropped from the end and counted.
    """

    def __init__(self, lead: int = LEAD_FRAMES) -> None:
        self._waiting: deque[_Utterance] = deque()
        self._written: deque[_Utterance] = deque()  # all taken, the end not yet heard
        # Which utterance each slot carried that is taken but not yet due at the caller.
        self._in_flight: deque[int | None] = deque(maxlen=lead)
        self._newest = -1  # highest number seen
        self._flushed = -1  # highest number a flush took
        self._heard: list[int] = []
        self.underruns = 0
        """Slots with nothing to play in the middle of an utterance."""
        self.overflow_frames = 0
        """Frames dropped at the bound."""

    @property
    def busy(self) -> bool:
        """Something is playing, waits to play, or is still being made."""
        return bool(self._waiting or self._written)

    @property
    def waiting_seconds(self) -> float:
        """Audio that has not been taken."""
        return sum(utterance.waiting for utterance in self._waiting) / BYTES_PER_SECOND

    def push(self, utterance: int, pcm: bytes) -> None:
        """Add audio (whole samples) to the end of *utterance*.

        Ignored after a flush that took the utterance: synthesis may be a moment late to stop.
        Raises ValueError if the utterance is finished, or new and below an earlier number.
        """
        if utterance <= self._flushed:
            return
        target = self._open(utterance)
        room = round((MAX_WAITING_SECONDS - self.waiting_seconds) * BYTES_PER_SECOND)
        if len(pcm) > room:
            self.overflow_frames += -(-(len(pcm) - room) // FRAME_BYTES)
            pcm = pcm[: max(0, room)]
        if pcm:
            target.push(pcm)

    def finish(self, utterance: int) -> None:
        """No more audio will come for *utterance* (which may have had none)."""
        if utterance > self._flushed:
            self._open(utterance).finished = True

    def pop(self) -> PlayoutFrame | None:
        """What the next slot carries; None is silence. The caller owes: :meth:`take_heard`."""
        frame = self._take()
        self._in_flight.append(frame.utterance if frame else None)
        while self._written and self._written[0].number not in self._in_flight:
            self._heard.append(self._written.popleft().number)
        return frame

    def take_heard(self) -> tuple[int, ...]:
        """Utterances that were heard to their end since the last call of this."""
        heard, self._heard = tuple(self._heard), []
        return heard

    def flush(self) -> Heard | None:
        """Drop everything that was not taken; None if there is nothing to cut.

        The caller still hears the lead: those frames are at the phone already. They are not
        counted as heard.
        """
        cut = [*self._written, *self._waiting]
        if not cut:
            return None
        self._written.clear()
        self._waiting.clear()
        oldest = cut[0]
        self._flushed = cut[-1].number
        frames = oldest.played - self._in_flight.count(oldest.number)
        return Heard(
            oldest.number, frames * FRAME_SECONDS, tuple(later.number for later in cut[1:])
        )

    def _open(self, number: int) -> _Utterance:
        for utterance in self._waiting:
            if utterance.number == number and not utterance.finished:
                return utterance
        if number <= self._newest:
            raise ValueError(f"utterance {number} is finished, or {self._newest} began before it")
        self._newest = number
        utterance = _Utterance(number)
        self._waiting.append(utterance)
        return utterance

    def _take(self) -> PlayoutFrame | None:
        while self._waiting:
            head = self._waiting[0]
            if head.waiting >= FRAME_BYTES or (head.finished and head.waiting):
                frame = PlayoutFrame(head.number, head.take(), first=head.played == 1)
                self._retire_if_done(head)
                return frame
            if not self._retire_if_done(head):
                self.underruns += head.played > 0
                return None
        return None

    def _retire_if_done(self, head: _Utterance) -> bool:
        if head.finished and not head.waiting:
            self._written.append(self._waiting.popleft())
            return True
        return False
