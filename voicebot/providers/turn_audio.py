"""The caller's audio of the turn under way, from a little before speech began.

Kept by whoever must transcribe a turn as a whole, or a second time, or listen to how it ends. There
are up to three of them in a call, so nothing is copied: each holds on to the frames themselves, and
they are joined when somebody wants all of them. Bounded: between turns to the pre-roll, in a turn
to its last seconds.
"""

from __future__ import annotations

from collections import deque

from voicebot.audio.pcm import BYTES_PER_SECOND, SAMPLE_WIDTH

PRE_ROLL = 0.3  #: seconds kept from before the VAD was sure: it is about 0.1 s late
LONGEST_TURN = 28.0  #: seconds; the window of the embedded engine is 30


class TurnAudio:
    """Slin in, slin out; of a turn its *longest* last seconds."""

    def __init__(self, longest: float = LONGEST_TURN) -> None:
        self._longest = longest
        self.in_turn = False
        self._pieces: deque[bytes] = deque()
        self._size = 0

    def push(self, pcm: bytes) -> None:
        """Take the next piece; what exceeds the bound goes from the beginning."""
        self._pieces.append(pcm)
        self._size += len(pcm)
        longest = self._longest if self.in_turn else PRE_ROLL
        excess = self._size - round(longest * BYTES_PER_SECOND)
        if excess > 0:
            self._drop(excess + excess % SAMPLE_WIDTH)

    def begin(self) -> None:
        """Speech began (or went on after a pause)."""
        self.in_turn = True

    def end(self) -> None:
        """The turn is over: forget it."""
        self.in_turn = False
        self._pieces.clear()
        self._size = 0

    @property
    def pcm(self) -> bytes:
        return b"".join(self._pieces)

    def _drop(self, count: int) -> None:
        """Forget the first *count* bytes."""
        self._size -= count
        while count:
            first = self._pieces.popleft()
            if len(first) > count:
                self._pieces.appendleft(first[count:])
                return
            count -= len(first)
