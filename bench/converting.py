"""A night's recordings converted while callers talk: how fast it goes, and how punctual they are.

``voicebot convert --delete-raw`` runs as cron runs it, at the lowest priority on the worker cores,
beside a service with as many calls as it takes. Their speech is the clouds' (emulated, in a process
that shares the worker cores): with the embedded engine twenty callers keep a worker core busy for
themselves, and the night's work rightly waits for them (``--speech embedded`` shows it). The
recordings are two minutes of the shipped voices; they share their bytes on disk, their MP3s do not.
By itself, with options: ``python -m bench.converting --recordings 1000``.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
import uuid
import wave
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np

from bench import figures, load
from bench.arithmetic import grid_lateness, percentile
from bench.emulated import CACHE
from bench.figures import Measured, Say
from bench.service import MeasuredService
from voicebot.commands.emulated import EmulatedClouds
from voicebot.config import Settings
from voicebot.simulator import scenario
from voicebot.simulator.lines import CLIPS
from voicebot.simulator.runner import CallResult, run_calls
from voicebot.simulator.synthesis import prepare_lines

RECORDINGS = 60
CALLS = 20
RECORDING_SECONDS = 120
DIFFERENT = 8
"""Recordings that differ; the others are further names of these."""
MOST_SECONDS = 3 * 3600.0


async def measure(
    say: Say, recordings: int = RECORDINGS, calls: int = CALLS, *, clouds: bool = True
) -> Measured:
    """The part's figures. *clouds*: whether the calls' speech is theirs. Raises ValueError if a
    recording was not converted, or a call too short to judge."""
    directory = Path(__file__).parent / "scenarios"
    scenarios = [scenario.load(str(directory / f"{name}.yaml")) for name in load.SCENARIOS]
    texts = dict.fromkeys(text for one in scenarios for text in one.lines())
    lines = await prepare_lines(list(texts), Settings(), say)
    with ExitStack() as stack:
        night = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="voicebot-bench-")))
        say(f"{recordings} recordings of {RECORDING_SECONDS} s")
        await asyncio.to_thread(make_recordings, night, recordings)
        settings = {"RECORDINGS_DIR": str(night)}
        if clouds:
            own = os.sched_getaffinity(0)
            others = own - {min(own)} or own  # the first is the service's event loop's
            emulator = EmulatedClouds(CACHE, "--voice", "espeak", cores=others)
            settings |= stack.enter_context(emulator).settings
        service = stack.enter_context(MeasuredService(**settings))
        cores = len(service.worker_cores())
        converting = asyncio.create_task(_convert(night))
        results: list[CallResult] = []
        while not converting.done():
            done = len(list(night.rglob("*.mp3")))  # noqa: ASYNC240 -- nothing is timed here
            say(f"{done} converted; {calls} conversations at once")
            if calls:
                results += await run_calls(scenarios, service.target, lines, count=calls)
            else:
                await asyncio.wait((converting,))
        took, used = await converting
        left = [path.name for path in night.rglob("*.wav")]  # noqa: ASYNC240
        made = len(list(night.rglob("*.mp3")))  # noqa: ASYNC240
    if made < recordings:
        raise ValueError(f"{made} of {recordings} were converted; {len(left)} WAV files are left")
    sound = recordings * RECORDING_SECONDS
    measured = Measured(
        {
            "convert_x_real_time": sound / took / cores,
            "convert_cpu_x_real_time": sound / used,
            "convert_recordings": recordings,
            "convert_calls": calls,
            "convert_seconds": took,
        },
        {
            "convert_x_real_time": f"{recordings} recordings of {RECORDING_SECONDS} s on {cores} "
            f"worker cores beside {calls} calls by {'the clouds' if clouds else 'our own engine'}, "
            f"in {took:.0f} s; for its own CPU {sound / used:.0f}"
        },
    )
    if results:
        measured.add(_frames(results))
    return measured


def make_recordings(folder: Path, count: int) -> None:
    """Recordings as the service names them: both sides talk, with pauses, for two minutes."""
    sounds = []
    for path in sorted(CLIPS.glob("*.wav")):
        with wave.open(str(path)) as file:
            sounds.append(np.frombuffer(file.readframes(file.getnframes()), "<i2"))
    day = folder / "2026-03-14"
    day.mkdir()
    originals: list[Path] = []
    for number in range(count):
        path = day / f"{number // 3600:02}{number // 60 % 60:02}{number % 60:02}-{uuid.uuid4()}.wav"
        if number >= DIFFERENT:
            path.hardlink_to(originals[number % DIFFERENT])
            continue
        with wave.open(str(path), "wb") as file:
            file.setnchannels(2)
            file.setsampwidth(2)
            file.setframerate(8000)
            file.writeframes(_conversation(sounds, number).tobytes())
        originals.append(path)


def _conversation(sounds: Sequence[np.ndarray], seed: int) -> np.ndarray:  # type: ignore[type-arg]
    rng = np.random.default_rng(seed)
    both = np.zeros((8000 * RECORDING_SECONDS, 2), "<i2")
    at, side = 0, 1
    while True:
        sound = sounds[rng.integers(len(sounds))]
        end = at + len(sound)
        if end > len(both):
            return both
        both[at:end, side] = sound
        at, side = end + int(rng.integers(2000, 8000)), 1 - side


async def _convert(folder: Path) -> tuple[float, float]:
    """Wall and CPU seconds of the command. Raises ValueError if it fails."""
    started = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "voicebot", "convert", str(folder), "--delete-raw",
        env={**os.environ, "VOICEBOT_ENV_FILE": os.devnull, "CONTROL_PORT": "0"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        # The measuring side keeps off the cores of the service: cron would not.
        preexec_fn=lambda: os.sched_setaffinity(0, range(os.cpu_count() or 1)),
    )  # fmt: skip
    assert process.stdout is not None, "asked for"
    said = asyncio.create_task(process.stdout.read())
    used = 0.0
    while process.returncode is None:
        used = max(used, _cpu_of(process.pid))
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), 0.5)
    if process.returncode:
        raise ValueError(f"voicebot convert: {(await said).decode()[-500:]}")
    return time.monotonic() - started, used


def _cpu_of(pid: int) -> float:
    """CPU seconds of a process, its workers, and what they have waited for (ffmpeg)."""
    tick = os.sysconf("SC_CLK_TCK")
    total = 0.0
    with suppress(OSError, ValueError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
        for one in (str(pid), *children):
            words = Path(f"/proc/{one}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
            total += sum(map(int, words[11:15])) / tick
    return total


def _frames(results: Sequence[CallResult]) -> Measured:
    own = percentile([1000 * late for one in results for late in one.send_lateness], 99)
    if own > load.MOST_CALLER_LATENESS_MS:
        raise ValueError(f"the callers' own frames were {own:.0f} ms late (p99)")
    late = 1000 * np.concatenate(
        [grid_lateness(one.tape.arrivals, one.tape.sizes) for one in results]
    )
    return Measured(
        {
            "converting_lateness_p99_ms": percentile(late, 99),
            "converting_lateness_p50_ms": percentile(late, 50),
            "converting_caller_lateness_p99_ms": own,
        },
        {
            "converting_lateness_p99_ms": f"{late.size} frames of {len(results)} calls, median "
            f"{percentile(late, 50):.1f}, most {late.max():.0f}; the callers' own {own:.1f}"
        },
    )


def main() -> int:
    """Print the figures of this part alone; nothing is kept."""
    parser = argparse.ArgumentParser(prog="python -m bench.converting")
    parser.add_argument("--recordings", type=int, default=RECORDINGS, metavar="N")
    parser.add_argument("--calls", type=int, default=CALLS, metavar="N", help="0: none")
    parser.add_argument("--speech", choices=("cloud", "embedded"), default="cloud")
    args = parser.parse_args()
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - started:5.0f} s  {text}", file=sys.stderr)

    measured = asyncio.run(measure(say, args.recordings, args.calls, clouds=args.speech == "cloud"))
    print(f"\n{figures.machine()}\n\n{figures.table(measured)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
