"""The probe's ear and mouth: when it speaks, what it waits for, and when it gives up.

Pure: frames and the time in, frames out. It is a handset
(:class:`voicebot.simulator.leg.Handset`), so it can be held to either kind of line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from voicebot.audio.pcm import FRAME_BYTES, SILENCE_FRAME
from voicebot.simulator.customer import is_audible
from voicebot.simulator.leg import End
from voicebot.simulator.lines import Line

PAUSE: Final = 1.0
"""Seconds of quiet after which the greeting is over. Between its sentences there is less."""
GREETING_LIMIT: Final = 5.0
"""Seconds from the answer to the first sound. A caller has said "allô?" twice by then."""
TALK_LIMIT: Final = 45.0
"""Seconds a greeting may take."""
REPLY_LIMIT: Final = 6.0
"""Seconds from the last word to the answer; whoever waits that long has hung up."""
GOODBYE_LIMIT: Final = 20.0
"""Seconds from the answer's first sound to the end of the call."""


@dataclass(slots=True)
class Timeline:
    """What the probe heard and did, when. Monotonic seconds; None was not reached."""

    dialled: float
    answered: float | None = None
    greeting: float | None = None
    """First sound of the greeting."""
    spoke: float | None = None
    """The probe began to speak: the greeting had been over for :data:`PAUSE`."""
    said: float | None = None
    """End of its last audible sample."""
    reply: float | None = None
    """First sound of the answer."""
    ended: float | None = None

    @property
    def first_audio(self) -> float | None:
        """Seconds from dialling to the greeting."""
        return None if self.greeting is None else self.greeting - self.dialled

    @property
    def response(self) -> float | None:
        """Seconds from the last word to the answer."""
        if self.said is None or self.reply is None:
            return None
        return self.reply - self.said


class ProbeCaller:
    """Says *line* once, after the greeting. *timeline* is filled as the call goes."""

    def __init__(self, line: Line, timeline: Timeline) -> None:
        self._line = line
        self._timeline = timeline
        self._unsaid = line.pcm
        self._last_heard = 0.0

    def answered(self, now: float | None) -> None:
        """The call is up (None: it is not, after all); frames follow."""
        self._timeline.answered = now

    # -- Handset

    def frame_heard(self, pcm: bytes, now: float) -> None:
        if not is_audible(pcm):
            return
        timeline = self._timeline
        self._last_heard = now
        if timeline.greeting is None:
            timeline.greeting = now
        elif timeline.said is not None and now >= timeline.said and timeline.reply is None:
            timeline.reply = now

    def next_frame(self, now: float) -> bytes:
        timeline = self._timeline
        if timeline.spoke is None:
            if timeline.greeting is None or now - self._last_heard < PAUSE:
                return SILENCE_FRAME
            timeline.spoke = now
            timeline.said = now + self._line.speech_end
        frame, self._unsaid = self._unsaid[:FRAME_BYTES], self._unsaid[FRAME_BYTES:]
        return frame.ljust(FRAME_BYTES, b"\0")

    def next_digit(self, now: float) -> str | None:
        """It presses no keys."""
        return None

    def wants_hangup(self, now: float) -> bool:
        """It has waited in vain for long enough."""
        timeline = self._timeline
        assert timeline.answered is not None, "frames come once the call is up"
        if timeline.greeting is None:
            return now - timeline.answered > GREETING_LIMIT
        if timeline.said is None:
            return now - timeline.greeting > TALK_LIMIT
        if timeline.reply is None:
            return now - timeline.said > REPLY_LIMIT
        return now - timeline.reply > GOODBYE_LIMIT


def failed_step(timeline: Timeline, end: End | None, *, let_go: bool) -> str | None:
    """Where the call went wrong, one of :data:`voicebot.telemetry.probes.STEPS`; None: nowhere.

    *let_go*: the voicebot wants the caller hung up, not handed to a person.
    """
    if timeline.answered is None:
        return "connect"
    if timeline.greeting is None or timeline.spoke is None:
        return "greeting"
    if timeline.reply is None:
        return "reply"
    return None if end is End.BOT and let_go else "goodbye"
