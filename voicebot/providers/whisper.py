"""Whisper on bare CTranslate2: what a speech worker runs for one turn of a caller.

Must not know calls, pauses or the event loop. One thread, int8. The encoder sees a 10 s
window for turns up to 8 s, 30 s beyond: the encoder's cost is its window, not the speech, and
10 s costs a third of 30 s for about two points of word error. Telephone audio of 8 kHz is
resampled; the language model's prompt (the words a caller is likely to use) matters more to the
result than anything else here.

Whisper writes words even for noise, so a result passes three gates: its own "no speech"
probability, its mean log probability, and Whisper's published rule against repetition loops.
"""

from __future__ import annotations

import json
import math
import time
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
import numpy.typing as npt
import soxr

from voicebot.audio.pcm import SAMPLE_RATE
from voicebot.providers.log_mel import RATE, log_mel
from voicebot.providers.vocabulary import Vocabulary
from voicebot.workers.jobs import Heard, Hints

SHORT_WINDOW = 10.0
SHORT_TURN = 8.0  #: longest speech for the short window; closer to 10 s it loses the last words
LONG_WINDOW = 30.0

#: On speech the first is 0.32 at its 99th percentile, on noise and tones at least 0.55; the
#: second is -1.5 at its 1st percentile.
MAX_NO_SPEECH = 0.6
MIN_LOG_PROBABILITY = -1.6
#: Text that zlib shrinks further than this is one phrase over and over (openai whisper).
MAX_COMPRESSION = 2.4

#: A yes or no is believed when both together are this likely as the first word, and one is
#: ahead of the other by this many nats. Measured: no wrong answer in 48, in silence and noise.
MIN_YES_NO_MASS = 0.03
MIN_YES_NO_MARGIN = 1.0


class Whisper:
    """One loaded model. Not thread safe."""

    def __init__(self, directory: Path) -> None:
        self._model: Any = ctranslate2.models.Whisper(
            str(directory), device="cpu", compute_type="int8", inter_threads=1, intra_threads=1
        )
        self._vocabulary = Vocabulary(directory / "tokenizer.json")
        config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
        self._suppressed: list[int] = config["suppress_ids"]

    def transcribe(self, pcm: bytes, hints: Hints) -> Heard:
        """What *pcm* (slin, at most 30 s) says; ``yes`` only if *hints* name yes and no words."""
        started = time.perf_counter()
        samples = np.frombuffer(pcm, np.int16).astype(np.float32) / 32768
        audio = soxr.resample(samples, SAMPLE_RATE, RATE, quality="MQ")
        seconds = len(audio) / RATE
        window = SHORT_WINDOW if seconds <= SHORT_TURN else LONG_WINDOW
        mel = np.ascontiguousarray(log_mel(audio, window)[None])
        encoded = self._model.encode(ctranslate2.StorageView.from_array(mel))

        task = [
            self._vocabulary.special(name)
            for name in (
                "<|startoftranscript|>", f"<|{hints.language}|>", "<|transcribe|>",
                "<|notimestamps|>",
            )
        ]  # fmt: skip
        prompt = self._prompt(hints.prompt) + task
        result = self._model.generate(
            encoded,
            [prompt],
            beam_size=5,
            max_length=len(prompt) + 8 + round(8 * seconds),
            suppress_blank=True,
            suppress_tokens=self._suppressed,
            return_scores=True,
            return_no_speech_prob=True,
        )[0]
        text = self._vocabulary.decode(result.sequences_ids[0])
        score, no_speech = result.scores[0], result.no_speech_prob
        if not is_speech(text, score, no_speech):
            text = ""
        return Heard(
            text=text,
            confidence=min(1.0, math.exp(score)) * (1 - no_speech) if text else 0.0,
            yes=self._yes_no(encoded, task, hints),
            seconds=time.perf_counter() - started,
        )

    def _prompt(self, text: str) -> list[int]:
        if not text:
            return []
        start = self._vocabulary.special("<|startofprev|>")
        return [start, *self._vocabulary.encode(" " + text.strip())]

    def _yes_no(self, encoded: Any, task: list[int], hints: Hints) -> bool | None:
        """Compare how likely each word is to come first. Without the prompt, which biases it."""
        yes, no = self._single_tokens(hints.yes_words), self._single_tokens(hints.no_words)
        if not yes or not no:
            return None
        result = self._model.generate(
            encoded,
            [task],
            beam_size=1,
            max_length=len(task) + 1,
            suppress_blank=True,
            suppress_tokens=self._suppressed,
            return_logits_vocab=True,
        )[0]
        logits = np.asarray(result.logits[0], np.float32)
        return judge_yes_no(logits.reshape(-1, logits.shape[-1])[0], yes, no)

    def _single_tokens(self, words: tuple[str, ...]) -> list[int]:
        """A word of several tokens is left out: others may begin with its first one."""
        tokens = (self._vocabulary.single(word.strip()) for word in words)
        return [token for token in tokens if token is not None]


def is_speech(text: str, log_probability: float, no_speech: float) -> bool:
    """Whether a decoding is worth believing."""
    if no_speech > MAX_NO_SPEECH or log_probability < MIN_LOG_PROBABILITY:
        return False
    data = text.encode()
    return len(data) <= MAX_COMPRESSION * len(zlib.compress(data))


def judge_yes_no(logits: npt.NDArray[np.float32], yes: list[int], no: list[int]) -> bool | None:
    """True for yes, False for no, None if the first word is likely neither or could be both."""
    total = np.logaddexp.reduce(logits)
    log_yes = float(np.logaddexp.reduce(logits[yes]) - total)
    log_no = float(np.logaddexp.reduce(logits[no]) - total)
    if math.exp(log_yes) + math.exp(log_no) <= MIN_YES_NO_MASS:
        return None
    if abs(log_yes - log_no) <= MIN_YES_NO_MARGIN:
        return None
    return log_yes > log_no


@cache
def _loaded(directory: str) -> Whisper:
    return Whisper(Path(directory))


def load(directory: str) -> None:
    """Worker job: load the model in *directory*, and run it once so that the first turn is fast."""
    _loaded(directory).transcribe(bytes(SAMPLE_RATE * 2), Hints(language="en"))


def transcribe(directory: str, pcm: bytes, hints: Hints) -> Heard:
    """Worker job: :meth:`Whisper.transcribe` with the model in *directory*."""
    return _loaded(directory).transcribe(pcm, hints)
