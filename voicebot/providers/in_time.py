"""Time limits for an answer that comes in pieces: to what is of use, then to keep up, and in all.

What counts is the caller. The first limit ends with what something can be done with: sound that is
audible, words that can be said. After it, what has come serves the caller for so many seconds, and
the rest may be behind by so many more: then a voice stutters, or somebody waits in the middle of an
answer, however regularly the peer drips. A peer that is ahead may pause for as long as it likes.

Also where a vendor's exceptions become ours.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, closing
from dataclasses import dataclass
from types import TracebackType
from typing import TypeVar

from voicebot.providers.errors import ProviderLateError
from voicebot.providers.interfaces import ProviderError, Stage

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds an answer may take."""

    first: float
    """To what is of use."""
    behind: float
    """That the caller may wait in the middle of it, all in all."""
    whole: float
    """In all."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Who was asked, and for what, in the words of an error message."""

    stage: Stage
    provider: str
    first: str
    """What has to come in time, such as "audio"."""
    whole: str
    """What has to be finished in time, such as "a sentence"."""


async def in_time(
    source: AsyncGenerator[T, None],
    limits: Limits,
    asked: Asked,
    explain: Callable[[Exception], ProviderError | None],
    serves: Callable[[], float | None],
) -> AsyncGenerator[T, None]:
    """The pieces of *source*, each in time. Closing it closes *source*.

    *serves* says, when a piece has been taken, for how many seconds the caller is served by all
    that has come; None: nothing can be done with it yet. *explain* says what an exception of
    *source* means, None for a bug of ours. Raises ProviderError.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + limits.whole
    deadline = min(loop.time() + limits.first, end)
    served_from: float | None = None
    with closing(_Wait(loop)) as wait:
        async with aclosing(source) as pieces:
            while True:
                try:
                    with wait.until(deadline):
                        piece = await anext(pieces)
                except StopAsyncIteration:
                    return
                except TimeoutError as error:
                    raise _late(asked, limits, served_from is not None) from error
                except Exception as error:
                    fault = explain(error)
                    if fault is None:
                        raise
                    raise fault from error
                yield piece
                seconds = serves()
                if seconds is not None:
                    served_from = loop.time() if served_from is None else served_from
                    deadline = min(served_from + seconds + limits.behind, end)


class _Wait:
    """``asyncio.timeout_at`` for many waits, one after the other, by one timer.

    Most pieces are there when they are asked for, and each has a later deadline than the one
    before: so the timer stays as it is, and looks when it is due whether it was moved.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = 0.0
        self._task: asyncio.Task[object] | None = None
        """Who waits."""
        self._cancelling = 0
        """How often it had been cancelled before."""
        self._expired = False

    def until(self, deadline: float) -> _Wait:
        """Itself, as the context manager of one wait, which raises TimeoutError at *deadline*."""
        self._deadline = deadline
        if self._timer is None or self._timer.when() > deadline:
            self._set()
        return self

    def close(self) -> None:
        """There is no more to wait for."""
        if self._timer is not None:
            self._timer.cancel()

    def __enter__(self) -> None:
        task = self._task = asyncio.current_task()
        assert task is not None, "only a task can be interrupted"
        self._cancelling = task.cancelling()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        task, self._task = self._task, None
        if self._expired:
            self._expired = False
            assert task is not None, "nobody else is interrupted"
            alone = task.uncancel() <= self._cancelling
            if alone and isinstance(error, asyncio.CancelledError):
                raise TimeoutError from error

    def _set(self) -> None:
        self.close()
        self._timer = self._loop.call_at(self._deadline, self._due)

    def _due(self) -> None:
        self._timer = None
        if self._task is None:
            return  # the next wait sets it
        if self._loop.time() < self._deadline:
            self._set()
        else:
            self._expired = True
            self._task.cancel()


def _late(asked: Asked, limits: Limits, begun: bool) -> ProviderLateError:
    what = (
        f"did not finish {asked.whole} in time (was {limits.behind:g} s behind, or took "
        f"{limits.whole:g} s)"
        if begun
        else f"sent no {asked.first} in {limits.first:g} s"
    )
    return ProviderLateError(asked.stage, asked.provider, f"{asked.provider} {what}")
