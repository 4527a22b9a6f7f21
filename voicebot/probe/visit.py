"""A call that is a customer's, for all that the appliance knows: hears the greeting, hangs up.

The self-check of a deployment places it and looks for what it leaves: unlike a probe's, this call
is in the journal, is recorded, and takes a caller's place.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from voicebot.audio.pcm import SILENCE_FRAME
from voicebot.probe.media import Address
from voicebot.probe.sip_leg import SipLeg
from voicebot.simulator.customer import is_audible
from voicebot.simulator.tape import Tape

SOURCE: Final = "127.0.0.78"
"""Where it comes from. By this address, which no other host can use, Asterisk takes it for the line
`selfcheck`."""
ANSWER_LIMIT: Final = 8.0
"""Seconds until it must be answered."""
LISTENS: Final = 4.0
"""Seconds from the answer until it hangs up."""


@dataclass(slots=True)
class Visit:
    """What came of it."""

    answered: bool = False
    packets: int = 0
    """Of audio, that came."""
    heard: bool = False
    """Some of it was more than noise."""
    fault: str = ""
    """Why it was not answered; empty otherwise."""


class Visitor:
    """A handset that says nothing, for a while."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self._until = float("inf")

    def answered(self, now: float) -> None:
        """The call is up; frames follow."""
        self._visit.answered = True
        self._until = now + LISTENS

    # -- Handset

    def frame_heard(self, pcm: bytes, now: float) -> None:
        self._visit.packets += 1
        self._visit.heard = self._visit.heard or is_audible(pcm)

    def next_frame(self, now: float) -> bytes:
        return SILENCE_FRAME

    def next_digit(self, now: float) -> str | None:
        return None

    def wants_hangup(self, now: float) -> bool:
        return now >= self._until


async def pay(number: str, server: Address, source: str = SOURCE) -> Visit:
    """Call *number* at *server*. Never raises for what the other side does."""
    loop = asyncio.get_running_loop()
    visit = Visit()
    visitor = Visitor(visit)
    leg = SipLeg(number, server, visitor, Tape(loop.time()), visitor.answered)
    try:
        await leg.open(source)
    except OSError as error:
        visit.fault = f"no socket at {source}: {error.strerror or error}"
        return visit

    def give_up() -> None:
        if not visit.answered:
            leg.hang_up()

    timers = [
        loop.call_later(ANSWER_LIMIT, give_up),
        loop.call_later(
            ANSWER_LIMIT + LISTENS + 1, leg.hang_up
        ),  # no audio, no clock to hang up by
    ]
    try:
        await leg.ended
    finally:
        for timer in timers:
            timer.cancel()
        await leg.close()
    if not visit.answered:
        visit.fault = leg.fault
    return visit
