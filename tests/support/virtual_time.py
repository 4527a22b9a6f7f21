"""An event loop whose clock jumps to the next timer: a minute of conversation runs at once.

It is a real asyncio loop; only its clock and its waiting are replaced. When nothing is ready the
time advances to the earliest timer instead of passing. With nothing ready and no timer, a real loop
would wait for ever for a socket; here that is an error.

:func:`run` is for what has no sockets. :func:`run_with_sockets` is for clients and servers that
talk over the loopback in this one process: what one has sent is there for the other at once, so
when no socket is ready nothing is on its way. What computes takes no time then, and neither does a
busy machine: a second measured on this clock is one that the code has chosen to wait.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

T = TypeVar("T")


class _JumpingSelector(selectors.DefaultSelector):
    """Never waits; tells the loop to move its clock instead."""

    def __init__(self) -> None:
        super().__init__()
        self.loop: VirtualTimeLoop | None = None
        self.idle = 0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if ready or timeout == 0:
            self.idle = 0
            return ready
        assert self.loop is not None
        if self.loop.works_elsewhere():
            return super().select(0.01)
        if timeout is None:
            # A thread may be about to wake the loop up (a journal that answers): give it a moment.
            self.idle += 1
            if self.idle > 100:
                raise RuntimeError("nothing will ever happen: no timer and nothing ready")
            return super().select(0.01)
        self.idle = 0
        self.loop.advance(timeout)
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Starts at 1000 s, so that times are told from durations."""

    def __init__(self) -> None:
        selector = _JumpingSelector()
        self._virtual_now = 1000.0
        super().__init__(selector)
        selector.loop = self

    def time(self) -> float:
        return self._virtual_now

    def advance(self, seconds: float) -> None:
        self._virtual_now += seconds

    def works_elsewhere(self) -> bool:
        """Whether something is under way that no socket and no timer tells of."""
        return False

    async def shutdown_default_executor(self, *_limit: Any, **_limits: Any) -> None:
        """For as long as it takes: later Pythons give the threads a time limit, and this clock
        would jump there."""
        await super().shutdown_default_executor()


class _SocketsLoop(VirtualTimeLoop):
    """The clock also stands while a thread or a process of the loop's works."""

    def __init__(self) -> None:
        super().__init__()
        self._threads: set[asyncio.Future[Any]] = set()
        self._starting = 0
        self._processes: set[asyncio.SubprocessTransport] = set()

    def works_elsewhere(self) -> bool:
        running = any(p.get_returncode() is None for p in self._processes)
        return bool(self._threads or self._starting or running)

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:  # type: ignore[override]
        future = super().run_in_executor(executor, func, *args)
        self._threads.add(future)
        future.add_done_callback(self._threads.discard)
        return future

    async def subprocess_exec(self, *args: Any, **kwargs: Any) -> Any:
        self._starting += 1
        try:
            transport, protocol = await super().subprocess_exec(*args, **kwargs)
        finally:
            self._starting -= 1
        self._processes = {p for p in self._processes if p.get_returncode() is None}
        self._processes.add(transport)
        return transport, protocol


def run(main: Coroutine[Any, Any, T]) -> T:
    """``asyncio.run`` in virtual time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)


def run_with_sockets(main: Coroutine[Any, Any, T]) -> T:
    """The same, for code with sockets on the loopback. ``time.monotonic`` is its clock, too."""
    with (
        asyncio.Runner(loop_factory=_SocketsLoop) as runner,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(time, "monotonic", runner.get_loop().time)
        return runner.run(main)
