"""Where speech ends, by the real detector: our clips, with and without a noisy line."""

from __future__ import annotations

import wave

import numpy as np
import pytest

from voicebot import models
from voicebot.audio.last_sound import LastSound
from voicebot.audio.pcm import SAMPLE_RATE
from voicebot.audio.vad import WINDOW_BYTES, SileroVad, SileroWeights
from voicebot.simulator.activity import audible_span
from voicebot.simulator.lines import CLIPS
from voicebot.turns.speech import STOP_PROBABILITY

SECOND = SAMPLE_RATE


@pytest.mark.parametrize("snr", [None, 30.0, 20.0])
def test_a_voice_ends_at_its_last_sound(model_paths: models.ModelPaths, snr: float | None) -> None:
    """36 clips of telephone French: the detector alone is 0.1 s late; with this it is not."""
    vad = SileroVad(SileroWeights.load(model_paths.vad))
    rng = np.random.default_rng(1)
    alone, found = [], []
    for path in sorted(CLIPS.glob("*.wav")):
        with wave.open(str(path)) as file:
            clip = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(float)
        span = audible_span(clip.astype(np.int16))
        assert span is not None
        true_end = 2.0 + span[1]
        sound = np.concatenate([np.zeros(2 * SECOND), clip, np.zeros(SECOND)])
        if snr is not None:
            level = np.sqrt(np.mean(clip[np.abs(clip) > 100] ** 2)) * 10 ** (-snr / 20)
            sound = sound + rng.normal(0.0, level, len(sound))
        slin = np.clip(sound, -32768, 32767).astype("<i2").tobytes()
        caller, last = vad.caller(), LastSound()
        by_detector = by_energy = 0.0
        for i in range(0, len(slin) - WINDOW_BYTES + 1, WINDOW_BYTES):
            end = (i + WINDOW_BYTES) / (2 * SECOND)
            window = slin[i : i + WINDOW_BYTES]
            (probability,) = vad.process([caller], [window])
            speech = probability >= STOP_PROBABILITY
            quiet = last.window(window, speech=speech)
            if speech:
                by_detector, by_energy = end, end - quiet
        alone.append(by_detector - true_end)
        found.append(by_energy - true_end)
    assert np.median(alone) > 0.08
    assert -0.04 <= np.median(found) <= 0.04
    assert min(found) > -0.10
    assert all(mine <= theirs for mine, theirs in zip(found, alone, strict=True))
