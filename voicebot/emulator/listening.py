"""What both of Deepgram's streaming protocols have in common: audio in, questions out, a schedule.

Pure: time is an argument, and words are recognised by whoever holds the session. The shell calls
:meth:`Listening.audio` and :meth:`Listening.text` with what comes in, answers each question of
:meth:`Listening.take_questions` through :meth:`Listening.recognised`, sends what
:meth:`Listening.poll` gives it, and calls it again at :meth:`Listening.next_at`.

There are two times. Where speech begins and ends is counted in the stream's own time, by the amount
of audio. When an answer is due is counted on the clock, from the arrival of the audio that held the
end of speech: that is what a caller waits for.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Final

from voicebot.audio.pcm import SAMPLE_RATE, Reframer
from voicebot.audio.resample import StreamResampler
from voicebot.emulator import codec
from voicebot.emulator.ear import Ear
from voicebot.emulator.latency import Latency, Step
from voicebot.emulator.words import Words

#: A silence so long may be the end of an utterance, so its words are asked for.
BREATH: Final = 0.15
#: How much audio after the last sound is part of an utterance.
TAIL: Final = 0.10


@dataclass(frozen=True, slots=True)
class Question:
    """What does this say?"""

    number: int
    pcm: bytes
    """Slin."""
    start: float
    """Seconds of the stream at which it starts."""
    final: bool
    """False: an answer that comes late is of no use, and none is needed."""


@dataclass(frozen=True, slots=True)
class Wait:
    """What is to be recorded about an answer that was kept back."""

    step: Step
    since: float
    planned: float


@dataclass(frozen=True, slots=True)
class Send:
    """A text message for the client."""

    text: str
    result: bool = False
    """It carries what was said: faults in mid-stream strike these."""
    wait: Wait | None = None


@dataclass(frozen=True, slots=True)
class Close:
    """End the connection, in order."""

    code: int
    reason: str = ""


Output = Send | Close


def message(**values: Any) -> str:
    """A message in JSON."""
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"))


class Listening(ABC):
    """One stream. Times are seconds of one monotonic clock."""

    def __init__(
        self, encoding: str, rate: int, request_id: str, latency: Latency, now: float
    ) -> None:
        self.ear = Ear()
        self.request_id = request_id
        self.latency = latency
        self.last_input = now
        self.sound_at = now
        """Arrival of the audio with the last sound in it."""
        self.received = 0.0
        """Seconds of audio."""
        self.out: list[Output] = []
        """To be sent by the next poll."""
        self._encoding = encoding
        self._rate = rate
        self._resampler = StreamResampler(rate, SAMPLE_RATE) if rate != SAMPLE_RATE else None
        self._frames = Reframer()
        self._questions: list[Question] = []
        self._asked = 0

    def audio(self, data: bytes, now: float) -> None:
        """Audio from the client."""
        self.last_input = now
        self.received += len(data) / (codec.WIDTHS[self._encoding] * self._rate)
        pcm = codec.decode(data, self._encoding)
        if self._resampler is not None:
            pcm = self._resampler.push(pcm)
        for frame in self._frames.push(pcm):
            before = self.ear.last_sound
            self.ear.push(frame)
            if self.ear.last_sound > before:
                self.sound_at = now
            self.step(now, sound=self.ear.last_sound > before)

    def ask(self, until: float, *, final: bool) -> Question:
        """Have the utterance recognised, up to *until*."""
        pcm, start = self.ear.utterance(until)
        question = Question(self._asked, pcm, start, final)
        self._asked += 1
        self._questions.append(question)
        return question

    def take_questions(self) -> list[Question]:
        """Those that nobody has taken yet."""
        taken, self._questions = self._questions, []
        return taken

    def recognised(self, question: Question, words: Words, now: float) -> None:
        """The answer to *question*; no words at all is an answer too."""
        self.answered(question, tuple(word.later(question.start) for word in words), now)

    def poll(self, now: float) -> list[Output]:
        """What is to be sent at *now*, in order."""
        self.ripen(now)
        out, self.out = self.out, []
        return out

    @abstractmethod
    def step(self, now: float, *, sound: bool) -> None:
        """Another 20 ms were heard; *sound*: some of it was loud."""

    @abstractmethod
    def answered(self, question: Question, words: Words, now: float) -> None:
        """*words*, in the stream's time, answer *question*."""

    @abstractmethod
    def ripen(self, now: float) -> None:
        """Move to ``out`` what is due."""

    @abstractmethod
    def next_at(self) -> float | None:
        """When something will be due if nothing comes in before."""

    @abstractmethod
    def text(self, raw: str, now: float) -> None:
        """A text message from the client."""
