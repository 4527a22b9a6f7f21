"""What one call fills as it goes: its event feed, its trace, its bill, its requests.

Providers are told by the context for whom they work (:mod:`voicebot.providers.usage`,
:mod:`voicebot.telemetry.requests`), and so are log lines: everything that a call starts is started
in the context of its notes.
"""

from __future__ import annotations

from contextvars import Context, copy_context
from dataclasses import dataclass, field

import structlog

from voicebot.providers.usage import Bill, charged_to
from voicebot.telemetry.feed import CallFeed
from voicebot.telemetry.requests import Request, noted_in
from voicebot.telemetry.tracing import CallTrace


@dataclass(frozen=True, slots=True)
class CallNotes:
    call_id: str
    traffic: str
    """``live`` or ``probe``."""
    trace: CallTrace
    bill: Bill
    feed: CallFeed = field(default_factory=CallFeed)
    requests: list[Request] = field(default_factory=list)
    """To providers, that have ended and belong to no turn yet."""

    def context(self) -> Context:
        """A context in which whatever is started works for this call."""
        context = copy_context()
        context.run(charged_to.set, self.bill)
        context.run(noted_in.set, self.requests)
        context.run(structlog.contextvars.bind_contextvars, call_id=self.call_id)
        return context
