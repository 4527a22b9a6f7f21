"""Whole clips of sound made into slin: what a worker does for the prompts.

MP3, WAV, FLAC and Ogg are decoded in the process, by libsndfile: a hundredth of what starting
ffmpeg costs, as pydub does. What libsndfile does not know (AAC, WMA) goes through pydub and ffmpeg.
"""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from voicebot.audio import loudness
from voicebot.audio.pcm import SAMPLE_RATE

MOST_SECONDS = 600
"""A longer clip is no prompt; it would fill the memory of every process that plays it."""
_BLOCK = 1 << 18  # frames
_QUALITY = "MQ"  # flat to 3.6 kHz, aliases below -85 dB: see voicebot.audio.resample


class ClipError(Exception):
    """The clip cannot be used; ``str()`` says why."""


def decode(data: bytes) -> bytes:
    """Slin of the file *data*, at the loudness that it has. Raises ClipError."""
    import soxr

    samples, rate = _read(data)
    mono = samples.mean(axis=1) if samples.shape[1] > 1 else samples[:, 0]
    if rate != SAMPLE_RATE:
        mono = soxr.resample(mono, rate, SAMPLE_RATE, quality=_QUALITY)
    return bytes(np.rint(np.clip(mono, -1, 1) * 32767).astype("<i2").tobytes())


def make(data: bytes) -> bytes:
    """Worker job: slin of the file *data*, as loud as every prompt. Raises ClipError."""
    return level(decode(data))


def level(pcm: bytes) -> bytes:
    """Worker job: *pcm* as loud as every prompt."""
    return loudness.levelled(pcm)


def _read(data: bytes) -> tuple[npt.NDArray[Any], int]:
    """Samples (frames by channels, full scale 1) and their rate."""
    import soundfile

    blocks = []
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            left = MOST_SECONDS * file.samplerate
            # A file that was written to a pipe does not know its length.
            while len(block := file.read(_BLOCK, dtype="float32", always_2d=True)):
                blocks.append(block)
                left -= len(block)
                if left < 0:
                    raise ClipError(f"is longer than {MOST_SECONDS} s")
            silence = np.zeros((0, file.channels), np.float32)
            return np.concatenate([silence, *blocks]), int(file.samplerate)
    except soundfile.LibsndfileError:
        return _by_ffmpeg(data)


def _by_ffmpeg(data: bytes) -> tuple[npt.NDArray[Any], int]:
    with warnings.catch_warnings():
        # pydub 0.25 has regular expressions that newer Pythons warn about when they compile it.
        warnings.simplefilter("ignore")
        from pydub import AudioSegment
        from pydub.exceptions import CouldntDecodeError
    try:
        sound = AudioSegment.from_file(io.BytesIO(data)).set_sample_width(2)
    except (CouldntDecodeError, IndexError, KeyError):  # the latter: ffprobe found no sound in it
        raise ClipError("is no sound that libsndfile or ffmpeg knows") from None
    except FileNotFoundError:
        raise ClipError("is in a format for which ffmpeg is needed; install that") from None
    if sound.duration_seconds > MOST_SECONDS:
        raise ClipError(f"is longer than {MOST_SECONDS} s")
    samples = np.frombuffer(sound.raw_data, "<i2").astype(np.float32) / 32768
    return samples.reshape(-1, sound.channels), int(sound.frame_rate)
