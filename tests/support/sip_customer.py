"""A customer of ``voicebot call`` on a real telephone: the same person, but by SIP.

Plays a scenario of ``voicebot/data/scenarios`` over RTP through Asterisk. What the bot says
comes from the service's event feed, as for the simulator; the call's id from Asterisk's log.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from tests.support.asterisk import AsteriskInstance
from tests.support.sip import SipCall, SipPhone
from tests.support.waiting import until
from voicebot.simulator import judge
from voicebot.simulator.customer import Customer
from voicebot.simulator.feed import EventFeed
from voicebot.simulator.leg import End
from voicebot.simulator.lines import Line
from voicebot.simulator.measure import Measures, measure
from voicebot.simulator.scenario import Scenario
from voicebot.simulator.tape import Tape
from voicebot.simulator.transcript import Entry, Transcript


@dataclass(frozen=True, slots=True)
class Conversation:
    """A call with the voicebot, up to the moment the voicebot left it."""

    call: SipCall
    call_id: uuid.UUID
    outcome: str | None
    entries: tuple[Entry, ...]
    measures: Measures
    failures: tuple[str, ...]

    def __str__(self) -> str:
        """What to read when it failed."""
        lines = [f"{entry.at:6.1f} {entry.who.value}: {entry.text}" for entry in self.entries]
        return "\n".join([*self.failures, *lines])


async def converse(
    asterisk: AsteriskInstance,
    phone: SipPhone,
    scenario: Scenario,
    lines: Mapping[str, Line],
    control_port: int,
) -> Conversation:
    """Dial 777 and play *scenario* until the bot has ended its part; the call may go on after.

    *phone* must be the only one of its number. Raises FeedError and TimeoutError.
    """
    known = set(asterisk.call_ids(phone.name))
    call = await phone.dial("777")
    await until(lambda: not known.issuperset(asterisk.call_ids(phone.name)), 5, "a call id logged")
    (call_id,) = set(asterisk.call_ids(phone.name)) - known
    return await attend(call, call_id, scenario, lines, control_port)


async def attend(
    call: SipCall,
    call_id: uuid.UUID,
    scenario: Scenario,
    lines: Mapping[str, Line],
    control_port: int,
) -> Conversation:
    """Play *scenario* on a call that the bot has now, until the bot has ended its part."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    customer = Customer(scenario, lines, now=start)
    transcript, tape = Transcript(customer, start), Tape(start)
    call.media.give_to(transcript, tape, call.hang_up)
    async with asyncio.timeout(scenario.limit):
        async for event in EventFeed("127.0.0.1", control_port).events(call_id):
            transcript.event(event, loop.time())
    call.media.take_back()
    transcript.close()

    measures = measure(tape, customer.answers)
    facts = judge.Facts(
        end=End.BOT,
        fault="",
        outcome=transcript.outcome,
        entries=transcript.entries,
        unanswered=customer.unanswered,
        measures=measures,
    )
    return Conversation(
        call,
        call_id,
        transcript.outcome,
        tuple(transcript.entries),
        measures,
        tuple(judge.failures(scenario, facts)),
    )
