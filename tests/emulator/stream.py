"""A listening session without a socket or a clock: audio in real time, recognised at once."""

from __future__ import annotations

import json
from typing import Any

from voicebot.audio.pcm import FRAME_BYTES, FRAME_SECONDS, seconds
from voicebot.emulator.listening import Close, Listening, Send
from voicebot.emulator.words import spread

FRAME = FRAME_BYTES


class Stream:
    """Drives one session; ``heard`` is what came back, each with the time at which it did."""

    def __init__(self, session: Listening, words: str = "Bonjour à tous.") -> None:
        self.session = session
        self.words = words
        self.now = 0.0
        self.heard: list[tuple[float, dict[str, Any]]] = []
        self.closed: Close | None = None
        self.outputs: list[Send] = []

    def send(self, pcm: bytes) -> None:
        """*pcm* as it comes from a call."""
        for at in range(0, len(pcm), FRAME):
            self.now += FRAME_SECONDS
            self.session.audio(pcm[at : at + FRAME], self.now)
            self.pump()

    def say(self, text: str) -> None:
        self.session.text(text, self.now)
        self.pump()

    def wait(self, duration: float) -> None:
        """Time passes, no audio comes."""
        end = self.now + duration
        while self.now < end:
            self.now = min(self.now + 0.01, end)
            self.pump()

    def pump(self) -> None:
        for question in self.session.take_questions():
            long = seconds(question.pcm)
            text = self.words if question.final else self.words.split()[0]
            self.session.recognised(question, spread(text, 0.2, long - 0.05), self.now)
        for output in self.session.poll(self.now):
            if isinstance(output, Close):
                self.closed = self.closed or output
            else:
                self.outputs.append(output)
                self.heard.append((self.now, json.loads(output.text)))

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for _, message in self.heard if message["type"] == kind]

    def finals(self) -> list[dict[str, Any]]:
        return [m for m in self.of("Results") if m["is_final"]]

    def texts(self) -> list[str]:
        return [m["channel"]["alternatives"][0]["transcript"] for m in self.finals()]

    def when(self, **values: Any) -> float:
        """Time of the first message with these *values*."""
        return next(t for t, m in self.heard if values.items() <= m.items())
