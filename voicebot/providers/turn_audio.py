"""The caller's audio of the turn under way, from a little before speech began.

Kept by whoever must transcribe a turn as a whole, or a second time. Bounded: between turns to the
pre-roll, in a turn to its last seconds.
"""

from __future__ import annotations

from voicebot.audio.pcm import BYTES_PER_SECOND, SAMPLE_WIDTH

PRE_ROLL = 0.3  #: seconds kept from before the VAD was sure: it is about 0.1 s late
LONGEST_TURN = 28.0  #: seconds; the window of the embedded engine is 30


class TurnAudio:
    """Slin in, slin out; of a turn its *longest* last seconds."""

    def __init__(self, longest: float = LONGEST_TURN) -> None:
        self._longest = longest
        self.in_turn = False
        self._audio = bytearray()

    def push(self, pcm: bytes) -> None:
        """Take the next piece; what exceeds the bound goes from the beginning."""
        self._audio += pcm
        longest = self._longest if self.in_turn else PRE_ROLL
        excess = len(self._audio) - round(longest * BYTES_PER_SECOND)
        if excess > 0:
            del self._audio[: excess + excess % SAMPLE_WIDTH]

    def begin(self) -> None:
        """Speech began (or went on after a pause)."""
        self.in_turn = True

    def end(self) -> None:
        """The turn is over: forget it."""
        self.in_turn = False
        self._audio.clear()

    @property
    def pcm(self) -> bytes:
        return bytes(self._audio)
