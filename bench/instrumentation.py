"""What counting, logging and tracing cost at twenty calls, and what a scrape does to the audio.

The cost is too small to be seen as the difference of two runs on a machine of this kind. So each
operation is timed here, alone, and how often the service did it is read off its own counters: the
sum is what the event loop spent on it, as a share of all that it computed. Traces are made and
thrown away, log lines written to nowhere.

The service is scraped each second, fifteen times as often as by Prometheus. Frames that were due
during a scrape, or just after it, are compared with all the others of the same calls.
"""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import structlog

from bench.arithmetic import SENT_AHEAD, percentile
from bench.figures import Measured, Say
from bench.load import CALLS, SCENARIOS
from bench.scraper import scrape_until_cancelled
from bench.service import MeasuredService, Samples
from voicebot.call.ledger import CallLedger
from voicebot.call.notes import CallNotes
from voicebot.config import Settings
from voicebot.providers.interfaces import Transcript
from voicebot.providers.usage import Bill
from voicebot.simulator import scenario
from voicebot.simulator.runner import CallResult, run_calls
from voicebot.simulator.synthesis import prepare_lines
from voicebot.simulator.tape import pacing
from voicebot.telemetry import logs, tracing
from voicebot.telemetry.metrics import Metrics
from voicebot.telemetry.requests import Request

SCRAPE_SECONDS = 1.0
AFTER_SECONDS = 0.04
"""How long after a scrape a frame may still be late because of it."""
_REPEATS, _TIMES = 5, 2_000
_LEVELS = ("debug", "info", "warning", "error", "critical")


async def measure(say: Say) -> Measured:
    """The part's figures."""
    costs = _costs()
    say(", ".join(f"{name} {1e6 * cost:.1f} µs" for name, cost in costs.items()))
    directory = Path(__file__).parent / "scenarios"
    scenarios = [scenario.load(str(directory / f"{name}.yaml")) for name in SCENARIOS]
    texts = dict.fromkeys(text for one in scenarios for text in one.lines())
    lines = await prepare_lines(list(texts), Settings(), say)
    with MeasuredService() as service:
        say(f"{CALLS} conversations at once, a scrape each {SCRAPE_SECONDS:g} s")
        scrapes: list[tuple[float, float]] = []
        scraping = asyncio.create_task(
            scrape_until_cancelled(service.metrics_url, SCRAPE_SECONDS, scrapes)
        )
        before, computed = service.metrics(), service.processor_seconds()[0]
        try:
            results = await run_calls(scenarios, service.target, lines, count=CALLS)
        finally:
            scraping.cancel()
        with suppress(asyncio.CancelledError):
            await scraping
        computed = service.processor_seconds()[0] - computed
        after = service.metrics()
    measured = _share(costs, before, after, computed)
    measured.add(_disturbance(results, scrapes))
    return measured


# -- what it costs


def _share(costs: dict[str, float], before: Samples, after: Samples, computed: float) -> Measured:
    def times(name: str, **labels: str) -> float:
        return after.value(name, **labels) - before.value(name, **labels)

    done = {
        "frame in": times("voicebot_audio_frames_total", direction="in"),
        "frame out": times("voicebot_audio_frames_total", direction="out"),
        "tick": times("voicebot_event_loop_lag_seconds_count"),
        "line": sum(times("voicebot_log_messages_total", level=level) for level in _LEVELS),
        "turn": sum(
            times("voicebot_turns_total", outcome=outcome, traffic="live")
            for outcome in ("answered", "interrupted", "no_input", "no_match", "failed")
        ),
        "request": sum(
            times(
                "voicebot_provider_requests_total", stage=stage, provider="local", outcome=outcome
            )
            for stage in ("stt", "tts")
            for outcome in ("ok", "error", "timeout", "cancelled")
        ),
    }
    spent = {name: count * costs[name] for name, count in done.items()}
    parts = ", ".join(
        f"{done[name]:.0f} {name} {100 * spent[name] / computed:.2f} %"
        for name in sorted(spent, key=lambda name: -spent[name])
    )
    share = 100 * sum(spent.values()) / computed
    return Measured(
        {"instrumentation_loop_percent": share},
        {"instrumentation_loop_percent": f"of {computed:.1f} s on the loop's core: {parts}"},
    )


def _costs() -> dict[str, float]:
    """Seconds of the calling thread for one of each."""
    metrics = Metrics()
    frames_in = metrics.audio_frames.labels("in")
    frames_out = metrics.audio_frames.labels("out")

    def frame_out() -> None:
        metrics.frame_lateness.observe(0.0004)
        frames_out.inc()

    costs = {
        "frame in": _timed(lambda: frames_in.inc(1.0)),
        "frame out": _timed(frame_out),
        "tick": _timed(lambda: metrics.loop_lag.observe(0.0004)),
        "request": _timed(lambda: _request(metrics)),
    }
    with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123 -- not a file
        output = logs.configure("info", "json", metrics, stream=nowhere, capacity=10**9)
        log = structlog.get_logger("bench").bind(call_id=str(uuid.uuid4()))
        costs["line"] = _timed(
            lambda: log.info("state changed", state="a", before="b", trigger="c", response_s=0.84)
        )
        output.close()
        output = logs.configure("error", "json", metrics, stream=nowhere)  # lines counted above
        costs["turn"] = _timed(_turns(metrics), 200)
        output.close()
    return costs


def _request(metrics: Metrics) -> None:
    metrics.provider_requests.labels("stt", "local", "ok").inc()
    metrics.stt_final.labels("local").observe(0.2)
    Request("stt", "local", "local", 0.0, 0.2, 0.3, "ok")


class _NoJournal:
    def __getattr__(self, name: str) -> Callable[[Any], Future[int] | None]:
        return lambda record: None


class _NoCollector:
    """An exporter that takes everything, at once."""

    def export(self, spans: Sequence[object]) -> object:
        from opentelemetry.sdk.trace.export import SpanExportResult

        return SpanExportResult.SUCCESS

    def shutdown(self) -> None: ...


def _turns(metrics: Metrics) -> Callable[[], None]:
    """A function that holds one turn, with a trace."""
    sender = tracing.start("http://nowhere", {}, metrics, version="0", exporter=_NoCollector())  # type: ignore[arg-type]
    call = uuid.uuid4()
    notes = CallNotes(str(call), "live", sender.call(call.hex), Bill())
    ledger = CallLedger(notes, metrics, _NoJournal(), "USD", 0.0)  # type: ignore[arg-type]
    said = Transcript("oui", 1, 0.9, compute_seconds=0.1)
    now = 0.0

    def turn() -> None:
        nonlocal now
        now += 5.0
        notes.requests.append(Request("stt", "local", "local", now, now, now + 0.1, "ok"))
        notes.requests.append(Request("tts", "local", "local", now, now, now + 0.1, "ok"))
        ledger.caller_said(said, now, now + 0.5)
        ledger.bot_says(("Très bien.",), now + 0.5)
        ledger.audio_ready(now + 0.6)
        ledger.audio_sent(now + 0.6)
        ledger.answer_sent(now + 0.6)
        ledger.bot_heard("Très bien.", now + 2.0)
        if now % 500 == 0:
            notes.feed.publish(now, "ended")  # what it keeps is not what is measured

    return turn


def _timed(work: Callable[[], object], times: int = _TIMES) -> float:
    """The best of several rounds: what disturbs a round only makes it longer."""

    def one() -> float:
        began = time.thread_time()
        for _ in range(times):
            work()
        return (time.thread_time() - began) / times

    return min(one() for _ in range(_REPEATS))


# -- what a scrape does


def _disturbance(results: Sequence[CallResult], scrapes: list[tuple[float, float]]) -> Measured:
    late, during = [], []
    for one in results:
        arrivals = np.asarray(one.tape.arrivals)[SENT_AHEAD:]
        # Against the clock of the second before: a stall that starts the service's clock anew is
        # no matter of scrapes, and would hide everything else for the rest of the call.
        lateness = 1000 * np.asarray(pacing(one.tape).lateness)
        due = arrivals - lateness / 1000
        hit = np.zeros(due.size, dtype=bool)
        for began, ended in scrapes:
            hit |= (due >= began) & (due <= ended + AFTER_SECONDS)
        late.append(lateness)
        during.append(hit)
    everything, hits = np.concatenate(late), np.concatenate(during)
    with_scrape, without = percentile(everything[hits], 99), percentile(everything[~hits], 99)
    lasted = 1000 * float(np.median([ended - began for began, ended in scrapes]))
    return Measured(
        {
            "scrape_lateness_p99_ms": max(0.0, with_scrape - without),
            "scrape_duration_p50_ms": lasted,
        },
        {
            "scrape_lateness_p99_ms": f"{hits.sum()} frames during {len(scrapes)} scrapes "
            f"{with_scrape:.2f}, the {(~hits).sum()} others {without:.2f}; "
            f"a scrape takes {lasted:.0f} ms"
        },
    )
