"""One request or WebSocket while it is served, and what can be done to it.

Every answer goes out through an :class:`Exchange`, because a fault may hang it or cut it at any
moment. The clock is the machine's monotonic one, which all processes share, so that a benchmark can
compare these times with its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from typing import Final, NoReturn

from aiohttp import web

from voicebot.emulator.faults import Fault, Kind, Service
from voicebot.emulator.latency import Step
from voicebot.emulator.records import Records
from voicebot.emulator.refusal import RefusalError


def now() -> float:
    """Seconds of the machine's monotonic clock."""
    return time.monotonic()


#: A slow answer: so long between its pieces, which would be milliseconds apart.
SLOW_SECONDS: Final = 0.25


def _tag(request: web.Request) -> str:
    """Who asks: Deepgram's ``tag``, or the header that OpenAI keeps with its log."""
    headers = request.headers
    return (
        request.query.get("tag", "")
        or headers.get("x-call-id", "")
        or headers.get("x-client-request-id", "")
    )


class GoneError(Exception):
    """The exchange is over: cut by a fault, or left by the client."""


class Exchange:
    """One of them."""

    def __init__(self, service: Service, request: web.Request, number: int, records: Records):
        self.service = service
        self.request = request
        self.number = number
        self.arrived = now()
        self.tag: str = _tag(request)
        self.socket: web.WebSocketResponse | None = None
        self._records = records
        self._hung = False
        self._drips = False

    @property
    def request_id(self) -> str:
        return f"00000000-0000-4000-8000-{self.number:012d}"

    def answered(self, step: Step, since: float, planned: float) -> None:
        """Record that what *step* names goes out at this instant."""
        self._records.delayed(step, self.tag, since, now(), planned)

    def cut(self) -> NoReturn:
        """Reset the connection."""
        self.abort()
        raise GoneError

    def abort(self) -> None:
        if self.request.transport is not None:
            self.request.transport.abort()

    async def hang(self) -> NoReturn:
        """Be silent and deaf until the client goes, or the emulator stops."""
        self.freeze()
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")

    def freeze(self) -> None:
        """From now on what comes is ignored, pings too, and whatever wants to send waits."""
        transport = self.request.transport
        if not self._hung and transport is not None and not transport.is_closing():
            transport.set_protocol(_Deaf(transport.get_protocol()))
        self._hung = True

    def drip(self) -> None:
        """From now on each piece is late."""
        self._drips = True

    async def write(self, response: web.StreamResponse, data: bytes) -> None:
        """Send part of the body of *response*. Raises GoneError."""
        await self._gate()
        try:
            await response.write(data)
        except (ConnectionError, RuntimeError) as error:
            raise GoneError from error

    async def send(self, data: str | bytes) -> None:
        """Send a message on the WebSocket. Raises GoneError."""
        assert self.socket is not None
        await self._gate()
        try:
            if isinstance(data, str):
                await self.socket.send_str(data)
            else:
                await self.socket.send_bytes(data)
        except (ConnectionError, RuntimeError) as error:
            raise GoneError from error

    async def _gate(self) -> None:
        if self._drips:
            await asyncio.sleep(SLOW_SECONDS)
        if self._hung:
            await self.hang()
        transport = self.request.transport
        if transport is None or transport.is_closing():
            raise GoneError

    async def early(self, fault: Fault | None, model: str = "") -> None:
        """Do what *fault*, which strikes before an answer, does.

        Raises RefusalError or GoneError, or returns if it does nothing yet.
        """
        if fault is None:
            return
        match fault.kind:
            case Kind.REFUSE | Kind.DROP:
                self.cut()
            case Kind.HANG:
                await self.hang()
            case Kind.UNAUTHORIZED:
                raise unauthorized()
            case Kind.FORBIDDEN:
                raise RefusalError(403, "This key lacks the permission.", code="insufficient_scope")
            case Kind.RATE_LIMITED:
                raise RefusalError(
                    429,
                    "Rate limit reached. Please try again later.",
                    kind="requests",
                    code="rate_limit_exceeded",
                    retry_after=fault.retry_after,
                )
            case Kind.SERVER_ERROR:
                raise RefusalError(500, "Internal server error.", kind="server_error")
            case Kind.RETIRED:
                raise RefusalError(
                    404,
                    f"The model `{model}` does not exist or you do not have access to it.",
                    code="model_not_found",
                )
            case _:
                raise AssertionError(f"{fault.kind} does not strike early")


class _Deaf(asyncio.Protocol):
    """Ignores what comes, but for the end of the connection."""

    def __init__(self, before: asyncio.BaseProtocol) -> None:
        self._before = before

    def connection_lost(self, exc: Exception | None) -> None:
        self._before.connection_lost(exc)


def unauthorized() -> RefusalError:
    return RefusalError(401, "Invalid credentials.", code="invalid_api_key")


def require_key(request: web.Request) -> None:
    """Any key will do but none, and those that start with "bad". Raises RefusalError."""
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() not in ("bearer", "token") or not key or key.startswith("bad"):
        raise unauthorized()


async def until(moment: float) -> None:
    """Wait for *moment*; at once if it is past."""
    wait = moment - now()
    if wait > 0:
        await asyncio.sleep(wait)


async def paced(pieces: Iterable[bytes], first_at: float, every: float) -> AsyncIterator[bytes]:
    """Each of *pieces* when it is due; lateness is not handed on."""
    for index, piece in enumerate(pieces):
        await until(first_at + index * every)
        yield piece
