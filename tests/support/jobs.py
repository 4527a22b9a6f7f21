"""Jobs that misbehave on purpose, for the tests of the workers. They run in a worker process."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from voicebot.workers.jobs import Job


def job(function: str, *, deadline: float = 30.0, patience: float = 30.0) -> Job:
    """The function of this module as a job; counted as "transcribe", a label that exists."""
    return Job("transcribe", f"{__name__}:{function}", deadline, patience)


def echo(value: object) -> object:
    return value


def process_id() -> int:
    return os.getpid()


def circumstances() -> dict[str, object]:
    """What a worker is allowed and has loaded."""
    return {
        "cores": os.sched_getaffinity(0),
        "niceness": os.nice(0),
        "threads": os.environ["OMP_NUM_THREADS"],
        "heavy": sorted({"numpy", "asyncio", "ctranslate2"} & set(sys.modules)),
        "ignores": [signal.getsignal(s) is signal.SIG_IGN for s in (signal.SIGINT, signal.SIGTERM)],
    }


def note(path: str, word: str) -> None:
    """Append *word*, so that a test sees which jobs ran and in which order."""
    with Path(path).open("a") as file:
        file.write(word + "\n")


def wait_for(path: str) -> None:
    """Compute until a test creates the file."""
    while not Path(path).exists():
        time.sleep(0.001)


def hang() -> None:
    signal.pause()


def crash() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def leave() -> None:
    sys.exit(3)


def fall_silent() -> None:
    """Close the worker's socket, and whatever else is open, and stay."""
    os.closerange(3, 256)
    hang()


def crash_first(path: str) -> str:
    """Crash, unless a run before this one has already."""
    if Path(path).exists():
        return "survived"
    Path(path).touch()
    crash()
    raise AssertionError("unreachable")


def fail(said: str) -> None:
    raise ValueError(said)


_kept: list[bytes] = []


def keep(size: int) -> int:
    """Hold *size* bytes more for good, as a leak does."""
    _kept.append(b"\1" * size)
    return os.getpid()


def eat() -> None:
    """Hold ever more, slowly enough not to trouble the machine that this is tested on."""
    while True:
        keep(4_000_000)
        time.sleep(0.02)


def says_90(path: str, pcm: bytes) -> float:
    return 0.9


def says_20(path: str, pcm: bytes) -> float:
    return 0.2


def says_nothing(path: str, pcm: bytes) -> None:
    return None


def crash_at(path: str, pcm: bytes) -> float:
    crash()
    return 0.0


def hang_at(path: str, pcm: bytes) -> float:
    Path(path).touch()
    hang()
    return 0.0
