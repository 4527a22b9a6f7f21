"""From what a synthesiser makes to slin that can be put end to end.

A synthesiser pads each clause with silence, 0.3 s in Kokoro's case, and is louder in short clauses
than in long ones. A caller must hear neither: silence is trimmed (or a turn would seem to end in
the middle of a sentence), speech has one loudness, and a pause is as long as the punctuation asks.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import soxr

from voicebot.audio.pcm import SAMPLE_RATE

Float = npt.NDArray[np.float32]

#: Loudness of the parts with speech in them. G.711 clips at about +3 dBm0; this leaves the peaks
#: of speech, 15 dB above its mean, a little room.
LEVEL_DBFS = -19.0
PEAK = 10 ** (-1 / 20)
#: Trimming: what is below this fraction of the loudest sample is silence at the ends.
_SILENT = 0.02
_LEAD_IN = 0.010
_TAIL = 0.060
_FADE = 0.005
#: Seconds of silence that a listener expects after a mark.
_PAUSES = {",": 0.12, ";": 0.20, ":": 0.20, "—": 0.20, ".": 0.25, "!": 0.25, "?": 0.25, "…": 0.30}


def finish(audio: Float, rate: int, mark: str) -> bytes:
    """Slin of *audio* (*rate* hertz), with the pause that the punctuation *mark* asks for."""
    audio = trim(soxr.resample(audio, rate, SAMPLE_RATE, quality="MQ"))
    fade = round(_FADE * SAMPLE_RATE)
    if len(audio) > 2 * fade:
        ramp = np.linspace(0, 1, fade, dtype=np.float32)
        audio[:fade] *= ramp
        audio[-fade:] *= ramp[::-1]
    pause = np.zeros(round(_PAUSES.get(mark, 0.0) * SAMPLE_RATE), np.float32)
    samples = np.concatenate([level(audio), pause])
    return bytes(np.rint(samples * 32767).astype("<i2").tobytes())


def trim(audio: Float) -> Float:
    """*audio* (8 kHz) without the silence at its ends, but for a breath."""
    if not len(audio):
        return audio
    loud = np.flatnonzero(np.abs(audio) > _SILENT * np.abs(audio).max())
    if not len(loud):
        return audio[:0]
    start = max(0, loud[0] - round(_LEAD_IN * SAMPLE_RATE))
    return audio[start : loud[-1] + round(_TAIL * SAMPLE_RATE)]


def active_level(audio: Float) -> float:
    """Root mean square of the 20 ms frames that hold speech: those within 25 dB of the loudest."""
    size = SAMPLE_RATE // 50
    frames = audio[: len(audio) // size * size].reshape(-1, size)
    if not len(frames):
        return 0.0
    power = (frames.astype(np.float64) ** 2).mean(axis=1)
    loudest = power.max()
    return float(np.sqrt(power[power >= loudest * 10**-2.5].mean())) if loudest else 0.0


def level(audio: Float) -> Float:
    """*audio* (8 kHz) at :data:`LEVEL_DBFS`; the few peaks above are bent, not clipped."""
    rms = active_level(audio)
    if not rms:
        return audio
    louder = audio * np.float32(10 ** (LEVEL_DBFS / 20) / rms)
    knee = PEAK / 2
    over = np.abs(louder) - knee
    bent = knee + (PEAK - knee) * np.tanh(over / (PEAK - knee))
    return np.where(over > 0, np.sign(louder) * bent, louder).astype(np.float32)
