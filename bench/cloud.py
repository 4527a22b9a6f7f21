"""Twenty calls at once by the vendors' kits and the emulator, beside the reference's own design.

The emulator answers with its default delays, from a process of its own, and tells what it kept back
of each answer; what a caller waited beyond that is the bot's. Half of the callers have things said
again (rules and cache answer them), half ask what no rule knows (the language model answers).
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench.arithmetic import percentile
from bench.emulated import CACHE, Delay, delays, vendor_seconds
from bench.figures import Measured, Say
from bench.reference import ReferenceService, voice_cpu
from bench.service import MeasuredService, Samples
from voicebot.commands.emulated import EmulatedClouds
from voicebot.config import Settings
from voicebot.simulator import scenario
from voicebot.simulator.lines import Line
from voicebot.simulator.runner import CallResult, Target, run_calls
from voicebot.simulator.scenario import DIGITS, Scenario
from voicebot.simulator.synthesis import prepare_lines

CALLS = 20
SCENARIOS = ("asks-again", "asks-freely")
COMPARED = "three-questions"
COMPARED_CALLS = 4
"""Few, so that the reference is measured at its best."""
MOST_CALLER_LATENESS_MS = 20.0
"""Of the measuring side, 99 % of its frames; beyond it, it would measure itself."""
_STAGES = ("endpointing", "llm", "tts", "playout")
_LAG = "voicebot_event_loop_lag_seconds"


@dataclass(frozen=True, slots=True)
class Answer:
    """One turn, in seconds."""

    latency: float
    vendors: float
    """What the emulator kept back of it."""
    by_model: bool
    """The language model was asked for it."""

    @property
    def added(self) -> float:
        return self.latency - self.vendors


async def measure(say: Say) -> Measured:
    """The part's figures. Raises ValueError if the callers were not answered."""
    directory = Path(__file__).parent / "scenarios"
    scenarios = [scenario.load(str(directory / f"{name}.yaml")) for name in SCENARIOS]
    compared = scenario.load(str(directory / f"{COMPARED}.yaml"))
    texts = dict.fromkeys(text for one in (*scenarios, compared) for text in one.lines())
    lines = await prepare_lines(list(texts), Settings(), say)
    cores = os.sched_getaffinity(0)
    others = cores - {min(cores)} or cores  # the first is the service's event loop's
    with EmulatedClouds(CACHE, "--voice", "espeak", cores=others) as clouds:
        say("rendering the prompts in the emulated voice, if this is the first time")
        with MeasuredService(**clouds.settings) as service:
            measured = await _load(say, clouds, service, scenarios, lines)
            say(f"{COMPARED_CALLS} calls of {compared.name}, ours")
            ours = await _compared(compared, service.target, lines)
        say("the same with the reference's own design")
        with ReferenceService(clouds.settings) as reference:
            theirs = await _compared(compared, reference.target, lines)
        own_cpu, reference_cpu = await voice_cpu(clouds.settings)
    measured.add(_comparison(ours, theirs, own_cpu, reference_cpu))
    return measured


async def _load(
    say: Say,
    clouds: EmulatedClouds,
    service: MeasuredService,
    scenarios: list[Scenario],
    lines: dict[str, Line],
) -> Measured:
    ready = service.memory("VmRSS")
    say(f"{CALLS} conversations at once, for {scenarios[0].limit:g} s")
    watching = asyncio.create_task(_watch(service))
    before, counted = (time.monotonic(), *service.processor_seconds()), service.metrics()
    try:
        results = await run_calls(scenarios, service.target, lines, count=CALLS)
    finally:
        watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching
    after = (time.monotonic(), *service.processor_seconds())
    own = percentile([1000 * late for one in results for late in one.send_lateness], 99)
    if own > MOST_CALLER_LATENESS_MS:
        raise ValueError(
            f"the callers' own frames were {own:.0f} ms late (p99): this machine has too much "
            "else to do to measure on it"
        )
    samples = service.metrics()
    measured = _turns(answers(results, delays(clouds)), samples)
    duration = sum(one.measures.duration for one in results)
    computed, waited = after[1] - before[1], after[2] - before[2]
    measured.values.update(
        {
            "loop_cpu_percent_per_call": 100 * computed / duration,
            "loop_lag_p99_ms": 1000 * quantile(samples, counted, _LAG, 0.99),
            "cloud_rss_mb": max(service.most_memory, service.memory("VmHWM")),
            "cloud_rss_ready_mb": ready,
            "cloud_loop_waits_for_core_percent": 100 * waited / (after[0] - before[0]),
            "cloud_caller_lateness_p99_ms": own,
        }
    )
    paid = [(one.measures.duration, one.cost.total if one.cost else None) for one in results]
    if (cents := cents_of_two_minutes(paid)) is not None:
        measured.values["cloud_cost_cents"] = cents
        measured.notes["cloud_cost_cents"] = "two minutes of a call, by list prices"
    return measured


async def _watch(service: MeasuredService) -> None:
    while True:
        service.sample_memory()
        await asyncio.sleep(0.5)


def answers(results: Sequence[CallResult], kept_back: Sequence[Delay]) -> list[Answer]:
    """The spoken turns that were answered, each with what the clouds kept back of it."""
    found = []
    for result in results:
        for turn in result.measures.turns:
            if turn.latency is None or set(turn.said) <= DIGITS:
                continue
            said = result.tape.start + turn.end
            kept = vendor_seconds(kept_back, str(result.call_id), said, said + turn.latency)
            found.append(Answer(turn.latency, sum(kept.values()), "chat_first_token" in kept))
    return found


def _turns(turns: Sequence[Answer], samples: Samples) -> Measured:
    rules = [1000 * turn.latency for turn in turns if not turn.by_model]
    model = [1000 * turn.latency for turn in turns if turn.by_model]
    if not rules:
        raise ValueError("no turn was answered")
    added = [1000 * turn.added for turn in turns]
    means = {
        stage: 1000 * samples.mean("voicebot_turn_stage_seconds", stage=stage, traffic="live")
        for stage in _STAGES
    }
    where = "means: " + ", ".join(f"{stage} {mean:.0f}" for stage, mean in means.items())
    values = {
        "cloud_rule_turn_p50_ms": percentile(rules, 50),
        "cloud_rule_turn_p95_ms": percentile(rules, 95),
        "bot_added_p50_ms": percentile(added, 50),
        "bot_added_p99_ms": percentile(added, 99),
        "cloud_rule_turns": float(len(rules)),
        "cloud_model_turns": float(len(model)),
        "cloud_vendors_p50_ms": percentile([1000 * turn.vendors for turn in turns], 50),
    }
    if model:
        values["cloud_turn_p50_ms"] = percentile(model, 50)
        values["cloud_turn_p95_ms"] = percentile(model, 95)
    return Measured(values, {"cloud_rule_turn_p50_ms": where})


def quantile(after: Samples, before: Samples, histogram: str, share: float) -> float:
    """Of what a histogram has seen between two readings, by its buckets, in between by a line."""
    edges = after.edges(histogram)
    counts = [
        after.value(f"{histogram}_bucket", le=text) - before.value(f"{histogram}_bucket", le=text)
        for text, _ in edges
    ]
    wanted = share * counts[-1]
    low, below = 0.0, 0.0
    for (_, high), count in zip(edges, counts, strict=True):
        if count >= wanted:
            if high == float("inf"):
                return low
            inside = count - below
            return low + (high - low) * ((wanted - below) / inside if inside else 1.0)
        low, below = high, count
    return low


async def _compared(one: Scenario, target: Target, lines: dict[str, Line]) -> list[float]:
    results = await run_calls([one], Target(target.host, target.port, None), lines,
                              count=COMPARED_CALLS)  # fmt: skip
    latencies = [
        1000 * turn.latency
        for result in results
        for turn in result.measures.turns
        if turn.latency is not None
    ]
    if len(latencies) < COMPARED_CALLS:
        raise ValueError(f"of {one.name}, only {len(latencies)} turns were answered")
    return latencies


def _comparison(
    ours: list[float], theirs: list[float], own_cpu: float, reference_cpu: float
) -> Measured:
    own, reference = percentile(ours, 50), percentile(theirs, 50)
    return Measured(
        {
            "reference_latency_ratio": reference / own,
            "reference_cpu_ratio": reference_cpu / own_cpu,
            "reference_turn_p50_ms": reference,
            "compared_turn_p50_ms": own,
            "reference_voice_cpu_ms_per_s": 1000 * reference_cpu,
            "voice_cpu_ms_per_s": 1000 * own_cpu,
        },
        {
            "reference_latency_ratio": f"the same questions: {own:.0f} ms, and {reference:.0f} ms "
            f"by the reference's design ({len(ours)} and {len(theirs)} turns, p50)",
            "reference_cpu_ratio": f"from a sentence to slin: {1000 * own_cpu:.1f} ms for a "
            f"second of speech, and {1000 * reference_cpu:.1f}",
        },
    )


def cents_of_two_minutes(calls: Sequence[tuple[float, float | None]]) -> float | None:
    """What clouds charge for as long a call as the reference's, by the seconds and the cost of each
    call; None if that of one is not known."""
    costs = [cost for _, cost in calls if cost is not None]
    duration = sum(seconds for seconds, _ in calls)
    if not duration or len(costs) < len(calls):
        return None
    return 100 * sum(costs) / duration * 120
