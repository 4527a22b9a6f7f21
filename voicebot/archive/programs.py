"""The programs of others that do the archive's heavy work: ffmpeg, age, rsync, restic.

Each runs tied to us: it is killed when the process that started it ends, however that ends, so a
task that was killed has no helper that writes on.
"""

from __future__ import annotations

import ctypes
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from voicebot.archive import ArchiveError

_PR_SET_PDEATHSIG = 1  # linux: include/uapi/linux/prctl.h
_libc = ctypes.CDLL(None)


def tied() -> None:
    """For ``preexec_fn``: the child is killed when we end.

    Start it from the main thread, and with no other about: the thread is what the kernel watches.
    """
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def run(
    program: str,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    *,
    said: str = "",
    folder: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run *program* to its end in *folder*, *said* being its standard input.

    Raises ArchiveError if it is not installed.
    """
    try:
        return subprocess.run(
            [program, *arguments], input=said, capture_output=True, text=True,
            errors="surrogateescape", env={**environment, "LC_ALL": "C"}, cwd=folder,
            preexec_fn=tied, check=False,
        )  # fmt: skip
    except FileNotFoundError:
        raise ArchiveError(f"{program} is missing; as root: apt-get install {program}") from None


def first_line(words: str) -> str:
    """The first line of what a program said that says something."""
    return next((line.strip() for line in words.splitlines() if line.strip()), "no reason given")
