"""Where the caller speaks in the audio that an emulated recogniser receives, by energy.

Pure. It works in the stream's own time: seconds of audio since its beginning. Windows of 10 ms,
because delays are counted from the end of speech, and a benchmark subtracts them. It is no voice
activity detector: the lines it hears carry one voice and little noise.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from voicebot.audio.pcm import BYTES_PER_SECOND, SAMPLE_RATE

WINDOW: Final = 0.010
_SAMPLES: Final = round(WINDOW * SAMPLE_RATE)
_BYTES: Final = 2 * _SAMPLES
_FULL_SCALE: Final = 32_768.0
#: Speech lies above the noise by so much, but sound below the first of these is never speech, and
#: above the second always (the idle steps of A-law are at -72 dBFS, quiet consonants at -45).
_ABOVE_NOISE: Final = 12.0
_QUIET: Final = -50.0
_LOUD: Final = -35.0
_NOISE_RISE: Final = 0.02  #: dB a window: the noise floor adapts upwards in some ten seconds
#: So many loud windows among the last so many are speech; fewer are a click.
_LOUD_WINDOWS: Final = 4
_OF_LAST: Final = 8
PRE_ROLL: Final = 0.20  #: seconds kept from before the first loud window
LONGEST: Final = 30.0  #: seconds of one utterance that are kept


class Ear:
    """Follows one stream of slin. Feed it in order; read its attributes after each piece."""

    def __init__(self) -> None:
        self.position = 0.0
        """End of what was heard, in whole windows."""
        self.began: float | None = None
        """Start of the utterance that goes on, or None."""
        self.last_sound = 0.0
        """End of the last loud window."""
        self._floor = -60.0
        self._recent = 0  # one bit a window, newest lowest
        self._rest = b""
        self._audio = bytearray()
        self._audio_start = 0.0
        self._spent = 0.0  # end of what belongs to an earlier utterance

    @property
    def silence(self) -> float:
        """Seconds since the last sound."""
        return self.position - self.last_sound

    def push(self, pcm: bytes) -> None:
        """Take some more; at most 20 ms at a time, or starts and ends within it are missed."""
        data = self._rest + pcm
        count = len(data) // _BYTES
        whole, self._rest = data[: count * _BYTES], data[count * _BYTES :]
        if not count:
            return
        windows = np.frombuffer(whole, "<i2").reshape(count, _SAMPLES).astype(np.float32)
        power = np.einsum("ij,ij->i", windows, windows) / (_SAMPLES * _FULL_SCALE**2)
        for level in (10.0 * np.log10(np.maximum(power, 1e-9))).tolist():
            self._window(level)
        self._audio += whole
        excess = len(self._audio) - self._bytes(PRE_ROLL if self.began is None else LONGEST)
        if excess > 0:
            del self._audio[:excess]
            self._audio_start = self.position - len(self._audio) / BYTES_PER_SECOND

    def _window(self, level: float) -> None:
        self.position += WINDOW
        threshold = min(max(self._floor + _ABOVE_NOISE, _QUIET), _LOUD)
        loud = level > threshold
        self._floor = min(level, self._floor + _NOISE_RISE)
        self._recent = (self._recent << 1 | loud) & (1 << _OF_LAST) - 1
        if loud:
            if self.began is None and self._recent.bit_count() >= _LOUD_WINDOWS:
                self.began = self.position - WINDOW * self._recent.bit_length()
            if self.began is not None:
                self.last_sound = self.position

    def utterance(self, until: float) -> tuple[bytes, float]:
        """The audio of what goes on, up to *until*, and the time at which that audio starts."""
        start = max(self._audio_start, self._spent, (self.began or 0.0) - PRE_ROLL)
        first = self._bytes(start - self._audio_start)
        return bytes(self._audio[first : self._bytes(until - self._audio_start)]), start

    def end(self, until: float) -> None:
        """The utterance is over at *until*: the next sound begins another, and none of the audio
        before is part of it."""
        self._spent = until
        self.began = None
        self._recent = 0

    @staticmethod
    def _bytes(seconds: float) -> int:
        return 2 * max(0, round(seconds * SAMPLE_RATE))
