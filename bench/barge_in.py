"""How fast the bot falls silent: each clip of a caller's voice, spoken into the greeting.

One call a clip and moment, so that a sample depends on nothing that went before, least of all on
what was understood. On the tape, from the first audible sample of the clip to the end of the bot's
last audible sound; a bot that talks on counts with all of the time that it was listened to.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import Mapping

import yaml

from bench.arithmetic import percentile
from bench.figures import Measured, Say
from bench.service import MeasuredService
from voicebot.audio.pcm import FRAME_BYTES, SILENCE_FRAME
from voicebot.config import Settings
from voicebot.simulator.customer import Answer, Kind, is_audible
from voicebot.simulator.leg import dial
from voicebot.simulator.lines import CLIPS, Line
from voicebot.simulator.measure import measure as measure_tape
from voicebot.simulator.runner import Target
from voicebot.simulator.synthesis import prepare_lines
from voicebot.simulator.tape import Tape

MOMENTS = (0.7, 3.1)
"""Seconds after the greeting was first heard: in its first sentence, and in its second."""
AT_ONCE = 8
LISTEN_SECONDS = 1.5
"""From the first sample of the clip to the end of the call."""
LIMIT_SECONDS = 10.0


class Interrupter:
    """A caller who speaks *line* at *moment* into the greeting and hangs up a little later."""

    def __init__(self, line: Line, moment: float) -> None:
        self._line = line
        self._moment = moment
        self._at: float | None = None
        self._frames: deque[bytes] = deque()
        self.answer: Answer | None = None
        """What was spoken, and when; None if no greeting was heard."""

    def frame_heard(self, pcm: bytes, now: float) -> None:
        if self._at is None and is_audible(pcm):
            self._at = now + self._moment

    def next_frame(self, now: float) -> bytes:
        if self.answer is None and self._at is not None and now >= self._at:
            line = self._line
            padded = line.pcm + bytes(-len(line.pcm) % FRAME_BYTES)
            pieces = range(0, len(padded), FRAME_BYTES)
            self._frames.extend(padded[i : i + FRAME_BYTES] for i in pieces)
            start, end = now + line.speech_start, now + line.speech_end
            self.answer = Answer(Kind.SPEECH, line.text, start, end, "")
        return self._frames.popleft() if self._frames else SILENCE_FRAME

    def next_digit(self, now: float) -> str | None:
        return None

    def wants_hangup(self, now: float) -> bool:
        return self.answer is not None and now >= self.answer.start + LISTEN_SECONDS


async def measure(say: Say) -> Measured:
    """The part's figures. Raises ValueError if there was no bot to interrupt."""
    clips = yaml.safe_load((CLIPS / "clips.yaml").read_text(encoding="utf-8"))
    lines = await prepare_lines(list(clips.values()), Settings(), say)
    with MeasuredService() as service:
        say(f"{len(lines)} voices interrupt the greeting, at {len(MOMENTS)} moments each")
        stops = await _calls(service.target, lines, say)
    values = [milliseconds for _, milliseconds in stops]
    slowest, text = max((milliseconds, text) for text, milliseconds in stops)
    median = percentile(values, 50)
    return Measured(
        {
            "barge_in_p95_ms": percentile(values, 95),
            "barge_in_p50_ms": median,
            "barge_ins": len(values),
        },
        {
            "barge_in_p95_ms": f"{len(values)} interruptions; median {median:.0f}, "
            f"slowest {slowest:.0f} ({text})"
        },
    )


async def _calls(target: Target, lines: Mapping[str, Line], say: Say) -> list[tuple[str, float]]:
    """Each text that was spoken over the bot, and the milliseconds until it was silent."""
    free = asyncio.Semaphore(AT_ONCE)
    stops: list[tuple[str, float]] = []

    async def one(text: str, moment: float) -> None:
        async with free:
            stop = await _call(target, lines[text], moment)
        if stop is None:
            raise ValueError(f"the bot was not speaking when {text!r} was to interrupt it")
        stops.append((text, 1000 * stop))
        if len(stops) % 10 == 0:
            say(f"{len(stops)} calls over")

    await asyncio.gather(*(one(text, moment) for moment in MOMENTS for text in lines))
    return stops


async def _call(target: Target, line: Line, moment: float) -> float | None:
    start = asyncio.get_running_loop().time()
    tape, caller = Tape(start), Interrupter(line, moment)
    leg = await dial(target.host, target.port, uuid.uuid4(), caller, tape, LIMIT_SECONDS)
    try:
        await leg.ended
    finally:
        leg.hang_up()
    if caller.answer is None:
        return None
    (turn,) = measure_tape(tape, [caller.answer]).turns
    return turn.barge_in
