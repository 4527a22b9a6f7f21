"""Twenty SIP calls through Asterisk, both programs in their containers and both outside.

Callers (sipp) have the bot say everything twice; what Asterisk sends them is read off the wire with
the kernel's time stamps, so that nothing of the measuring side is in it. The two kinds take turns
in one run, on one machine and one network, and only neighbours are compared: how late frames are
changes more from minute to minute than from one kind to the other.

``scripts/bench-docker contained`` starts the engine and this. Needs root.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import statistics
import sys
import tempfile
import time
import wave
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench import figures
from bench.arithmetic import grid_lateness, percentile
from bench.figures import Measured, Say
from bench.service import MeasuredService
from bench.wire import Flow, WireTap
from tests.support.asterisk import TEST_LINES, AsteriskInstance, Route
from tests.support.containers import (
    ASTERISK,
    ASTERISK_UID,
    FULL,
    REPOSITORY,
    Hardened,
    docker,
    run_arguments,
    until,
)
from tests.support.sipp import place_calls
from voicebot.audio.pcm import silence
from voicebot.simulator.lines import CLIPS

CALLS = 20
ROUNDS = 4
CALL_SECONDS = 30.0
SAID = "vous-pouvez-repeter"
PAUSE = 5.0
"""Seconds between two requests of a caller."""
RTP_PORTS = range(20000, 21000)
"""Of Asterisk, by asterisk/voicebot.d/rtp.conf."""
SIP_PORT = 5060
MOST_LOST = 0.001
"""Share of frames that may be missing on the wire, or this is no comparison."""


@dataclass(frozen=True, slots=True)
class Round:
    """What the callers of one round were sent: lateness of frames, in milliseconds."""

    late: NDArray[np.float64]
    jitter: float
    """Mean of the calls, as RFC 3550 6.4.1 has it."""

    @property
    def p99(self) -> float:
        return percentile(self.late, 99)

    def __str__(self) -> str:
        return (
            f"p50 {percentile(self.late, 50):5.2f}   p99 {self.p99:6.2f}   "
            f"max {self.late.max():6.1f}   jitter {self.jitter:5.2f} ms   {self.late.size} frames"
        )


async def measure(say: Say, rounds: int, calls: int, seconds: float) -> Measured:
    """The figures of *rounds* pairs. Raises ValueError if a round was not whole."""
    outside, contained = [], []
    for number in range(rounds):
        # Turn about as well, so that what changes with time favours neither.
        order = ((_outside, outside), (_contained, contained))
        for kind, found in order if number % 2 == 0 else order[::-1]:
            name = kind.__name__.strip("_")
            say(f"round {number + 1} of {rounds}, {name}: starting")
            with kind() as sip_port:
                say(f"round {number + 1} of {rounds}, {name}: {calls} calls for {seconds:g} s")
                found.append(await _round(sip_port, calls, seconds))
            say(f"round {number + 1} of {rounds}, {name:<9}: {found[-1]}")
    return _compared(outside, contained, calls)


async def _round(sip_port: int, calls: int, seconds: float) -> Round:
    with tempfile.TemporaryDirectory(prefix="voicebot-bench-") as folder, WireTap(RTP_PORTS) as tap:
        await place_calls(
            "777", sip_port, calls, _said(), Path(folder), seconds + 60, seconds=seconds
        )
    flows = [flow for flow in tap.flows() if len(flow.arrivals) > 50]
    if len(flows) != calls:
        raise ValueError(f"{len(flows)} callers heard something, not {calls}")
    sent = sum(len(flow.arrivals) for flow in flows)
    lost = sum(flow.lost for flow in flows)
    if lost > MOST_LOST * sent:
        raise ValueError(f"{lost} of {sent} frames are missing on the wire")
    if sent < 0.9 * calls * seconds * 50:
        raise ValueError(f"only {sent} frames were sent to {calls} callers in {seconds:g} s")
    late = np.concatenate([grid_lateness(flow.arrivals, flow.sizes) for flow in flows])
    return Round(1000 * late, 1000 * statistics.fmean(map(Flow.jitter, flows)))


def _said() -> bytes:
    with wave.open(str(CLIPS / f"{SAID}.wav")) as file:
        return silence(PAUSE / 2) + file.readframes(file.getnframes()) + silence(PAUSE / 2)


@contextmanager
def _outside() -> Iterator[int]:
    # Asterisk first: it has every core, as its container has; the service keeps us, and the callers
    # that we start, off its own.
    with AsteriskInstance() as asterisk, MeasuredService() as service:
        asterisk.point_at(
            Route(audiosocket_port=service.audiosocket_port, control_port=service.control_port)
        )
        yield asterisk.sip_port


@contextmanager
def _contained() -> Iterator[int]:
    cores = os.sched_getaffinity(0)
    with tempfile.TemporaryDirectory(prefix="voicebot-bench-") as folder:
        site = Path(folder)
        site.chmod(0o755)
        environment = {"TECHNICIANS": "always", "LOG_FORMAT": "json"}
        host = Hardened(site / "voicebot")
        with host.serving(FULL, network="host", environment=environment), _asterisk(site):
            # The measuring side keeps off the core of the event loop, as MeasuredService does.
            os.sched_setaffinity(0, cores - {min(cores)} or cores)
            try:
                yield SIP_PORT
            finally:
                os.sched_setaffinity(0, cores)


@contextmanager
def _asterisk(site: Path) -> Iterator[None]:
    shutil.copytree(REPOSITORY / "asterisk" / "voicebot.d", site / "asterisk")
    (site / "asterisk" / "endpoints.conf").write_text(TEST_LINES)
    route = Route(audiosocket_port=9090, control_port=9080)
    (site / "asterisk" / "globals.conf").write_text(route.render())
    for name in ("asterisk", "lib", "log/cdr-csv"):
        (site / name).mkdir(parents=True, exist_ok=True)
    for path in (site / "asterisk", site / "lib", site / "log", site / "log" / "cdr-csv"):
        path.chmod(0o755)
        os.chown(path, ASTERISK_UID, ASTERISK_UID)
    for path in (site / "asterisk").iterdir():
        path.chmod(0o644)
    name = "bench-asterisk"
    mounts = {
        "/etc/asterisk/voicebot.d": str(site / "asterisk"),
        "/var/lib/asterisk": str(site / "lib"),
        "/var/log/asterisk": str(site / "log"),
    }
    docker("run", "--detach", *run_arguments("asterisk", name, mounts), ASTERISK)
    try:
        until(
            lambda: "fully booted" in docker("exec", name, "/usr/sbin/asterisk", "-rx",
                                             "core waitfullybooted"),
            30, lambda: f"Asterisk is up: {docker('logs', name)}",
        )  # fmt: skip
        yield
    finally:
        docker("rm", "--force", name)


def _compared(outside: Sequence[Round], contained: Sequence[Round], calls: int) -> Measured:
    """Ratios of neighbours, and how much one kind differs from itself."""
    values = {}
    for share in (50, 99):
        ratios = [
            percentile(inside.late, share) / percentile(free.late, share)
            for free, inside in zip(outside, contained, strict=True)
        ]
        values[f"contained_lateness_p{share}_ratio"] = statistics.median(ratios)
        values[f"contained_lateness_p{share}_ratio_least"] = min(ratios)
        values[f"contained_lateness_p{share}_ratio_most"] = max(ratios)
        for name, rounds in (("outside", outside), ("contained", contained)):
            found = [percentile(one.late, share) for one in rounds]
            values[f"{name}_lateness_p{share}_ms"] = statistics.median(found)
            values[f"{name}_lateness_p{share}_ms_most_by_least"] = max(found) / min(found)
    for name, rounds in (("outside", outside), ("contained", contained)):
        values[f"{name}_lateness_max_ms"] = max(float(one.late.max()) for one in rounds)
        values[f"{name}_jitter_ms"] = statistics.median(one.jitter for one in rounds)
    values["contained_rounds"] = len(outside)
    values["contained_calls"] = calls
    return Measured(values)


def _report(measured: Measured) -> str:
    get = measured.values.__getitem__
    lines = [f"{'':<10}{'p50 ms':>10}{'p99 ms':>10}{'max ms':>10}{'jitter ms':>10}"]
    for kind in ("outside", "contained"):
        names = ("lateness_p50_ms", "lateness_p99_ms", "lateness_max_ms", "jitter_ms")
        numbers = "".join(f"{get(f'{kind}_{name}'):>10.2f}" for name in names)
        spread = get(f"{kind}_lateness_p99_ms_most_by_least")
        lines += [f"{kind:<10}{numbers}   the p99 of one round {spread:.2f} times another's"]
    for share in (50, 99):
        key = f"contained_lateness_p{share}_ratio"
        lines.append(
            f"p{share}, contained by outside: {get(key):.2f} "
            f"({get(f'{key}_least'):.2f} to {get(f'{key}_most'):.2f}); aim 0.90 to 1.10"
        )
    return "\n".join(lines)


def main() -> int:
    """Print the comparison and keep it in bench/results/contained.json."""
    parser = argparse.ArgumentParser(prog="scripts/bench-docker contained")
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N", help="pairs")
    parser.add_argument("--calls", type=int, default=CALLS, metavar="N")
    parser.add_argument("--seconds", type=float, default=CALL_SECONDS, help="of each call")
    args = parser.parse_args()
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - started:5.0f} s  {text}", file=sys.stderr, flush=True)

    measured = asyncio.run(measure(say, args.rounds, args.calls, args.seconds))
    print(f"\n{figures.machine()}\n\n{_report(measured)}\n")
    figures.write(measured, figures.RESULTS.with_name("contained.json"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
