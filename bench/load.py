"""Twenty whole conversations at once: how punctual the frames are, and what the service weighs.

The callers talk and interrupt, the bot talks, recognition works to its limit: the worst that the
event loop is meant for. Arrivals are taken where the caller's side reads them, so its own delays
are in the figure; they are shown beside it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path

import numpy as np

from bench.arithmetic import grid_lateness, percentile
from bench.figures import Measured, Say
from bench.service import MeasuredService, Samples
from voicebot.config import Settings
from voicebot.simulator import scenario
from voicebot.simulator.runner import CallResult, run_calls
from voicebot.simulator.synthesis import prepare_lines

CALLS = 20
SCENARIOS = ("asks-again", "interrupts")
"""Beside this file; their callers stay for 66 s whatever the bot says."""
LEAST_SECONDS = 60.0
SAMPLE_SECONDS = 0.5
SCRAPE_SECONDS = 15
MOST_CALLER_LATENESS_MS = 20.0
"""Of the measuring side, 99 % of its frames; beyond it, it would measure itself."""
_LATENESS = "voicebot_audio_frame_lateness_seconds"


async def measure(say: Say) -> Measured:
    """The part's figures. Raises ValueError if a call was too short to judge."""
    directory = Path(__file__).parent / "scenarios"
    scenarios = [scenario.load(str(directory / f"{name}.yaml")) for name in SCENARIOS]
    texts = dict.fromkeys(text for one in scenarios for text in one.lines())
    lines = await prepare_lines(list(texts), Settings(), say)
    with MeasuredService() as service:
        ready = service.memory("VmRSS")
        say(f"{CALLS} conversations at once, for {scenarios[0].limit:g} s")
        watching = asyncio.create_task(_watch(service, say))
        before = time.monotonic(), *service.processor_seconds()
        try:
            results = await run_calls(scenarios, service.target, lines, count=CALLS)
        finally:
            watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
        after = time.monotonic(), *service.processor_seconds()
        measured = _frames(results, service.metrics())
        measured.add(_memory(ready, service))
        seconds, computed, waited = (b - a for a, b in zip(before, after, strict=True))
        measured.values["loop_computes_percent"] = 100 * computed / seconds
        measured.values["loop_waits_for_core_percent"] = 100 * waited / seconds
    return measured


async def _watch(service: MeasuredService, say: Say) -> None:
    """Note the memory as long as the calls last, and scrape the metrics as Prometheus would."""
    for sample in count():
        weight = service.sample_memory()
        if sample % round(SCRAPE_SECONDS / SAMPLE_SECONDS) == 0:
            await asyncio.to_thread(service.scrape)
            say(f"{weight:.1f} MB")
        await asyncio.sleep(SAMPLE_SECONDS)


def _memory(ready: float, service: MeasuredService) -> Measured:
    # The kernel's own high-water mark is behind at times.
    peak = max(service.most_memory, service.memory("VmHWM"))
    return Measured(
        {
            "service_rss_mb": peak,
            "service_rss_ready_mb": ready,
            "service_rss_hwm_mb": service.memory("VmHWM"),
        },
        {"service_rss_mb": f"{ready:.1f} when ready, {(peak - ready) / CALLS:.2f} for each call"},
    )


def _check(results: Sequence[CallResult], own_p99: float) -> None:
    """Raise ValueError if these calls do not show what is to be measured."""
    if own_p99 > MOST_CALLER_LATENESS_MS:
        raise ValueError(
            f"the callers' own frames were {own_p99:.0f} ms late (p99): this machine has too much "
            "else to do to measure on it"
        )
    short = [one for one in results if one.measures.duration < LEAST_SECONDS]
    if short:
        raise ValueError(
            f"{len(short)} of {len(results)} calls ended before {LEAST_SECONDS:g} s "
            f"(one of {short[0].scenario.name}: {short[0].end.value}, {short[0].outcome})"
        )


def _frames(results: Sequence[CallResult], service: Samples) -> Measured:
    own = percentile([1000 * late for one in results for late in one.send_lateness], 99)
    _check(results, own)
    late = 1000 * np.concatenate(
        [grid_lateness(one.tape.arrivals, one.tape.sizes) for one in results]
    )
    punctual = service.value(f"{_LATENESS}_bucket", le="0.005")
    written = service.value(f"{_LATENESS}_count")
    turns = [turn for one in results for turn in one.measures.turns]
    answered = [turn.latency for turn in turns if turn.latency is not None]
    return Measured(
        {
            "frame_lateness_p99_ms": percentile(late, 99),
            "frame_lateness_p50_ms": percentile(late, 50),
            "frame_lateness_max_ms": float(late.max()),
            "service_frames_within_5ms_percent": 100 * punctual / written,
            "caller_lateness_p99_ms": own,
            "loaded_turn_p50_ms": 1000 * percentile(answered, 50),
            "loaded_turns": len(turns),
            "loaded_turns_answered": len(answered),
        },
        {
            "frame_lateness_p99_ms": f"{late.size} frames, median {percentile(late, 50):.1f}, most "
            f"{late.max():.0f}; the callers' own frames {own:.1f}; the service's "
            f"clock within 5 ms for {100 * punctual / written:.2f} %"
        },
    )
