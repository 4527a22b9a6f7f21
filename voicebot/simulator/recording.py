"""Write a simulated call to disk: a stereo WAV (customer left, bot right), and an MP3 of it."""

from __future__ import annotations

import shutil
import warnings
import wave
from pathlib import Path

import numpy as np

from voicebot.audio.pcm import SAMPLE_RATE, SAMPLE_WIDTH
from voicebot.simulator.tape import Tape

MP3_BITRATE = "48k"  #: stereo speech at 8 kHz; 0.36 MB a minute


def write_wav(tape: Tape, path: Path) -> None:
    """Write both sides of *tape* to *path*, whose folder is made if needed. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as out:
        out.setnchannels(2)
        out.setsampwidth(SAMPLE_WIDTH)
        out.setframerate(SAMPLE_RATE)
        out.writeframes(_stereo(tape))


def write_mp3(tape: Tape, path: Path) -> bool:
    """Write both sides of *tape* as MP3; False if ffmpeg is not installed. Raises OSError."""
    if shutil.which("ffmpeg") is None:
        return False
    with warnings.catch_warnings():
        # pydub 0.25 has regular expressions that newer Pythons warn about when they compile it.
        warnings.simplefilter("ignore")
        from pydub import AudioSegment
        from pydub.exceptions import CouldntEncodeError

    sound = AudioSegment(
        data=_stereo(tape), sample_width=SAMPLE_WIDTH, frame_rate=SAMPLE_RATE, channels=2
    )
    try:
        sound.export(str(path), format="mp3", bitrate=MP3_BITRATE).close()
    except CouldntEncodeError as error:
        raise OSError(f"ffmpeg could not make {path}: {str(error).splitlines()[0]}") from error
    return True


def _stereo(tape: Tape) -> bytes:
    return np.column_stack((tape.caller(), tape.bot())).astype("<i2").tobytes()
