"""An event loop whose clock jumps to the next timer: a minute of conversation runs at once.

It is a real asyncio loop; only its clock and its waiting are replaced. When nothing is ready the
time advances to the earliest timer instead of passing. With nothing ready and no timer, a real loop
would wait for ever for a socket; here that is an error, because these tests have none.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

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


def run(main: Coroutine[Any, Any, T]) -> T:
    """``asyncio.run`` in virtual time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
