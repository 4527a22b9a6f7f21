"""What ``voicebot doctor`` can ask a machine, each question a function that a test can replace.

No judgement here: the questions return facts (a path, a number of bytes, an errno), and
:mod:`voicebot.commands.doctor_checks` decides what is good. Nothing here raises for a machine
that is merely odd; what cannot be told is None.
"""

from __future__ import annotations

import errno
import importlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voicebot.config import Settings


def existing(path: Path) -> Path:
    """*path*, or the closest directory above it that exists."""
    path = path.absolute()
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def _write_error(directory: Path) -> str | None:
    try:
        with tempfile.TemporaryFile(dir=existing(directory)):
            return None
    except OSError as error:
        return os.strerror(error.errno or errno.EIO)


def _bind_error(host: str, port: int) -> int:
    """0 if a server could listen there, else the errno."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror:
        return errno.EADDRNOTAVAIL
    with socket.socket(family, kind, protocol) as listener:
        # as asyncio does: a port whose last connections linger in TIME_WAIT is free
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(1)
        except OSError as error:
            return error.errno or errno.EIO
    return 0


def _fetch(url: str) -> bytes | None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2) as response:
            return bytes(response.read(1_000_000))
    except (OSError, ValueError):
        return None


def _post(url: str) -> tuple[int, bytes] | None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, data=b"", timeout=10) as response:
            return response.status, bytes(response.read(1_000_000))
    except urllib.error.HTTPError as error:
        with error:
            return error.code, bytes(error.read(1_000_000))
    except urllib.error.URLError as error:
        return None if isinstance(error.reason, ConnectionRefusedError) else (0, b"")
    except (OSError, ValueError):
        return 0, b""


def _memory_available() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _clock_synchronised() -> bool | None:
    try:
        answer = subprocess.run(
            ["timedatectl", "show", "--property=NTPSynchronized", "--value"],
            capture_output=True, text=True, timeout=5, check=True,
        ).stdout.strip()  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return answer == "yes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The questions that checks ask; the defaults ask this machine."""

    python: tuple[int, ...] = tuple(sys.version_info[:3])
    import_module: Callable[[str], Any] = importlib.import_module
    search_path: Callable[[], str] = lambda: os.environ.get("PATH", "")
    find_program: Callable[[str], str | None] = shutil.which
    cores: Callable[[], set[int]] = lambda: os.sched_getaffinity(0)
    memory_available: Callable[[], int | None] = _memory_available
    free_bytes: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free
    write_error: Callable[[Path], str | None] = _write_error
    bind_error: Callable[[str, int], int] = _bind_error
    fetch: Callable[[str], bytes | None] = _fetch
    post: Callable[[str], tuple[int, bytes] | None] = _post
    """Status and body; None if nobody listens there, 0 if whoever does gives no answer."""
    clock_synchronised: Callable[[], bool | None] = _clock_synchronised


def running_calls(machine: Machine, settings: Settings) -> list[str] | None:
    """Ids of the calls that our own service holds; None if it is not running."""
    if settings.control_port == 0:
        return None
    answer = machine.fetch(f"http://{settings.control_host}:{settings.control_port}/v1/calls")
    if answer is None:
        return None
    try:
        return [str(call["call_id"]) for call in json.loads(answer)["calls"]]
    except (ValueError, TypeError, KeyError):
        return None
