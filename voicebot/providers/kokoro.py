"""Kokoro on ONNX Runtime: what a speech worker runs for one clause of the bot.

Must not know calls, sentences or the event loop. One thread, int8. Kokoro answers with float
audio at 24 kHz, which :mod:`voicebot.providers.finishing` makes into slin.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from voicebot.providers.finishing import Float, finish
from voicebot.providers.phonemes import phonemes, spell
from voicebot.workers.jobs import Voice

RATE = 24_000  #: hertz, of the model
STYLE_SIZE = 256
MOST_PHONEMES = 509  #: the model's context of 512, less the two ends and the empty style row


class Kokoro:
    """One loaded model with one voice. Not thread safe."""

    def __init__(self, model: Path, styles: Path, symbols: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        # A plan for each length of clause ever spoken: +90 MB, and slower. Without the arena each
        # clause asks the system for its memory anew: a peak of 1 GB.
        options.enable_mem_pattern = False
        self._session: Any = onnxruntime.InferenceSession(
            str(model), options, providers=["CPUExecutionProvider"]
        )
        self._styles = np.fromfile(styles, np.float32).reshape(-1, STYLE_SIZE)
        self._symbols: dict[str, int] = json.loads(symbols.read_text(encoding="utf-8"))

    def speak(self, sounds: str, speed: float) -> Float:
        """Audio of the phonemes *sounds* at 24 kHz; longer than the model takes is cut off."""
        numbers = [self._symbols[s] for s in sounds if s in self._symbols][:MOST_PHONEMES]
        audio = self._session.run(
            None,
            {
                "tokens": np.array([[0, *numbers, 0]], np.int64),
                "style": self._styles[len(numbers)][None],
                "speed": np.array([speed], np.float32),
            },
        )[0]
        return np.asarray(audio, np.float32).ravel()


@cache
def _loaded(model: str, styles: str, symbols: str) -> Kokoro:
    return Kokoro(Path(model), Path(styles), Path(symbols))


def load(voice: Voice) -> None:
    """Worker job: load *voice* and speak once, so that the first clause is fast."""
    _loaded(voice.model, voice.styles, voice.symbols).speak("a", voice.speed)


def synthesize(voice: Voice, clause: str) -> bytes:
    """Worker job: slin of *clause*; empty if nothing in it can be spoken. Raises PhonemeError."""
    sounds = phonemes(spell(clause, voice.respellings), voice.language)
    if not any(s.isalpha() for s in sounds):
        return b""
    engine = _loaded(voice.model, voice.styles, voice.symbols)
    return finish(engine.speak(sounds, voice.speed), RATE, clause.rstrip()[-1:])
