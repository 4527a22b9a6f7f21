"""Place simulated calls: one and watched, or many at once and measured.

Joins the pieces: a :class:`Customer` behind a :class:`Transcript` on an :class:`AudioSocketLeg`,
the event feed beside it, then measuring and judging. A call never raises for what the service
does: that is in its :class:`CallResult`.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from voicebot.simulator import judge
from voicebot.simulator.customer import Customer
from voicebot.simulator.feed import EventFeed, FeedError
from voicebot.simulator.leg import AudioSocketLeg, End, dial
from voicebot.simulator.lines import Line, noise_frames
from voicebot.simulator.measure import Measures, measure
from voicebot.simulator.scenario import Scenario
from voicebot.simulator.tape import Pacing, Tape, pacing
from voicebot.simulator.transcript import Entry, Transcript

#: How long after the end of the call its outcome may still come through the feed.
_OUTCOME_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Target:
    """The service to call."""

    host: str
    port: int
    feed: EventFeed | None
    """None: the words of the bot are not followed; only scenarios of steps can run."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a call used of providers that charge for it."""

    total: float | None
    """None: something has no price."""
    currency: str
    uses: tuple[Mapping[str, Any], ...]
    """Each with provider, model, unit, amount and cost."""

    @staticmethod
    def of(ended: Mapping[str, Any]) -> Cost | None:
        """What the feed's last event says."""
        if "cost" not in ended:
            return None
        return Cost(ended["cost"], str(ended.get("currency", "")), tuple(ended.get("uses", ())))


@dataclass(frozen=True, slots=True)
class CallResult:
    """One finished call."""

    scenario: Scenario
    call_id: uuid.UUID
    end: End
    outcome: str | None
    entries: tuple[Entry, ...]
    measures: Measures
    pacing: Pacing
    """Arrival of the bot's frames; ``tape.arrivals`` has the raw times."""
    send_lateness: tuple[float, ...]
    """Of each frame of ours, seconds after its slot: how far to trust the rest."""
    tape: Tape
    failures: tuple[str, ...]
    warnings: tuple[str, ...]
    cost: Cost | None = None
    """As the service tells it; None if it does not."""

    @property
    def ok(self) -> bool:
        """Whether everything the scenario expects held."""
        return not self.failures


Show = Callable[[Entry], None]


@dataclass(frozen=True, slots=True)
class _Held:
    """A call that is over and not measured yet."""

    scenario: Scenario
    call_id: uuid.UUID
    leg: AudioSocketLeg
    tape: Tape
    customer: Customer
    transcript: Transcript
    feed_fault: str


async def run_call(
    scenario: Scenario,
    target: Target,
    lines: Mapping[str, Line],
    *,
    show: Show | None = None,
    seed: int = 0,
) -> CallResult:
    """Hold one call to its end. *lines* as for :class:`Customer`. Raises OSError if nobody
    listens at the target."""
    return _result(await _hold(scenario, target, lines, show, seed))


async def run_calls(
    scenarios: Sequence[Scenario],
    target: Target,
    lines: Mapping[str, Line],
    *,
    count: int,
    stagger: float = 0.25,
    ended: Callable[[Scenario], None] | None = None,
) -> list[CallResult]:
    """Hold *count* calls at once, *stagger* seconds apart, going round *scenarios*.

    Nothing is measured before all have ended: it would make the others' frames late. The results
    are in the order of dialling. Raises OSError if nobody listens at the target.
    """

    async def one(number: int) -> _Held:
        await asyncio.sleep(number * stagger)
        scenario = scenarios[number % len(scenarios)]
        held = await _hold(scenario, target, lines, None, number)
        if ended is not None:
            ended(scenario)
        return held

    try:
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(one(number)) for number in range(count)]
    except ExceptionGroup as failed:
        refused = failed.subgroup(OSError)
        if refused is not None:
            raise _first(refused) from failed
        raise
    return [_result(call.result()) for call in calls]


def _first(group: BaseExceptionGroup[OSError]) -> OSError:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner


async def _hold(
    scenario: Scenario, target: Target, lines: Mapping[str, Line], show: Show | None, seed: int
) -> _Held:
    start = asyncio.get_running_loop().time()
    level = scenario.caller.noise
    noise = [] if level is None else noise_frames(level, seed)
    customer = Customer(scenario, lines, now=start, seed=seed, noise=noise)
    transcript = Transcript(customer, start, show)
    tape = Tape(start)
    call_id = uuid.uuid4()
    leg = await dial(target.host, target.port, call_id, transcript, tape, scenario.limit)
    try:
        feed_fault = await _until_ended(target.feed, call_id, leg, transcript)
    finally:
        leg.hang_up()
    transcript.close()
    return _Held(scenario, call_id, leg, tape, customer, transcript, feed_fault)


async def _until_ended(
    feed: EventFeed | None, call_id: uuid.UUID, leg: AudioSocketLeg, transcript: Transcript
) -> str:
    """Wait for the end of the call and of its feed; return what was wrong with the feed."""
    if feed is None:
        await leg.ended
        return ""
    following = asyncio.create_task(_follow(feed, call_id, leg, transcript))
    try:
        await leg.ended
        with suppress(TimeoutError):
            return await asyncio.wait_for(following, _OUTCOME_SECONDS)
        return "the event feed did not tell how the call ended"
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following


async def _follow(
    feed: EventFeed, call_id: uuid.UUID, leg: AudioSocketLeg, transcript: Transcript
) -> str:
    loop = asyncio.get_running_loop()
    try:
        async for event in feed.events(call_id):
            transcript.event(event, loop.time())
    except FeedError as error:
        # Without its words the rest of the call would only be a silent customer.
        leg.hang_up()
        return str(error)
    return ""


def _result(held: _Held) -> CallResult:
    """Measure and judge."""
    end = held.leg.ended.result()
    measures = measure(held.tape, held.customer.answers)
    facts = judge.Facts(
        end=end,
        fault=held.leg.fault,
        outcome=held.transcript.outcome,
        entries=held.transcript.entries,
        unanswered=held.customer.unanswered,
        measures=measures,
        feed_fault=held.feed_fault,
    )
    return CallResult(
        scenario=held.scenario,
        call_id=held.call_id,
        end=end,
        outcome=held.transcript.outcome,
        entries=tuple(held.transcript.entries),
        measures=measures,
        pacing=pacing(held.tape),
        send_lateness=tuple(held.leg.send_lateness),
        tape=held.tape,
        failures=tuple(judge.failures(held.scenario, facts)),
        warnings=tuple(judge.warnings(held.scenario, facts)),
        cost=Cost.of(held.transcript.ended),
    )
