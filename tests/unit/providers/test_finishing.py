"""What a synthesiser made, trimmed and levelled."""

import numpy as np
import pytest

from voicebot.audio.pcm import seconds
from voicebot.providers.finishing import LEVEL_DBFS, PEAK, Float, active_level, finish, level

RATE = 24_000


def padded(speech: Float, silence: float = 0.3) -> Float:
    pad = np.zeros(round(silence * RATE), np.float32)
    return np.concatenate([pad, speech, pad])


def tone(duration: float, amplitude: float) -> Float:
    time = np.arange(round(duration * RATE)) / RATE
    return (amplitude * np.sin(2 * np.pi * 400 * time)).astype(np.float32)


def decibels(pcm: bytes) -> float:
    samples = np.frombuffer(pcm, np.int16).astype(np.float32) / np.float32(32768)
    return float(20 * np.log10(active_level(samples)))


@pytest.mark.parametrize("amplitude", [0.02, 0.2, 0.9])
def test_every_clause_is_as_loud_as_the_next(amplitude: float) -> None:
    assert decibels(finish(padded(tone(1, amplitude)), RATE, ".")) == pytest.approx(
        LEVEL_DBFS, abs=0.3
    )


def test_pauses_in_speech_do_not_make_it_louder() -> None:
    halting = np.concatenate([tone(0.5, 0.3), np.zeros(RATE, np.float32), tone(0.5, 0.3)])

    assert decibels(finish(halting, RATE, "")) == pytest.approx(LEVEL_DBFS, abs=0.3)


@pytest.mark.parametrize(("mark", "pause"), [("", 0.0), (",", 0.12), ("?", 0.25)])
def test_the_synthesisers_silence_gives_way_to_the_marks(mark: str, pause: float) -> None:
    pcm = finish(padded(tone(1, 0.5)), RATE, mark)

    assert seconds(pcm) == pytest.approx(1 + 0.07 + pause, abs=0.01)


def test_loud_peaks_are_bent_and_not_clipped() -> None:
    peaky = np.full(8000, 0.01, np.float32)
    peaky[::400] = 1.0

    samples = level(peaky)

    assert 0.5 < np.abs(samples).max() <= PEAK


@pytest.mark.parametrize("length", [0, 10, 4000])
def test_silence_stays_silence(length: int) -> None:
    assert not any(finish(np.zeros(length, np.float32), RATE, ""))
