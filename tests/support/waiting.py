"""Wait for something another process does, with a limit and a good complaint."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

POLL_SECONDS = 0.01


async def until(
    condition: Callable[[], bool], within: float, what: str, so_far: Callable[[], str] = str
) -> float:
    """Until *condition* holds; the time it was seen. Raises TimeoutError naming *what*, and how
    much of it there is *so far*.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within
    while not condition():
        if loop.time() > deadline:
            raise TimeoutError(f"not within {within:g} s: {what} {so_far()}".rstrip())
        await asyncio.sleep(POLL_SECONDS)
    return loop.time()


def count_pieces(wanted: bytes, came: bytes, size: int) -> str:
    """How much of what was *wanted* is in what *came*, cut into pieces of *size*, in words: it
    tells a word that was lost from one that was never said.
    """
    pieces = [wanted[at : at + size] for at in range(0, len(wanted), size)]
    return f"{sum(piece in came for piece in pieces)} of {len(pieces)} pieces came"
