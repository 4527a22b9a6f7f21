"""A loop that stands still ends the process, and says where it stood; one that moves does not."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from voicebot.watchdog import Watchdog

LOOP = """
import asyncio, re, time
from voicebot.watchdog import Watchdog

async def main():
    loop = asyncio.get_running_loop()
    watchdog = Watchdog({limit}, loop.time())
    for _ in range(20):
        watchdog.alive(loop.time())
        await asyncio.sleep(0.05)
    {then}
    watchdog.stop()
    time.sleep(0.6)
    print("ended in order")

def hangs():
    time.sleep(30)

def computes():  # one call into C, which gives the interpreter to nobody
    re.match(r"(a+)+$", "a" * 40 + "b")

asyncio.run(main())
"""


def run(limit: float, then: str) -> subprocess.CompletedProcess[str]:
    code = LOOP.format(limit=limit, then=then)
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False
    )


def test_a_loop_that_moves_goes_on_and_may_rest_when_it_is_over() -> None:
    done = run(0.5, "pass")
    assert (done.returncode, done.stdout, done.stderr) == (0, "ended in order\n", "")


def test_a_loop_that_waits_for_something_is_ended_and_named() -> None:
    began = time.monotonic()
    done = run(0.5, "hangs()")
    assert done.returncode == 1
    assert "in hangs\n" in done.stderr
    assert time.monotonic() - began < 15


def test_so_is_one_that_keeps_the_interpreter_to_itself() -> None:
    done = run(0.5, "computes()")
    assert done.returncode == 1
    assert "in computes\n" in done.stderr


def test_it_can_be_switched_off() -> None:
    assert run(0, "time.sleep(0.7)").returncode == 0


def test_a_systemd_that_reads_nothing_holds_up_no_call_and_is_told_later(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    address = str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    monkeypatch.setenv("WATCHDOG_USEC", "2000000")
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as others,
    ):
        systemd.bind(address)
        systemd.setblocking(False)
        others.setblocking(False)
        others.connect(address)
        with suppress(BlockingIOError):
            while others.send(b"X=1"):
                pass
        watchdog = Watchdog(0, 0.0)
        beat = threading.Thread(target=watchdog.alive, args=(1.0,), daemon=True)
        beat.start()
        beat.join(10)
        assert not beat.is_alive()

        with suppress(BlockingIOError):
            while systemd.recv(100):
                pass
        watchdog.alive(1.1)
        assert systemd.recv(100) == b"WATCHDOG=1"
