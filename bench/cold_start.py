"""From ``docker run`` until calls are taken (``/readyz``), and where the time goes.

The images run under the flags of production. The one without an engine of its own has the clouds'
emulator, which answers without delay; its first start of all, which has every sentence rendered, is
shown apart. With ``--drop-caches`` the kernel forgets before each start what it has read from disk,
as after a boot.

``scripts/bench-docker cold_start`` starts the engine and this. Needs root.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bench import figures
from bench.figures import Measured, Say
from tests.support.containers import CLOUD, FULL, VOICEBOT_UID, Hardened, docker, inspect, until
from voicebot.commands.emulated import EmulatedClouds

RUNS = 7
WITHIN = 120.0
AIMS = {CLOUD: 3.0, FULL: 8.0}
HOST, PORT = "127.0.0.1", 9080
PHASES = {
    "container": "",
    "program": "service starting",
    "models": "models checked",
    "engines": "speech engines ready",
    "prompts": "prompts loaded",
    "rest": (LAST := "service ready"),
}
"""What is over when, by the event that the service logs; the first, when its process begins."""


@dataclass(frozen=True, slots=True)
class Start:
    """One start, in seconds."""

    ready: float
    """From the command to an answer of /readyz."""
    phases: dict[str, float]


def measure(say: Say, runs: int, drop_caches: bool) -> Measured:
    """The figures. Raises TimeoutError with the container's log if one does not take calls."""
    measured = Measured()
    with tempfile.TemporaryDirectory(prefix="voicebot-bench-") as folder:
        directory = Path(folder)
        directory.chmod(0o755)
        # No delay and a quick voice: what a vendor takes is not what this is about.
        with EmulatedClouds(directory / "emulated", "--latency=none", "--voice=espeak") as clouds:
            host = Hardened(directory / "cloud")
            environment = _keys(host, clouds.settings)
            first = _start(host, CLOUD, environment, drop_caches)
            say(f"cloud, with every sentence to be rendered: {first.ready:.2f} s")
            measured.values["cold_start_cloud_first_s"] = first.ready
            found = [_start(host, CLOUD, environment, drop_caches) for _ in range(runs)]
        measured.add(_figures("cloud", found, say))
        host = Hardened(directory / "full")
        found = [_start(host, FULL, {}, drop_caches) for _ in range(runs)]
        measured.add(_figures("full", found, say))
    return measured


def _keys(host: Hardened, settings: Mapping[str, str]) -> dict[str, str]:
    """Put the keys into files, as production has them; the settings that are left."""
    for name, value in settings.items():
        if name.endswith("_KEY"):
            file = host.directory / "etc/secrets" / name
            file.write_text(f"{value}\n")
            file.chmod(0o440)
            os.chown(file, 0, VOICEBOT_UID)
    return {name: value for name, value in settings.items() if name.endswith("_BASE_URL")}


def _start(host: Hardened, image: str, environment: Mapping[str, str], drop_caches: bool) -> Start:
    name = f"start-{uuid.uuid4().hex[:8]}"
    options = [f"--env={key}={value}" for key, value in environment.items()]
    if drop_caches:
        os.sync()
        Path("/proc/sys/vm/drop_caches").write_text("3")
    began, at = time.monotonic(), time.time()
    try:
        docker("run", "--detach", *host.arguments(name, network="host"), *options, image)
        while not _takes_calls():
            if time.monotonic() - began > WITHIN:
                raise TimeoutError(f"{image} takes no calls: {docker('logs', name)}")
            time.sleep(0.01)
        ready = time.monotonic() - began
        until(lambda: LAST in docker("logs", name), 10, "the log has told it as well")
        process = datetime.fromisoformat(inspect(name)["State"]["StartedAt"][:26] + "+00:00")
        return Start(ready, _phases(docker("logs", name), at, process.timestamp()))
    finally:
        docker("rm", "--force", name, check=False)


def _takes_calls() -> bool:
    try:
        with socket.create_connection((HOST, PORT), timeout=1) as connection:
            connection.sendall(b"GET /readyz HTTP/1.0\r\n\r\n")
            return connection.recv(64).split()[1:2] == [b"200"]
    except OSError:
        return False


def _phases(log: str, began: float, process: float) -> dict[str, float]:
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    moments = {line["event"]: datetime.fromisoformat(line["ts"]).timestamp() for line in lines}
    phases, before = {}, began
    for phase, event in PHASES.items():
        now = moments[event] if event else process
        phases[phase], before = now - before, now
    return phases


def _figures(image: str, found: Sequence[Start], say: Say) -> Measured:
    ready = [start.ready for start in found]
    key = f"cold_start_{image}"
    middle = {phase: statistics.median(start.phases[phase] for start in found) for phase in PHASES}
    say(
        f"{image}: {statistics.median(ready):.2f} s ({min(ready):.2f} to {max(ready):.2f}): "
        + ", ".join(f"{phase} {seconds:.2f}" for phase, seconds in middle.items())
    )
    return Measured(
        {
            f"{key}_s": statistics.median(ready),
            f"{key}_most_s": max(ready),
            **{f"{key}_{phase}_s": seconds for phase, seconds in middle.items()},
        }
    )


def _report(measured: Measured, runs: int) -> str:
    lines = [f"{'seconds':<8}{'median':>8}{'most':>8}{'aim':>6}   of it: {', '.join(PHASES)}"]
    for name, aim in (("cloud", AIMS[CLOUD]), ("full", AIMS[FULL])):
        key = f"cold_start_{name}"
        parts = [measured.values[f"{key}_{phase}_s"] for phase in PHASES]
        lines.append(
            f"{name:<8}{measured.values[f'{key}_s']:>8.2f}{measured.values[f'{key}_most_s']:>8.2f}"
            f"{aim:>6.0f}   {'  '.join(f'{part:.2f}' for part in parts)}"
        )
    first = measured.values["cold_start_cloud_first_s"]
    return "\n".join([*lines, f"{runs} starts each; the first of cloud, with prompts: {first:.2f}"])


def main() -> int:
    """Print the figures and keep them in bench/results/cold_start.json."""
    parser = argparse.ArgumentParser(prog="scripts/bench-docker cold_start")
    parser.add_argument("--runs", type=int, default=RUNS, metavar="N")
    parser.add_argument("--drop-caches", action="store_true", help="as after a boot")
    args = parser.parse_args()

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    try:
        measured = measure(say, args.runs, args.drop_caches)
    except (TimeoutError, subprocess.SubprocessError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    print(f"\n{figures.machine()}\n\n{_report(measured, args.runs)}\n")
    name = "cold_start_after_boot.json" if args.drop_caches else "cold_start.json"
    figures.write(measured, figures.RESULTS.with_name(name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
