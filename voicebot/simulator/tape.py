"""Both sides of a call on one clock: what the customer sent, and what came back when it came.

The customer's side is a sequence of frames sent on an absolute 20 ms clock, so it needs no times
beyond its start. The bot's side is placed by *arrival*: Asterisk passes each AudioSocket message
on as one RTP packet at once, so the moment a frame arrives here is the moment a telephone could
play it. A frame whose arrival lies within a telephone's jitter buffer of its predecessor's end
joins it without a gap; one that comes later leaves a gap, which is kept and counted. While the
bot is silent the track returns to arrival times, as a jitter buffer does.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass

import numpy as np

from voicebot.audio.pcm import BYTES_PER_SECOND, FRAME_SECONDS, SAMPLE_RATE
from voicebot.simulator.activity import Samples

#: How late a frame may be without being heard as a gap: the smallest jitter buffer of telephones.
JITTER_BUFFER_SECONDS = 0.040
#: A frame without a sample above this is silence (the idle steps of A-law are +-8).
SILENT_PEAK = 16
#: More frames than any service sends ahead of time when a call begins.
SENT_AHEAD = 5


@dataclass(frozen=True, slots=True)
class Gap:
    """A hole in the bot's sound that came from late frames."""

    at: float
    """Seconds from the start of the tape."""
    seconds: float


class Tape:
    """Records both sides from *start* on (seconds, the clock of all other times)."""

    def __init__(self, start: float) -> None:
        self.start = start
        self._caller = bytearray()
        self._bot = bytearray()
        self._silent_tail = 0
        self.arrivals = array("d")
        """When each message of the bot arrived."""
        self.sizes = array("i")
        """Bytes of audio in each."""
        self.gaps: list[Gap] = []

    def sent(self, pcm: bytes) -> None:
        """Add the next frame of the customer, due right after the one before."""
        self._caller += pcm

    def received(self, pcm: bytes, now: float) -> None:
        """Add a piece of the bot's audio (even size) that arrived at *now*."""
        self.arrivals.append(now)
        self.sizes.append(len(pcm))
        arrived = max(0, round((now - self.start) * SAMPLE_RATE)) * 2
        late = arrived - len(self._bot)
        silent = _is_silent(pcm)
        sounding = self._silent_tail == 0 and len(self._bot) > 0
        if silent and late < 0:
            # Frames came in a burst: give back the silence, so that what follows is on time.
            surplus = min(-late, self._silent_tail)
            del self._bot[len(self._bot) - surplus :]
            self._silent_tail -= surplus
        elif late > (_BUFFER_BYTES if sounding else 0):
            if sounding and not silent:
                self.gaps.append(Gap(self._seconds(len(self._bot)), late / BYTES_PER_SECOND))
            self._bot += bytes(late)
        self._bot += pcm
        self._silent_tail = self._silent_tail + len(pcm) if silent else 0

    @property
    def duration(self) -> float:
        """Seconds of the longer side."""
        return self._seconds(max(len(self._caller), len(self._bot)))

    def caller(self) -> Samples:
        """The customer's side, as long as the whole tape."""
        return self._padded(self._caller)

    def bot(self) -> Samples:
        """The bot's side, as long as the whole tape."""
        return self._padded(self._bot)

    def _padded(self, side: bytearray) -> Samples:
        samples = np.zeros(max(len(self._caller), len(self._bot)) // 2, dtype="<i2")
        samples[: len(side) // 2] = np.frombuffer(bytes(side), "<i2")
        return samples

    @staticmethod
    def _seconds(size: int) -> float:
        return size / BYTES_PER_SECOND


_BUFFER_BYTES = int(JITTER_BUFFER_SECONDS * BYTES_PER_SECOND)


def _is_silent(pcm: bytes) -> bool:
    samples = memoryview(pcm).cast("h")
    return not samples or (max(samples) <= SILENT_PEAK and min(samples) >= -SILENT_PEAK)


@dataclass(frozen=True, slots=True)
class Pacing:
    """How regularly frames arrived, seen by the one who has to play them."""

    frames: int
    lateness: tuple[float, ...]
    """Of each frame, seconds behind the best clock of the second before it."""
    drift: float
    """Seconds a minute by which that clock falls behind; 0 is perfect."""

    def percentile(self, share: float) -> float:
        """Lateness in seconds that *share* (0 to 100) of the frames do not exceed."""
        return float(np.percentile(self.lateness, share)) if self.lateness else 0.0


def pacing(tape: Tape) -> Pacing:
    """Measure the arrival of every message of *tape* against an ideal 20 ms clock.

    Lateness is judged by the last second, because a service that was held up starts its clock
    anew; how far that takes it from the wall clock is the drift. The first few messages are left
    out: a service sends some ahead, which makes those look late.
    """
    arrivals = np.asarray(tape.arrivals)
    if arrivals.size <= SENT_AHEAD + 1:
        return Pacing(int(arrivals.size), (), 0.0)
    played = np.concatenate(([0.0], np.cumsum(np.asarray(tape.sizes[:-1])))) / BYTES_PER_SECOND
    offset = (arrivals - played)[SENT_AHEAD:]
    second = round(1 / FRAME_SECONDS)
    before = np.concatenate((np.full(second - 1, offset[:second].min()), offset))
    best = np.lib.stride_tricks.sliding_window_view(before, second).min(axis=1)
    minutes = (arrivals[SENT_AHEAD:] - arrivals[0]) / 60.0
    drift = float(np.polyfit(minutes, offset, 1)[0])
    return Pacing(int(arrivals.size), tuple(map(float, offset - best)), drift)
