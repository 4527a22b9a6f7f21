"""Which calls are taken, which are refused, and what becomes of them afterwards.

It knows every call of the process: those that are held, and, for a while, those that ended,
because the dialplan asks what to do with the caller (:meth:`CallServer.next_step`) and because a
caller whom no technician answered comes back under the same UUID. Everything happens on the event
loop, except for the :class:`~voicebot.control.api.ServiceView` methods, which the control API's
threads call: they read single values and dictionaries, and leave it to the loop to change anything.
"""

from __future__ import annotations

import asyncio
import errno
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog

from voicebot.call.services import Services
from voicebot.call.session import CallMemory, CallSession
from voicebot.call.traffic import LIVE, PROBE, traffic_of
from voicebot.call.transport import AudioSocketConnection
from voicebot.control.server import port_holder
from voicebot.dialogue.commands import NextStep
from voicebot.telemetry.feed import CallFeed, Subscription
from voicebot.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

MOST_REMEMBERED = 1_000
"""Ended calls remembered at most, however short they were; the oldest is forgotten first."""

RELEASE_SECONDS = 5.0
"""Longest wait of a control thread for the loop to forget what was learnt."""


class ListenError(Exception):
    """The AudioSocket port cannot be had; the message names the settings and who has it."""


@dataclass(frozen=True, slots=True)
class _PastCall:
    """A call that has ended. It holds what was said, so it is kept no longer than it is of use."""

    memory: CallMemory
    feed: CallFeed
    at: float
    """Of the loop's clock; also tells the ends of one call apart."""


class CallServer:
    """Listens for Asterisk and holds the calls. Implements the control API's ServiceView."""

    def __init__(
        self,
        metrics: Metrics,
        loop: asyncio.AbstractEventLoop,
        *,
        max_calls: int,
        resume_window: float,
        on_drain: Callable[[], None] = lambda: None,
    ) -> None:
        self._metrics = metrics
        self._services: Services | None = None
        self._loop = loop
        self._max_calls = max_calls
        self._resume_window = resume_window
        self._on_drain = on_drain
        self._calls: dict[uuid.UUID, CallSession] = {}
        self._past: OrderedDict[uuid.UUID, _PastCall] = OrderedDict()
        self._connections: set[AudioSocketConnection] = set()
        self._releasing: set[asyncio.Task[None]] = set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._server: asyncio.Server | None = None
        self._draining = False
        self._beat = time.monotonic()
        metrics.calls_limit.set(max_calls)

    # -- life

    async def bind(self, host: str, port: int) -> int:
        """Take the port, not calls yet; returns its number. Raises ListenError."""
        try:
            self._server = await self._loop.create_server(
                self._connect, host, port, backlog=256, start_serving=False
            )
        except OSError as error:
            holder = port_holder(port) if error.errno == errno.EADDRINUSE else None
            raise ListenError(
                f"AUDIOSOCKET_HOST={host} AUDIOSOCKET_PORT={port}: {error.strerror or error}"
                + (f"; {holder} has it" if holder else "")
            ) from error
        return int(self._server.sockets[0].getsockname()[1])

    async def listen(self, services: Services) -> None:
        """Take calls from now on; comes after :meth:`bind`."""
        assert self._server is not None, "bind() comes first"
        self._services = services
        await self._server.start_serving()

    def drain(self) -> None:
        """Refuse new calls from now on: their callers reach a person at once. Idempotent."""
        if not self._draining:
            self._draining = True
            self._metrics.draining.set(1)
            log.info("drain started", active=len(self._calls))

    async def wait_until_empty(self, within: float) -> bool:
        """Whether the last call ended in *within* seconds."""
        try:
            await asyncio.wait_for(self._empty.wait(), within)
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """Hand every caller that is left to a person, and stop listening. Idempotent."""
        self.drain()
        for session in list(self._calls.values()):
            session.end(NextStep.TRANSFER, "failed")
        if not await self.wait_until_empty(3.0):
            for connection in list(self._connections):
                connection.abort()
            await self.wait_until_empty(1.0)
        if self._server is not None:
            self._server.close()
            for connection in list(self._connections):
                connection.abort()
            await self._server.wait_closed()
            self._server = None
        await asyncio.gather(*self._releasing)

    def heartbeat(self) -> None:
        """The event loop is alive; call it at least once a second."""
        self._beat = time.monotonic()

    # -- admission

    def _connect(self) -> AudioSocketConnection:
        return AudioSocketConnection(
            self._accept,
            self._metrics,
            self._loop,
            on_opened=self._connections.add,
            on_closed=self._connections.discard,
        )

    def _accept(self, call_id: uuid.UUID, connection: AudioSocketConnection) -> CallSession | None:
        reason = self._reason_to_refuse(call_id)
        if reason is not None:
            self._metrics.connections_refused.labels(reason).inc()
            self._metrics.calls.labels("rejected", traffic_of(call_id)).inc()
            log.warning(
                "call refused",
                call_id=str(call_id),
                reason=reason,
                traffic=traffic_of(call_id),
                active=self._callers(),
                limit=self._max_calls,
            )
            return None
        assert self._services is not None, "listening began with them"
        session = CallSession(call_id, connection, self._services, self._loop, self._on_ended)
        self._calls[call_id] = session
        self._empty.clear()
        self._show_calls()
        session.start(self._came_back(call_id))
        return session

    def _reason_to_refuse(self, call_id: uuid.UUID) -> str | None:
        if self._draining:
            return "draining"
        if call_id in self._calls:
            return "duplicate"
        # A probe takes no caller's place, and a full service is no broken one: there is room for
        # one of them beyond the limit.
        if traffic_of(call_id) == PROBE:
            return "full" if len(self._calls) > self._callers() else None
        return "full" if self._callers() >= self._max_calls else None

    def _callers(self) -> int:
        """Calls held that are not probes. From any thread."""
        return sum(session.traffic == LIVE for session in list(self._calls.values()))

    def _show_calls(self) -> None:
        self._metrics.calls_active.set(self._callers())
        starts = [session.started_at.timestamp() for session in self._calls.values()]
        self._metrics.oldest_call.set(min(starts, default=0.0))

    def _came_back(self, call_id: uuid.UUID) -> CallMemory | None:
        """What is known of a call that left for a technician a moment ago."""
        past = self._past.pop(call_id, None)
        return past.memory if past is not None and past.memory.outcome == "transferred" else None

    def _on_ended(self, session: CallSession, memory: CallMemory) -> None:
        # Remembered before it is forgotten: Asterisk asks at this very moment, in another thread,
        # and a call in neither would be sent to a person.
        at = self._loop.time()
        self._past[session.call_id] = _PastCall(memory, session.feed, at)
        del self._calls[session.call_id]
        # It is told when that was, not what: MOST_REMEMBERED could not free what a timer holds.
        self._loop.call_later(self._resume_window, self._forget, session.call_id, at)
        self._show_calls()
        while len(self._past) > MOST_REMEMBERED:
            self._past.popitem(last=False)
        task = self._loop.create_task(session.released())
        self._releasing.add(task)
        task.add_done_callback(self._releasing.discard)
        if not self._calls:
            self._empty.set()

    def _forget(self, call_id: uuid.UUID, at: float) -> None:
        """Unless the call has come back since, and ended again later."""
        past = self._past.get(call_id)
        if past is not None and past.at == at:
            del self._past[call_id]

    # -- ServiceView: called from other threads

    def heartbeat_age(self) -> float:
        return time.monotonic() - self._beat

    def ready(self) -> tuple[bool, str]:
        if self._draining:
            return False, "draining"
        if self._services is None:
            return False, "starting"
        if self._callers() >= self._max_calls:
            return False, f"full: {self._max_calls} calls"
        return True, ""

    def active_calls(self) -> list[dict[str, Any]]:
        return [
            {
                "call_id": str(call_id),
                "traffic": session.traffic,
                "started_at": session.started_at.isoformat(timespec="milliseconds"),
                "state": session.state,
            }
            for call_id, session in list(self._calls.items())
        ]

    def next_step(self, call_id: uuid.UUID) -> str:
        """A call we do not know, or refused, goes to a person."""
        session = self._calls.get(call_id)
        if session is not None and session.end_command is not None:
            # Asterisk asks as soon as it has the end message, before we have seen it close.
            return session.end_command.next_step.value
        past = self._past.get(call_id)
        return past.memory.next_step.value if past is not None else NextStep.TRANSFER.value

    def subscribe(self, call_id: uuid.UUID) -> Subscription | None:
        session = self._calls.get(call_id)
        if session is not None:
            return session.feed.subscribe()
        past = self._past.get(call_id)
        return past.feed.subscribe() if past is not None else None

    def release_learned(self) -> int | None:
        services = self._services
        if services is None:
            return None
        if services.learned is None:
            return 0
        releasing = asyncio.run_coroutine_threadsafe(services.learned.release(), self._loop)
        try:
            return releasing.result(RELEASE_SECONDS)
        except TimeoutError:
            releasing.cancel()
            return None

    def request_drain(self) -> None:
        self._loop.call_soon_threadsafe(self._on_drain)
