"""A stage for the simulated customer: a bot that speaks on cue, on a clock that costs nothing."""

from __future__ import annotations

import numpy as np

from voicebot.audio.pcm import FRAME_SAMPLES, FRAME_SECONDS, SAMPLE_RATE, SILENCE_FRAME
from voicebot.simulator.customer import Customer
from voicebot.simulator.lines import Line, make_line
from voicebot.simulator.scenario import Scenario, parse


def tone(seconds: float, amplitude: int = 8_000, hertz: float = 400.0) -> bytes:
    """A tone that starts and stops at full strength."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return (amplitude * np.cos(2 * np.pi * hertz * time)).astype("<i2").tobytes()


LOUD_FRAME = tone(FRAME_SECONDS)
assert len(LOUD_FRAME) == FRAME_SAMPLES * 2


def lines_of(scenario: Scenario, seconds: float = 0.5) -> dict[str, Line]:
    """Audio for each line: a tone of that length."""
    return {text: make_line(text, tone(seconds)) for text in scenario.lines()}


class Stage:
    """Plays a scenario given as YAML. ``now`` is the time of the next slot."""

    def __init__(self, text: str, line_seconds: float = 0.5, noise: tuple[bytes, ...] = ()) -> None:
        self.scenario = parse(text, "test")
        self.now = 100.0
        self.customer = Customer(
            self.scenario, lines_of(self.scenario, line_seconds), now=self.now, noise=noise
        )
        self.digits: list[tuple[float, str]] = []
        self.hung_up_at: float | None = None
        self.sent: list[bytes] = []

    def bot_says(self, text: str, seconds: float) -> None:
        """The bot says *text*, which takes *seconds*; nobody waits for what comes after."""
        self.customer.bot_said(text, self.now)
        self.bot_sounds(seconds)

    def bot_sounds(self, seconds: float) -> None:
        self._run(seconds, LOUD_FRAME)

    def silence(self, seconds: float) -> None:
        """The bot is silent for *seconds*."""
        self._run(seconds, SILENCE_FRAME)

    @property
    def said(self) -> list[str]:
        return [answer.text for answer in self.customer.answers]

    def _run(self, seconds: float, bot_frame: bytes) -> None:
        for _ in range(round(seconds / FRAME_SECONDS)):
            self.customer.frame_heard(bot_frame, self.now)
            self.sent.append(self.customer.next_frame(self.now))
            digit = self.customer.next_digit(self.now)
            if digit is not None:
                self.digits.append((self.now, digit))
            if self.customer.wants_hangup(self.now) and self.hung_up_at is None:
                self.hung_up_at = self.now
            self.now += FRAME_SECONDS
