"""Loudness as ITU-R BS.1770-4 has it, and prompts that all have the same."""

from __future__ import annotations

import re
import subprocess
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicebot.audio.loudness import SILENCE, TARGET, TOLERANCE, integrated, levelled

CLIPS = sorted((Path(__file__).parents[3] / "voicebot" / "data" / "clips").glob("*.wav"))


def clip(path: Path) -> bytes:
    with wave.open(str(path)) as file:
        return file.readframes(file.getnframes())


def of(pcm: bytes) -> float:
    return integrated(np.frombuffer(pcm, "<i2") / 32768)


def by_ffmpeg(pcm: bytes) -> float:
    """ffmpeg's ebur128, at the rate the filter is designed for, of the clip repeated."""
    again = pcm * -(-64_000 // len(pcm))
    said = subprocess.run(
        ["ffmpeg", "-hide_banner", "-nostats", "-f", "s16le", "-ar", "8000", "-ac", "1",
         "-i", "pipe:0", "-af", "aresample=48000,ebur128=framelog=verbose", "-f", "null", "-"],
        input=again, capture_output=True, check=True,
    ).stderr.decode()  # fmt: skip
    return float(re.findall(r"I:\s+(-?[\d.]+) LUFS", said)[-1])


def tone(hertz: float, level: float = 0.1, seconds: float = 5.0) -> bytes:
    times = np.arange(round(8000 * seconds)) / 8000
    return bytes(np.rint(32767 * level * np.sin(2 * np.pi * hertz * times)).astype("<i2").tobytes())


@pytest.mark.parametrize(
    ("hertz", "lufs"),
    # 997 Hz is the reference of the standard: full scale has -3.01. The others are the two filters
    # of its tables 1 and 2, run in the time domain at 48 kHz (scipy.signal.lfilter).
    [(100, -24.83), (400, -23.72), (997, -23.01), (2000, -20.63), (3000, -19.89), (3800, -19.75)],
)
def test_a_tone_is_as_loud_as_the_standard_says(hertz: float, lufs: float) -> None:
    assert of(tone(hertz)) == pytest.approx(lufs, abs=0.03)


def test_pauses_do_not_make_speech_softer() -> None:
    pause = bytes(16_000 * 5)
    assert of(tone(997) + pause + tone(997)) == pytest.approx(of(tone(997)), abs=0.3)


@pytest.mark.parametrize("path", CLIPS[:8], ids=lambda path: path.stem)
def test_speech_is_measured_as_ffmpeg_does(path: Path) -> None:
    pcm = clip(path)
    assert of(pcm) == pytest.approx(by_ffmpeg(pcm), abs=0.25)


@pytest.mark.parametrize("path", CLIPS, ids=lambda path: path.stem)
@pytest.mark.parametrize("change", [-20, 6])
def test_whatever_it_was_it_is_equally_loud_then(path: Path, change: int) -> None:
    """To a third of the 1 LU that a listener notices, and as ffmpeg sees it too."""
    samples = np.frombuffer(clip(path), "<i2") * 10 ** (change / 20)
    made = levelled(np.clip(samples, -32767, 32767).astype("<i2").tobytes())
    assert of(made) == pytest.approx(TARGET, abs=TOLERANCE)


@pytest.mark.parametrize("path", CLIPS[:4], ids=lambda path: path.stem)
def test_ffmpeg_sees_it_too(path: Path) -> None:
    assert by_ffmpeg(levelled(clip(path))) == pytest.approx(TARGET, abs=0.5)


def test_silence_stays_silence() -> None:
    assert levelled(bytes(32_000)) == bytes(32_000)
    assert levelled(b"") == b""
    assert of(bytes(32_000)) == of(b"") == SILENCE


def test_noise_is_not_made_loud() -> None:
    hiss = np.random.default_rng(1).integers(-3, 4, 32_000).astype("<i2").tobytes()
    assert of(levelled(hiss)) < TARGET - 10


@settings(max_examples=30)
@given(st.binary(min_size=2, max_size=20_000))
def test_anything_comes_back_as_long_and_never_clips(data: bytes) -> None:
    pcm = data[: len(data) - len(data) % 2]
    made = levelled(pcm)
    assert len(made) == len(pcm)
    if made != pcm:
        assert np.abs(np.frombuffer(made, "<i2").astype(int)).max() < 32_000
