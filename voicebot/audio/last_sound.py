"""Where in its audio did a voice stop? To 8 ms, which the detector of speech cannot tell.

Silero's probability has inertia: after a caller's last sound it stays high for another 0.1 s, now
and then for 0.25 s (36 clips of telephone French). Whether a sound *is* speech only the detector
knows, so it keeps the decision; this module finds the last sound within what it took for speech, by
energy: on a quiet line 0 to 40 ms after the true end, with noise 20 dB below the voice 30 ms to
either side of it. Where the noise is louder, energy tells nothing, and the detector's end stands.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from voicebot.audio.pcm import SAMPLE_RATE

BLOCK_SAMPLES: Final = 64
_BLOCK_SECONDS: Final = BLOCK_SAMPLES / SAMPLE_RATE
#: A sound stands out of the noise by this much (dB)...
_ABOVE_NOISE: Final = 6.0
#: ...and lies not further than this below the loudest sound of the utterance (dB), which is the
#: range of speech: what is softer is breath, or the room.
_RANGE: Final = 30.0
#: In any noise, whatever is louder than this below the loudest sound is taken for the voice (dB).
_SURE: Final = 20.0
#: How much of a new window goes into the level of the noise: about a sixth of a second is averaged.
_NOISE_STEP: Final = 0.2
_SILENCE: Final = -90.0
_FULL_SCALE: Final = 2.0**30


class LastSound:
    """Of one caller. Feed it every window (whole blocks of 64 samples), in order."""

    def __init__(self) -> None:
        self._noise = _SILENCE
        self._voice = _SILENCE
        self._quiet = 0.0

    def window(self, slin: bytes, *, speech: bool) -> float:
        """Seconds since the last sound of speech, at the end of *slin*.

        *speech*: the detector takes the window for speech; others are noise, whatever their level.
        """
        samples = np.frombuffer(slin, "<i2").astype(np.float32)
        if not speech:
            level = _decibels(float(samples @ samples) / len(samples))
            self._noise += _NOISE_STEP * (level - self._noise)
            self._voice = _SILENCE
            self._quiet += len(samples) / SAMPLE_RATE
            return self._quiet
        blocks = samples.reshape(-1, BLOCK_SAMPLES)
        power = np.einsum("ij,ij->i", blocks, blocks) / np.float32(BLOCK_SAMPLES)
        self._voice = max(self._voice, _decibels(float(power.max())))
        least = min(max(self._noise + _ABOVE_NOISE, self._voice - _RANGE), self._voice - _SURE)
        loud = np.flatnonzero(power > _FULL_SCALE * 10 ** (least / 10))
        blocks_since = len(blocks) - 1 - int(loud[-1]) if loud.size else len(blocks)
        self._quiet = blocks_since * _BLOCK_SECONDS + (0.0 if loud.size else self._quiet)
        return self._quiet


def _decibels(power: float) -> float:
    """Of full scale; *power* is the mean square of samples."""
    return 10.0 * math.log10(max(power / _FULL_SCALE, 1e-9))
