"""Smart Turn in numpy against the published file, and what it makes of telephone French."""

from __future__ import annotations

import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import soxr
from numpy.typing import NDArray

from voicebot import models
from voicebot.audio.pcm import SAMPLE_RATE
from voicebot.providers.log_mel import RATE
from voicebot.providers.smart_turn import SECONDS, SmartTurn, SmartTurnError, features
from voicebot.simulator.activity import audible_span
from voicebot.simulator.lines import CLIPS
from voicebot.turns.endpointing import FINISHED

pytestmark = pytest.mark.speech

LONG = 0.9
"""Seconds of speech from which a clip has a middle to be cut in."""


@dataclass(frozen=True)
class Stop:
    """Somebody who stopped speaking, and the line's hiss after it."""

    name: str
    pcm: bytes
    whole: bool
    """At the end of the sentence, and not somewhere in it."""
    silence: float


def stops() -> Iterator[Stop]:
    hiss = np.random.default_rng(0)
    for path in sorted(CLIPS.glob("*.wav")):
        with wave.open(str(path)) as file:
            clip = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        span = audible_span(clip)
        assert span is not None
        begin, end = (round(at * SAMPLE_RATE) for at in span)
        begin = max(0, begin - SAMPLE_RATE // 5)
        cuts = [(1.0, 0.18), (1.0, 0.32)]
        if span[1] - span[0] > LONG:
            cuts += [(part, 0.18) for part in (0.5, 0.7)]
        for part, silence in cuts:
            said = clip[begin : begin + round(part * (end - begin))]
            tape = np.concatenate([said, np.zeros(round(silence * SAMPLE_RATE))])
            pcm = (tape + hiss.normal(0, 8, len(tape))).astype("<i2").tobytes()
            yield Stop(path.stem, pcm, part == 1.0 and span[1] - span[0] > LONG, silence)


def heard(stop: Stop) -> tuple[NDArray[np.float32], float]:
    samples = np.frombuffer(stop.pcm, "<i2").astype(np.float32) / 32768
    audio = soxr.resample(samples, SAMPLE_RATE, RATE)
    return features(audio), len(audio) / RATE


@pytest.fixture(scope="module")
def network(model_paths: models.ModelPaths) -> SmartTurn:
    return SmartTurn.load(model_paths.turn)


def published(path: Path, *, rounding: bool) -> onnxruntime.InferenceSession:
    """The file as it is, or without what rounds the numbers between its steps to 8 bits."""
    model: Any = onnx.load(str(path))
    if not rounding:
        rounded = {
            node.output[0]: node.input[0]
            for node in model.graph.node
            if node.op_type == "QuantizeLinear"
        }
        nodes = []
        for node in model.graph.node:
            if node.op_type == "DequantizeLinear" and node.input[0] in rounded:
                source = rounded[node.input[0]]
                node = onnx.helper.make_node("Identity", [source], [node.output[0]])
            if node.op_type != "QuantizeLinear":
                nodes.append(node)
        del model.graph.node[:]
        model.graph.node.extend(nodes)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options)


def ask(session: onnxruntime.InferenceSession, mel: NDArray[np.float32]) -> float:
    (answer,) = session.run(None, {"input_features": mel[None]})
    return float(answer.item())


def test_it_computes_what_the_published_network_does(
    model_paths: models.ModelPaths, network: SmartTurn
) -> None:
    """To 0.05: the tanh in place of the error function is worth 0.03. (The rounding between the
    steps, which is left out on both sides, is worth 0.2 in the mean.)"""
    reference = published(model_paths.turn, rounding=False)
    ours, theirs = [], []
    for stop in list(stops())[::4]:
        mel, _ = heard(stop)
        ours.append(network.judge(mel, SECONDS))
        theirs.append(ask(reference, mel))
    assert len(ours) > 25
    assert max(theirs) - min(theirs) > 0.9
    assert ours == pytest.approx(theirs, abs=0.05)


def test_silence_that_is_computed_once_changes_little(network: SmartTurn) -> None:
    shortened, whole = [], []
    for stop in list(stops())[::4]:
        mel, seconds = heard(stop)
        shortened.append(network.judge(mel, seconds))
        whole.append(network.judge(mel, SECONDS))
    assert np.mean(np.abs(np.array(shortened) - whole)) < 0.1
    assert np.corrcoef(shortened, whole)[0, 1] > 0.95


def test_it_tells_the_end_of_a_sentence_from_its_middle_better_than_the_published_file(
    model_paths: models.ModelPaths, network: SmartTurn
) -> None:
    session = published(model_paths.turn, rounding=True)
    found = [
        (stop, network.probability(stop.pcm), ask(session, heard(stop)[0])) for stop in stops()
    ]
    early = [p for stop, p, _ in found if stop.whole and stop.silence < 0.2]
    ends = [p for stop, p, _ in found if stop.whole and stop.silence > 0.3]
    cuts = [(ours, theirs) for stop, ours, theirs in found if stop.silence < 0.2 and not stop.whole]
    assert np.mean(np.array(early) >= FINISHED) > 0.6
    assert np.mean(np.array(ends) >= FINISHED) > 0.75
    ours, theirs = np.mean(np.array(cuts) >= FINISHED, axis=0)
    assert ours < 0.4
    assert ours < 0.7 * theirs


def test_a_long_turn_is_judged_by_its_last_seconds(network: SmartTurn) -> None:
    stop = next(stop for stop in stops() if stop.name.startswith("j-ai-un-probleme"))
    hours = np.random.default_rng(1).normal(0, 300, 20 * SAMPLE_RATE).astype("<i2").tobytes()
    last = (hours + stop.pcm)[-round(SECONDS * SAMPLE_RATE) * 2 :]
    assert network.probability(hours + stop.pcm) == pytest.approx(
        network.probability(last), abs=0.02
    )


@pytest.mark.parametrize("pcm", [b"", bytes(2), bytes(320_000), b"\xff\x7f" * 8000])
def test_whatever_it_hears_is_a_probability(network: SmartTurn, pcm: bytes) -> None:
    assert 0 <= network.probability(pcm) <= 1


def test_a_file_that_is_another_model_is_named(
    model_paths: models.ModelPaths, tmp_path: Path
) -> None:
    for name, data in {
        "none": None,
        "empty": b"",
        "cut": model_paths.turn.read_bytes()[:-1000],
        "vad": (model_paths.vad.parent / models.VAD_ONNX).read_bytes(),
    }.items():
        file = tmp_path / f"{name}.onnx"
        if data is not None:
            file.write_bytes(data)
        with pytest.raises(SmartTurnError, match=rf"{name}\.onnx: .*voicebot models"):
            SmartTurn.load(file)
