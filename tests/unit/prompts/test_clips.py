"""Sound files made into prompts: what is decoded, and that resampling neither folds nor dulls."""

from __future__ import annotations

import asyncio
import os
import subprocess

import numpy as np
import numpy.typing as npt
import pytest
import uvloop

from voicebot.audio.loudness import TARGET, TOLERANCE, integrated
from voicebot.audio.resample import StreamResampler
from voicebot.prompts import clips
from voicebot.prompts.studio import Studio
from voicebot.telemetry.metrics import Metrics
from voicebot.workers.pool import WorkerError, WorkerPool


def tone(hertz: float, rate: int, seconds: float = 1.0, level: float = 0.5) -> bytes:
    times = np.arange(round(rate * seconds)) / rate
    return bytes(np.rint(32767 * level * np.sin(2 * np.pi * hertz * times)).astype("<i2").tobytes())


def encoded(pcm: bytes, rate: int, form: str, channels: int = 1) -> bytes:
    return subprocess.run(
        ["ffmpeg", "-v", "error", "-f", "s16le", "-ar", str(rate), "-ac", str(channels), "-i", "-",
         *(["-movflags", "frag_keyframe+empty_moov"] if form == "mp4" else []), "-f", form, "-"],
        input=pcm, capture_output=True, check=True,
    ).stdout  # fmt: skip


def levels(pcm: bytes) -> npt.NDArray[np.float64]:
    """Of each hertz from 0 to 4000, dB against a full-scale sine; the middle second."""
    samples = np.frombuffer(pcm, "<i2").astype(float) / 32768
    middle = samples[len(samples) // 2 - 4000 : len(samples) // 2 + 4000]
    window = np.hanning(len(middle))
    spectrum = np.abs(np.fft.rfft(middle * window)) / (window.sum() / 2)
    return np.asarray(20 * np.log10(spectrum + 1e-12))


def streamed(pcm: bytes, rate: int) -> bytes:
    """As a cloud's audio is resampled: in pieces, on the event loop."""
    stream = StreamResampler(rate, 8000)
    return b"".join(stream.push(pcm[i : i + 960]) for i in range(0, len(pcm), 960)) + stream.flush()


def whole(pcm: bytes, rate: int) -> bytes:
    """As a sound file is."""
    return clips.decode(encoded(pcm, rate, "wav"))


@pytest.mark.parametrize("way", [streamed, whole])
@pytest.mark.parametrize("rate", [16_000, 22_050, 24_000, 44_100, 48_000])
def test_nothing_above_4_khz_is_heard_below(way: object, rate: int) -> None:
    assert callable(way)
    for hertz in range(4_400, min(rate // 2, 12_000), 400):
        assert levels(way(tone(hertz, rate, 1.5, 1.0), rate)).max() < -60, hertz


@pytest.mark.parametrize("way", [streamed, whole])
@pytest.mark.parametrize("rate", [16_000, 22_050, 24_000, 44_100, 48_000])
def test_what_a_telephone_carries_is_kept_to_1_db(way: object, rate: int) -> None:
    assert callable(way)
    for hertz in [100, 300, *range(400, 3_401, 200)]:
        found = levels(way(tone(hertz, rate, 1.5), rate))
        assert found[hertz] == pytest.approx(-6.02, abs=1.0), hertz
        assert int(found.argmax()) == hertz


@pytest.mark.parametrize("form", ["wav", "mp3", "flac", "ogg", "mp4"])
def test_any_usual_format_is_decoded(form: str) -> None:
    data = encoded(tone(440, 24_000, 2.0), 24_000, form)
    pcm = clips.decode(data)
    assert len(pcm) / 16_000 == pytest.approx(2.0, abs=0.1)
    assert int(levels(pcm).argmax()) == 440


def test_two_channels_become_one() -> None:
    left, silence = np.frombuffer(tone(440, 8000), "<i2"), np.zeros(8000, "<i2")
    both = np.column_stack((left, silence)).astype("<i2").tobytes()
    assert levels(clips.decode(encoded(both, 8000, "wav", 2)))[440] == pytest.approx(-12.0, abs=0.2)


@pytest.mark.parametrize("data", [b"", b"no sound at all", b"RIFF\0\0\0\0WAVE", os.urandom(5000)])
def test_what_is_no_sound_is_refused(data: bytes) -> None:
    with pytest.raises(clips.ClipError, match="no sound"):
        clips.decode(data)


def test_a_clip_that_is_too_long_is_refused() -> None:
    data = encoded(bytes(2 * 8000 * (clips.MOST_SECONDS + 1)), 8000, "flac")
    with pytest.raises(clips.ClipError, match="longer than 600 s"):
        clips.decode(data)


def test_the_studio_works_in_the_workers() -> None:
    async def story() -> tuple[bytes, bytes]:
        pool = WorkerPool([min(os.sched_getaffinity(0))], Metrics())
        await pool.start()
        try:
            studio = Studio(pool)
            with pytest.raises(WorkerError, match="clip: ClipError"):
                await studio.clip(b"no sound")
            data = encoded(tone(440, 24_000, 1.0, 0.01), 24_000, "mp3")
            return await asyncio.gather(studio.clip(data), studio.level(tone(440, 8000)))
        finally:
            await pool.close()

    for made in uvloop.run(story()):
        found = integrated(np.frombuffer(made, "<i2") / 32768)
        assert found == pytest.approx(TARGET, abs=TOLERANCE)
