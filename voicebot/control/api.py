"""The control API: health, metrics, and what the telephone exchange asks about a call.

It runs in threads of its own, on the standard library's WSGI server, so that a hung event loop can
still be seen from outside, and so that no scrape or slow client can delay audio. It knows nothing
of calls: what it shows comes from a :class:`ServiceView`. It has no authentication and listens on
loopback (``CONTROL_HOST``); requests are bounded in size, number and time.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Protocol
from uuid import UUID

import structlog
from prometheus_client import CollectorRegistry

from voicebot.control.scrape import exposition
from voicebot.control.server import ControlError, ControlServer
from voicebot.telemetry.feed import Subscription

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

__all__ = ["ControlApp", "ControlError", "ControlServer", "ServiceView"]

log = structlog.get_logger(__name__)

HEARTBEAT_LIMIT: Final = 5.0
"""Seconds without a sign of life from the event loop after which the service is not healthy."""
MOST_WATCHERS: Final = 32
"""Event streams served at once; each holds a thread."""
_POLL: Final = 0.5  # seconds between looks at whether the server stops, while a stream is quiet
_LINKEDID: Final = re.compile(r"(?:^|&)linkedid=([A-Za-z0-9._-]{1,64})(?:&|$)")
_TEXT: Final = "text/plain; charset=utf-8"


class ServiceView(Protocol):
    """What the service shows. Every method is called from other threads, and must not wait."""

    def heartbeat_age(self) -> float:
        """Seconds since the event loop last gave a sign of life."""

    def ready(self) -> tuple[bool, str]:
        """Whether a new call would be taken, and if not, why: starting, full, draining."""

    def active_calls(self) -> Sequence[dict[str, Any]]:
        """The calls held now, as JSON objects."""

    def next_step(self, call_id: UUID) -> str:
        """``transfer`` or ``hangup``; ``transfer`` for a call it does not know."""

    def subscribe(self, call_id: UUID) -> Subscription | None:
        """Watch a call, or one that ended a moment ago; None if it is not known."""

    def release_learned(self) -> int | None:
        """Forget the learnt sentences whose files are gone, and how many; None: not at present."""

    def request_drain(self) -> None:
        """Take no new calls, and stop when the last one has ended."""


@dataclass(frozen=True, slots=True)
class _Answer:
    status: HTTPStatus
    body: bytes | Iterable[bytes]
    content_type: str = _TEXT
    headers: tuple[tuple[str, str], ...] = ()


class ControlApp:
    """The WSGI application. Thread safe."""

    def __init__(self, view: ServiceView, registry: CollectorRegistry) -> None:
        self._view = view
        self._registry = registry
        self._watchers = threading.BoundedSemaphore(MOST_WATCHERS)
        self._routes: dict[str, tuple[str, Callable[[WSGIEnvironment], _Answer]]] = {
            "/healthz": ("GET", self._healthz),
            "/readyz": ("GET", self._readyz),
            "/metrics": ("GET", self._metrics),
            "/v1/calls": ("GET", self._calls),
            "/v1/drain": ("POST", self._drain),
            "/v1/learned/release": ("POST", self._release),
        }
        self._call_routes: dict[str, Callable[[WSGIEnvironment, str], _Answer]] = {
            "next": self._next,
            "events": self._events,
        }

    @property
    def paths(self) -> list[str]:
        """Every path, with its method."""
        plain = [f"{method} {path}" for path, (method, _) in self._routes.items()]
        return [*plain, *(f"GET /v1/calls/<uuid>/{what}" for what in self._call_routes)]

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        try:
            answer = self._answer(environ)
        except Exception:
            # The boundary of the API: one request fails, visibly, and the next is served. Asterisk
            # takes any answer but "hangup" as "give the caller to a person", which is right here.
            log.exception("control request failed", path=environ.get("PATH_INFO"))
            answer = _plain(HTTPStatus.INTERNAL_SERVER_ERROR, "internal error; see the log\n")
        headers = [
            ("Content-Type", answer.content_type),
            ("Cache-Control", "no-store"),
            *answer.headers,
        ]
        if isinstance(answer.body, bytes):
            headers.append(("Content-Length", str(len(answer.body))))
            body: Iterable[bytes] = [answer.body]
        else:
            body = answer.body
        start(f"{answer.status.value} {answer.status.phrase}", headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else body

    def _answer(self, environ: WSGIEnvironment) -> _Answer:
        path = str(environ.get("PATH_INFO", "/"))
        method = str(environ["REQUEST_METHOD"])
        wanted, handler = self._route(path)
        if handler is None:
            listing = "".join(f"{line}\n" for line in self.paths)
            return _plain(HTTPStatus.NOT_FOUND, f"no such path; there are\n{listing}")
        if method != wanted and not (method == "HEAD" and wanted == "GET"):
            return _plain(
                HTTPStatus.METHOD_NOT_ALLOWED, f"use {wanted}\n", headers=(("Allow", wanted),)
            )
        return handler(environ)

    def _route(self, path: str) -> tuple[str, Callable[[WSGIEnvironment], _Answer] | None]:
        if route := self._routes.get(path):
            return route
        match path.split("/"):
            case ["", "v1", "calls", call_id, what] if handler := self._call_routes.get(what):
                return "GET", lambda environ: handler(environ, call_id)
        return "GET", None

    def _healthz(self, _environ: WSGIEnvironment) -> _Answer:
        age = self._view.heartbeat_age()
        if age < HEARTBEAT_LIMIT:
            return _plain(HTTPStatus.OK, "ok\n")
        return _plain(
            HTTPStatus.SERVICE_UNAVAILABLE,
            f"the event loop has not moved for {age:.1f} s; callers hear nothing\n",
        )

    def _readyz(self, _environ: WSGIEnvironment) -> _Answer:
        ready, reason = self._view.ready()
        if ready:
            return _plain(HTTPStatus.OK, "ready\n")
        return _plain(HTTPStatus.SERVICE_UNAVAILABLE, f"{reason}\n")

    def _metrics(self, environ: WSGIEnvironment) -> _Answer:
        text, content_type = exposition(self._registry, environ.get("HTTP_ACCEPT", ""))
        return _Answer(HTTPStatus.OK, text, content_type)

    def _calls(self, _environ: WSGIEnvironment) -> _Answer:
        return _json(HTTPStatus.OK, {"calls": list(self._view.active_calls())})

    def _drain(self, _environ: WSGIEnvironment) -> _Answer:
        log.info("drain requested", by="control API")
        self._view.request_drain()
        return _json(HTTPStatus.ACCEPTED, {"draining": True})

    def _release(self, _environ: WSGIEnvironment) -> _Answer:
        released = self._view.release_learned()
        if released is None:
            return _plain(
                HTTPStatus.SERVICE_UNAVAILABLE, "it is starting, or stands still; ask again\n"
            )
        return _json(HTTPStatus.OK, {"released": released})

    def _next(self, environ: WSGIEnvironment, call_id: str) -> _Answer:
        key = _uuid(call_id)
        step = "transfer" if key is None else self._view.next_step(key)
        if key is not None:
            # Here two logs meet: Asterisk's id for the caller is in its CDR and SIP traces.
            linkedid = _LINKEDID.search(str(environ.get("QUERY_STRING", "")))
            found = linkedid[1] if linkedid else None
            log.info("call handed back", call_id=str(key), next=step, linkedid=found)
        # No newline: the dialplan compares the whole answer. A person is the safe default.
        return _plain(HTTPStatus.OK, step)

    def _events(self, environ: WSGIEnvironment, call_id: str) -> _Answer:
        key = _uuid(call_id)
        if not self._watchers.acquire(blocking=False):
            return _plain(
                HTTPStatus.SERVICE_UNAVAILABLE, f"{MOST_WATCHERS} event streams are open already\n"
            )
        try:
            subscription = None if key is None else self._view.subscribe(key)
        except BaseException:
            self._watchers.release()
            raise
        if subscription is None:
            self._watchers.release()
            return _plain(HTTPStatus.NOT_FOUND, f"no such call: {call_id[:40]}\n")
        stopping = environ.get("voicebot.stopping", lambda: False)
        stream = _EventStream(subscription, stopping, self._watchers.release)
        return _Answer(HTTPStatus.OK, stream, "application/x-ndjson")


class _EventStream:
    """The body of an event stream: a line for each event, up to ``ended``."""

    def __init__(
        self,
        subscription: Subscription,
        stopping: Callable[[], bool],
        on_close: Callable[[], None],
    ) -> None:
        self._subscription = subscription
        self._stopping = stopping
        self._on_close = on_close
        self._closed = False

    def __iter__(self) -> Iterator[bytes]:
        while not self._stopping():
            event = self._subscription.get(timeout=_POLL)
            if event is None:
                continue
            yield json.dumps(event, ensure_ascii=False).encode() + b"\n"
            if event["event"] == "ended":
                return

    def close(self) -> None:
        """Called by the WSGI server, however the request ended."""
        if not self._closed:
            self._closed = True
            self._subscription.close()
            self._on_close()


def _plain(status: HTTPStatus, text: str, *, headers: tuple[tuple[str, str], ...] = ()) -> _Answer:
    return _Answer(status, text.encode(), headers=headers)


def _json(status: HTTPStatus, value: Any) -> _Answer:
    return _Answer(
        status, json.dumps(value, ensure_ascii=False).encode() + b"\n", "application/json"
    )


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
