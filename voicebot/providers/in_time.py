"""Time limits for an answer that comes in pieces: the first, each after it, the whole.

Also where a vendor's exceptions become ours. Limits are per wait, so a peer that drips can keep
within them for ever: that is what the limit of the whole is for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeVar

from voicebot.providers.errors import ProviderLateError
from voicebot.providers.interfaces import ProviderError, Stage

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds an answer may take."""

    first: float
    """To its first useful piece."""
    stall: float
    """Between two pieces."""
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
    begun: Callable[[], bool] = lambda: True,
) -> AsyncGenerator[T, None]:
    """The pieces of *source*, each in time. Closing it closes *source*.

    *begun* says, when a piece has been taken, whether anything useful has come. *explain* says what
    an exception of *source* means, None for a bug of ours. Raises ProviderError.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + limits.whole
    deadline = min(loop.time() + limits.first, end)
    useful = False
    async with aclosing(source) as pieces:
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    piece = await anext(pieces)
            except StopAsyncIteration:
                return
            except TimeoutError as error:
                raise _late(asked, limits, useful) from error
            except Exception as error:
                fault = explain(error)
                if fault is None:
                    raise
                raise fault from error
            yield piece
            if begun():
                useful = True
                deadline = min(loop.time() + limits.stall, end)


def _late(asked: Asked, limits: Limits, begun: bool) -> ProviderLateError:
    what = (
        f"did not finish {asked.whole} in time (stalled for {limits.stall:g} s, or took "
        f"{limits.whole:g} s)"
        if begun
        else f"sent no {asked.first} in {limits.first:g} s"
    )
    return ProviderLateError(asked.stage, asked.provider, f"{asked.provider} {what}")
