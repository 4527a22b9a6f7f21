"""``python -m bench``: measure, show the table, keep the figures. ``make bench`` runs it."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import signal
import sys
import time

from bench import figures
from bench.figures import Measured
from bench.service import KEPT_LOG
from voicebot.commands.demo import ServiceFailedError
from voicebot.commands.emulated import EmulatorFailedError
from voicebot.providers.interfaces import ProviderError
from voicebot.simulator.lines import LineError
from voicebot.simulator.scenario import ScenarioError

PARTS = {
    "prompt": ("prompt_to_wire_p95_ms",),
    "load": ("frame_lateness_p99_ms", "service_rss_mb"),
    "drift": ("drift_ms_per_min",),
    "barge_in": ("barge_in_p95_ms",),
    "turns": ("local_turn_p50_ms", "local_turn_p95_ms"),
    "instrumentation": ("instrumentation_loop_percent", "scrape_lateness_p99_ms"),
    "cloud": (
        "cloud_turn_p50_ms", "cloud_turn_p95_ms", "cloud_rule_turn_p50_ms",
        "cloud_rule_turn_p95_ms", "bot_added_p50_ms", "bot_added_p99_ms",
        "loop_cpu_percent_per_call", "loop_lag_p99_ms", "cloud_rss_mb",
        "cloud_cost_cents", "reference_latency_ratio", "reference_cpu_ratio",
    ),
    "transcode": ("transcode_cpu_ratio",),
    "converting": ("convert_x_real_time", "converting_lateness_p99_ms"),
}  # fmt: skip
"""Module of this package to the figures that it measures."""


_REASONS = (
    OSError, ValueError, EmulatorFailedError, LineError, ProviderError, ScenarioError,
    ServiceFailedError,
)  # fmt: skip


def main() -> int:
    """0 if everything was measured, whatever the figures; 1 if something could not be."""
    args = _arguments()
    wanted = [part for part, keys in PARTS.items() if not args.only or set(keys) & set(args.only)]
    signal.signal(signal.SIGTERM, _interrupt)  # or the service would be left behind
    measured, failed = Measured(), False
    try:
        for part in wanted:
            started = time.monotonic()

            def say(text: str, part: str = part, started: float = started) -> None:
                print(f"{part:>15} {time.monotonic() - started:5.0f} s  {text}", file=sys.stderr)

            say("starting the service")
            try:
                measured.add(asyncio.run(importlib.import_module(f"bench.{part}").measure(say)))
            except _REASONS as error:
                print(
                    f"bench: {part} could not be measured: {error}; see {KEPT_LOG}", file=sys.stderr
                )
                failed = True
    except KeyboardInterrupt:
        print("bench: interrupted; nothing is kept", file=sys.stderr)
        return 130
    print(f"\n{figures.machine()}\n\n{figures.table(measured)}\n")
    if failed or len(wanted) < len(PARTS):
        print(f"Not all was measured: {figures.RESULTS} stays as it is.")
    else:
        figures.write(measured)
        print(f"Kept in {figures.RESULTS}.")
    return int(failed)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measure the figures of docs/reference/figures.md."
    )
    parser.add_argument(
        "--only", nargs="+", metavar="KEY", choices=figures.TARGETS, help="measure these only"
    )
    return parser.parse_args()


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
