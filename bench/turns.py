"""Voice to voice, one call at a time: from the caller's last sound to the bot's first, on the tape.

The shipped scenarios with the embedded engine: recorded voices, real recognition, some answers
from the prompt cache and some that are synthesised while the caller waits. Keys do not count.

``python -m bench.turns`` compares, some ten minutes long: is it worth while to have the workers
listen to how a caller stopped, when it is they who recognise (``LISTEN_FOR_TURN_END``)?
"""

from __future__ import annotations

import asyncio
import sys
from itertools import cycle

from bench.arithmetic import percentile
from bench.figures import Measured, Say
from bench.service import MeasuredService, Samples
from voicebot.config import Settings
from voicebot.simulator import scenario
from voicebot.simulator.measure import Response, Turn
from voicebot.simulator.runner import run_call
from voicebot.simulator.synthesis import prepare_lines

SCENARIOS = ("internet-resolved", "interrupting", "mobile-transfer", "interrupting")
LEAST_TURNS = 40
MOST_CALLS = 20
_STAGES = ("endpointing", "llm", "tts", "playout")


async def measure(say: Say, **settings: str) -> Measured:
    """The part's figures, of a service with *settings*. Raises ValueError if the callers were not
    answered often enough."""
    scenarios = [scenario.load(name) for name in SCENARIOS]
    texts = dict.fromkeys(text for one in scenarios for text in one.lines())
    lines = await prepare_lines(list(texts), Settings(), say)
    turns: list[Turn] = []
    calls = failed = 0
    with MeasuredService(**settings) as service:
        for one in cycle(scenarios):
            result = await run_call(one, service.target, lines, seed=calls)
            calls += 1
            failed += not result.ok
            turns += [turn for turn in result.measures.turns if _is_spoken(turn)]
            answered = [1000 * turn.latency for turn in turns if turn.latency is not None]
            verdict = "as it should" if result.ok else f"not as it should: {result.failures[0]}"
            say(f"{len(answered)} of {LEAST_TURNS} turns; {one.name} went {verdict}")
            if len(answered) >= LEAST_TURNS:
                break
            if calls == MOST_CALLS:
                raise ValueError(f"only {len(answered)} turns were answered in {calls} calls")
        where = _where(service.metrics())
    lost = sum(turn.response is Response.NO_ANSWER for turn in turns)
    return Measured(
        {
            "local_turn_p50_ms": percentile(answered, 50),
            "local_turn_p95_ms": percentile(answered, 95),
            "local_turn_max_ms": max(answered),
            "local_turns": len(turns),
            "local_turns_unanswered": lost,
            "local_calls": calls,
            "local_calls_failed": failed,
        },
        {"local_turn_p50_ms": where, "local_turn_p95_ms": _slowest(turns)},
    )


def main() -> None:
    """Print both."""
    for listens in ("never", "always"):
        found = asyncio.run(measure(_say, LISTEN_FOR_TURN_END=listens))
        p50, p95 = (found.values[f"local_turn_p{share}_ms"] for share in (50, 95))
        print(
            f"{listens:>6}: p50 {p50:.0f} ms, p95 {p95:.0f} ms; {found.notes['local_turn_p50_ms']}"
        )


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _is_spoken(turn: Turn) -> bool:
    return not set(turn.said) <= scenario.DIGITS


def _slowest(turns: list[Turn]) -> str:
    slowest = max(turns, key=lambda turn: turn.latency or 0.0)
    return f"{len(turns)} turns; slowest {1000 * (slowest.latency or 0.0):.0f}, {slowest.said!r}"


def _where(service: Samples) -> str:
    """The means of the stages that the service counts, and of the recogniser's work."""
    means = {
        stage: 1000 * service.mean("voicebot_turn_stage_seconds", stage=stage, traffic="live")
        for stage in _STAGES
    }
    recognition = 1000 * service.mean("voicebot_worker_job_seconds", kind="transcribe")
    stages = ", ".join(f"{stage} {mean:.0f}" for stage, mean in means.items())
    return f"means: {stages}; a recognition {recognition:.0f}, most of it while endpointing waits"


if __name__ == "__main__":
    main()
