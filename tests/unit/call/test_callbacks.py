"""What a caller is told of a callback, when the journal takes its time."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Any

from tests.support import virtual_time
from voicebot.call.callbacks import CALLBACK_DEADLINE, Callbacks
from voicebot.journal.records import CallbackRequest

REQUEST = CallbackRequest(
    call_id="call", requested_at=datetime(2026, 3, 14, tzinfo=UTC), number="0612345678"
)


class SlowJournal:
    def __init__(self) -> None:
        self.stored: Future[int] = Future()

    def callback_requested(self, request: CallbackRequest) -> Future[int]:
        return self.stored


def test_what_is_stored_too_late_is_not_told_a_second_time() -> None:
    told: list[bool] = []

    async def story() -> None:
        journal: Any = SlowJournal()
        Callbacks(journal, asyncio.get_running_loop(), told.append).store(REQUEST)
        await asyncio.sleep(CALLBACK_DEADLINE + 0.1)
        assert told == [False]
        journal.stored.set_result(1)
        await asyncio.sleep(0.1)

    virtual_time.run(story())
    assert told == [False]


def test_who_has_hung_up_is_told_nothing() -> None:
    told: list[bool] = []

    async def story() -> None:
        journal: Any = SlowJournal()
        callbacks = Callbacks(journal, asyncio.get_running_loop(), told.append)
        callbacks.store(REQUEST)
        callbacks.close()
        journal.stored.set_result(1)
        await asyncio.sleep(CALLBACK_DEADLINE + 0.1)

    virtual_time.run(story())
    assert told == []
