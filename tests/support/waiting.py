"""Wait for something another process does, with a limit and a good complaint."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

POLL_SECONDS = 0.01


async def until(condition: Callable[[], bool], within: float, what: str) -> float:
    """Until *condition* holds; the time it was seen. Raises TimeoutError naming *what*."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within
    while not condition():
        if loop.time() > deadline:
            raise TimeoutError(f"not within {within:g} s: {what}")
        await asyncio.sleep(POLL_SECONDS)
    return loop.time()
