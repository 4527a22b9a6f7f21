"""Keeping callback requests of one call: told to the journal, and no longer waited for than that.

A request that is stored after the caller was told otherwise still is: being called back after being
told otherwise is the lesser evil.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future

import structlog

from voicebot.journal.records import CallbackRequest
from voicebot.journal.writer import Journal

log = structlog.get_logger(__name__)

CALLBACK_DEADLINE = 4.0
"""Seconds a caller is kept waiting for the journal."""


class Callbacks:
    """*tell* is called on the event loop, once for each request: is it stored?"""

    def __init__(
        self, journal: Journal, loop: asyncio.AbstractEventLoop, tell: Callable[[bool], None]
    ) -> None:
        self._journal = journal
        self._loop = loop
        self._tell = tell
        self._waiting: asyncio.TimerHandle | None = None

    def store(self, request: CallbackRequest) -> None:
        """Have *request* kept for good; one at a time."""

        def stored(future: Future[int]) -> None:
            error = future.exception()
            if error is not None:
                log.error("callback request not stored", call_id=request.call_id, error=str(error))
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._settle, error is None)

        self._waiting = self._loop.call_later(CALLBACK_DEADLINE, self._settle, False)
        self._journal.callback_requested(request).add_done_callback(stored)

    def close(self) -> None:
        """Nobody waits any more."""
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _settle(self, stored: bool) -> None:
        if self._waiting is not None:
            self.close()
            self._tell(stored)
