"""The work a worker can be given, and the values that cross into it and back.

A job is named by where its function is, so that the parent never imports it: numpy,
CTranslate2 and ONNX Runtime are loaded in the workers only. The functions are plain and
synchronous; engines they load stay in memory for the next job. Arguments and results are
pickled, so they are bytes, numbers, text and the small dataclasses below.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any


class Priority(IntEnum):
    """Which job a free worker takes first."""

    TURN = 0
    """A caller has paused and waits for an answer."""
    SPEAK = 1
    """The bot is about to say this, or is in the middle of it."""
    BATCH = 2
    """Nobody waits."""


@dataclass(frozen=True, slots=True)
class Job:
    """A kind of work."""

    name: str
    """The metric label."""
    target: str
    """``package.module:function``, called in the worker."""
    deadline: float
    """Seconds it may compute before the worker counts as hung and is killed."""
    patience: float
    """Seconds it may wait for a free worker before it is given up."""


@dataclass(frozen=True, slots=True)
class Call:
    """One run of a function in a worker: what and with which arguments."""

    target: str
    args: tuple[Any, ...] = ()


#: A turn costs 0.25 s, 0.8 s with the long window; a result after 5 s answers nobody.
TRANSCRIBE = Job("transcribe", "voicebot.providers.whisper:transcribe", 15.0, 5.0)
#: How a pause sounds: 30 ms for a turn of 2 s, 90 ms for one of 8 s. The shortest wait that it can
#: cut short is over soon.
JUDGE_END = Job("end_of_turn", "voicebot.providers.smart_turn:probability", 5.0, 0.5)
#: A clause costs 0.3 s a second of speech.
SYNTHESIZE = Job("synthesize", "voicebot.providers.kokoro:synthesize", 20.0, 60.0)
#: The same for a prompt, whole: nobody waits, and on a busy machine it may take long.
RENDER = Job("synthesize", SYNTHESIZE.target, 180.0, 1800.0)

#: A prompt made equally loud: 10 ms. It waits with the syntheses of all others, hence patience.
LEVEL = Job("level", "voicebot.prompts.clips:level", 10.0, 120.0)
#: A sound file made into a prompt: some 10 ms; a second where ffmpeg has to help.
CLIP = Job("clip", "voicebot.prompts.clips:make", 30.0, 120.0)


@dataclass(frozen=True, slots=True)
class Hints:
    """What helps a recogniser with one turn."""

    language: str
    """ISO 639-1 code."""
    prompt: str = ""
    """Words the caller is likely to use."""
    yes_words: tuple[str, ...] = ()
    """With ``no_words``: judge whether the turn starts with a yes or a no."""
    no_words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Heard:
    """What a recogniser made of one turn."""

    text: str
    """Empty when it held no words."""
    confidence: float
    """0 to 1."""
    yes: bool | None
    """None when it was not asked, or is neither."""
    seconds: float
    """Time it took to compute."""


@dataclass(frozen=True, slots=True)
class Voice:
    """How to speak."""

    model: str
    """Path of the ONNX file."""
    styles: str
    """Path of the voice's style vectors."""
    symbols: str
    """Path of the phoneme table."""
    language: str
    """espeak-ng's name for the language of the text."""
    respellings: tuple[tuple[str, str], ...] = ()
    """Words that would be mispronounced, and a spelling that is not."""
    speed: float = 1.0
