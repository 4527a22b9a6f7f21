"""Place one probe call and say how it went. Never raises for what the other side does."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from voicebot.call.traffic import new_probe_id
from voicebot.probe.caller import ProbeCaller, Timeline, failed_step
from voicebot.probe.sip_leg import SipLeg
from voicebot.simulator.feed import EventFeed, FeedError
from voicebot.simulator.leg import End, dial
from voicebot.simulator.lines import Line
from voicebot.simulator.tape import Tape

CONNECT_LIMIT: Final = 5.0
CALL_LIMIT: Final = 80.0
"""Seconds; beyond every limit of the caller's."""
SOURCE: Final = "127.0.0.77"
"""Where the probe's SIP comes from. Asterisk takes it for a probe by this address, which no other
host can use and no other program of this one is likely to."""
NORMAL_CLEARING: Final = 16
"""Q.850: the dialplan's answer to a voicebot that wants the caller hung up."""


@dataclass(frozen=True, slots=True)
class Way:
    """How to reach the voicebot."""

    host: str
    port: int
    through_asterisk: bool
    control: EventFeed | None = None
    """Where to ask what the voicebot makes of the call; None: nobody is asked."""

    @property
    def text(self) -> str:
        what = "SIP through Asterisk" if self.through_asterisk else "AudioSocket, without Asterisk"
        return f"{what}, {self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Result:
    """One probe call that is over."""

    call_id: uuid.UUID
    way: Way
    timeline: Timeline
    tape: Tape
    end: End
    fault: str
    """What broke the line, if anything did; empty otherwise."""
    failed: str | None
    """One of :data:`voicebot.telemetry.probes.STEPS`; None: it went as it should."""
    events: tuple[dict[str, Any], ...] = field(default=())
    """What the voicebot told of the call."""


async def place(way: Way, line: Line) -> Result:
    """Hold the call."""
    loop = asyncio.get_running_loop()
    call_id = new_probe_id()
    timeline = Timeline(loop.time())
    tape = Tape(timeline.dialled)
    caller = ProbeCaller(line, timeline)
    events: list[dict[str, Any]] = []
    watching = loop.create_task(_watch(way.control, call_id, events))
    try:
        if way.through_asterisk:
            end, fault, let_go = await _by_sip(way, call_id, caller, tape)
        else:
            end, fault, let_go = await _by_audiosocket(way, call_id, caller, tape)
        timeline.ended = loop.time()
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(watching), 1.0)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    told = [event.get("outcome") for event in events if event["event"] == "ended"]
    let_go = let_go and told in ([], ["completed"])
    failed = failed_step(timeline, end, let_go=let_go)
    return Result(call_id, way, timeline, tape, end, fault, failed, tuple(events))


async def _by_sip(
    way: Way, call_id: uuid.UUID, caller: ProbeCaller, tape: Tape
) -> tuple[End, str, bool]:
    leg = SipLeg(call_id.hex, (way.host, way.port), caller, tape, caller.answered)
    try:
        await leg.open(SOURCE)
    except OSError as error:
        return End.LOST, f"no socket at {SOURCE}: {error.strerror or error}", False
    loop = asyncio.get_running_loop()
    timers = [loop.call_later(CALL_LIMIT, leg.hang_up)]

    def give_up() -> None:
        if not leg.answered:
            leg.hang_up()

    timers.append(loop.call_later(CONNECT_LIMIT, give_up))
    try:
        end = await leg.ended
    finally:
        for timer in timers:
            timer.cancel()
        await leg.close()
    return end, leg.fault, leg.cause == NORMAL_CLEARING


async def _by_audiosocket(
    way: Way, call_id: uuid.UUID, caller: ProbeCaller, tape: Tape
) -> tuple[End, str, bool]:
    loop = asyncio.get_running_loop()
    caller.answered(loop.time())
    try:
        async with asyncio.timeout(CONNECT_LIMIT):
            leg = await dial(way.host, way.port, call_id, caller, tape, CALL_LIMIT)
    except (OSError, TimeoutError) as error:
        caller.answered(None)
        reason = getattr(error, "strerror", None) or str(error) or "no answer"
        return End.LOST, f"{way.host}:{way.port}: {reason}", False
    try:
        end = await leg.ended
    finally:
        leg.hang_up()
    return end, leg.fault, True


async def _watch(
    control: EventFeed | None, call_id: uuid.UUID, events: list[dict[str, Any]]
) -> None:
    if control is None:
        return
    with suppress(FeedError):  # the call is judged by what is heard
        async for event in control.events(call_id):
            events.append(event)  # noqa: PERF401 -- what was told before it broke off counts
