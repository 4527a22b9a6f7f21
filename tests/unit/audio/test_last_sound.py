"""The end of a voice, found by energy in what the detector takes for speech."""

from __future__ import annotations

import numpy as np
import pytest

from voicebot.audio.last_sound import LastSound
from voicebot.audio.pcm import SAMPLE_RATE

WINDOW = 256
SECOND = SAMPLE_RATE


def tone(seconds: float, amplitude: float) -> np.ndarray:  # type: ignore[type-arg]
    time = np.arange(round(seconds * SECOND)) / SECOND
    return amplitude * np.sin(2 * np.pi * 300 * time)


def noise(seconds: float, amplitude: float) -> np.ndarray:  # type: ignore[type-arg]
    return np.random.default_rng(3).normal(0.0, amplitude, round(seconds * SECOND))


def quiet_at_end(sound: np.ndarray, speech: slice) -> float:  # type: ignore[type-arg]
    """*speech*: the windows that the detector takes for it."""
    found, last = LastSound(), 0.0
    taken = range(len(sound) // WINDOW)[speech]
    for i in range(len(sound) // WINDOW):
        slin = sound[i * WINDOW : (i + 1) * WINDOW].astype("<i2").tobytes()
        last = found.window(slin, speech=i in taken)
    return last


def test_the_end_of_a_sound_within_a_window() -> None:
    silence, after = np.zeros(20 * WINDOW), np.zeros(3 * WINDOW + 64)
    sound = np.concatenate([silence, tone((10 * WINDOW - 64) / SECOND, 8000), after])
    assert quiet_at_end(sound, slice(20, None)) == pytest.approx((3 * WINDOW + 64) / SECOND)


def test_noise_that_was_there_before_is_no_sound() -> None:
    voice = np.concatenate([np.zeros(SECOND), tone(0.32, 8000), np.zeros(3 * WINDOW)])
    sound = voice + noise(len(voice) / SECOND, 100)
    speech = slice(SECOND // WINDOW, None)
    assert quiet_at_end(sound, speech) == pytest.approx(3 * WINDOW / SECOND, abs=0.033)


def test_in_loud_noise_the_detectors_end_stands() -> None:
    """Energy tells nothing there; whatever is taken for speech is."""
    voice = np.concatenate([np.zeros(SECOND), tone(0.32, 8000), np.zeros(3 * WINDOW)])
    sound = voice + noise(len(voice) / SECOND, 2500)
    assert quiet_at_end(sound, slice(SECOND // WINDOW, None)) < 0.01


def test_a_soft_end_of_a_loud_word_is_part_of_it() -> None:
    """18 dB softer, as a final consonant is, before there was any noise to compare with."""
    sound = np.concatenate([tone(0.32, 8000), tone(0.128, 1000)])
    assert quiet_at_end(sound, slice(None)) == 0.0


def test_what_the_detector_does_not_take_for_speech_is_silence_however_loud() -> None:
    sound = np.concatenate([tone(0.32, 8000), tone(0.32, 8000)])
    assert quiet_at_end(sound, slice(0, 10)) == pytest.approx(0.32)
