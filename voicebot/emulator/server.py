"""The emulator as a server: one port for each vendor, so that each can refuse connections alone,
and one for whoever directs it.

Use it in a test or a benchmark as ``async with Emulator(…) as emulator`` and give its addresses to
the vendors' kits; ``voicebot emulate`` does the same for people. It listens on one address, the
loopback one by default: it takes any key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final

import structlog
from aiohttp import web

from voicebot.emulator import direction, requests, sockets, voices
from voicebot.emulator.brain import Brain
from voicebot.emulator.engines import Espeak, KnownClips, Sentences
from voicebot.emulator.exchange import Exchange, GoneError, require_key
from voicebot.emulator.faults import Fault, Faults, Kind, Moment, Service, Vendor
from voicebot.emulator.latency import Latency, Profile
from voicebot.emulator.parts import Parts
from voicebot.emulator.refusal import RefusalError

log = structlog.get_logger(__name__)

Serve = Callable[[Parts, Exchange], Awaitable[web.StreamResponse]]

_ROUTES: Final[tuple[tuple[str, str, Service, Serve], ...]] = (
    ("GET", "/v1/listen", Service.LISTEN, sockets.listen),
    ("GET", "/v2/listen", Service.LISTEN, sockets.listen),
    ("GET", "/v1/speak", Service.SPEAK, voices.aura),
    ("POST", "/v1/speak", Service.SPEAK, requests.aura),
    ("POST", "/openai/v1/chat/completions", Service.CHAT, requests.complete),
    ("POST", "/v1/chat/completions", Service.CHAT, requests.complete),
    ("POST", "/v1/audio/speech", Service.SPEECH, requests.speech),
    ("GET", "/v1/realtime", Service.REALTIME, voices.realtime),
)


class PortError(Exception):
    """A port cannot be had. ``str()`` says which and why."""


@dataclass(slots=True)
class Emulator(Parts):
    """The services. ``await start()`` it, and ``await close()`` it; or use ``async with``."""

    host: str = "127.0.0.1"
    port: int = 0
    """Of the direction; the vendors have the next three. 0: four free ones."""
    _runner: web.AppRunner | None = None
    _listeners: dict[Vendor | None, asyncio.Server] = field(default_factory=dict)
    _ports: dict[Vendor | None, int] = field(default_factory=dict)
    _numbers: int = 0
    _settling: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        self.faults = Faults(self._settle)

    @classmethod
    def simple(cls, *, profile: Profile | None = None, seed: int = 0) -> Emulator:
        """One that needs no models: it knows the shipped recordings and speaks by espeak-ng.

        Without *profile* it answers at once.
        """
        latency = Latency(profile or Profile(), seed)
        return cls(KnownClips.load(), Sentences(Espeak()), latency, Brain.load())

    async def __aenter__(self) -> Emulator:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Listen. Raises PortError."""
        app = web.Application(client_max_size=1 << 20)
        for method, path, service, serve in _ROUTES:
            app.router.add_route(method, path, self._handler(service, serve))
        direction.add_routes(app, self, inject=self.inject, mend=self.mend, url=self.url)
        self._runner = web.AppRunner(
            app, access_log=None, handle_signals=False, handler_cancellation=True,
            shutdown_timeout=0.1,
        )  # fmt: skip
        await self._runner.setup()
        try:
            for offset, vendor in enumerate((None, *Vendor)):
                await self._open(vendor, self.port + offset if self.port else 0)
        except PortError:
            await self.close()
            raise

    async def close(self) -> None:
        """Stop listening, cut every connection, leave nothing running. Idempotent."""
        for listener in self._listeners.values():
            listener.close()
        self._listeners.clear()
        for exchange in list(self.exchanges):
            exchange.abort()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        await self.sentences.close()

    def url(self, vendor: Vendor | None = None, scheme: str = "http") -> str:
        """Base address of *vendor*, or of the direction, without a path."""
        return f"{scheme}://{self.host}:{self._ports[vendor]}"

    def environment(self) -> dict[str, str]:
        """Settings that lead the service here, instead of to the vendors."""
        return {
            "DEEPGRAM_BASE_URL": self.url(Vendor.DEEPGRAM),
            "GROQ_BASE_URL": self.url(Vendor.GROQ),
            "OPENAI_BASE_URL": f"{self.url(Vendor.OPENAI)}/v1",
            "DEEPGRAM_API_KEY": "emulator",
            "GROQ_API_KEY": "emulator",
            "OPENAI_API_KEY": "emulator",
        }

    async def inject(self, fault: Fault) -> None:
        """From now on *fault* strikes; when this returns, ports are closed that should be."""
        if fault.moment is Moment.NOW:
            for exchange in self.open_exchanges(fault.service):
                self.faults.count(fault)
                await _strike(exchange, fault.kind)
        else:
            self.faults.inject(fault)
        await self.settled()

    async def mend(self, service: Service | None = None) -> None:
        """No more faults, of *service* or at all."""
        self.faults.clear(service)
        await self.settled()

    # -- serving ----------------------------------------------------------------------------

    def _handler(
        self, service: Service, serve: Serve
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            exchange = Exchange(service, request, self._numbers, self.records)
            self._numbers += 1
            self.exchanges.add(exchange)
            try:
                require_key(request)
                return await serve(self, exchange)
            except RefusalError as error:
                return _refusal(exchange, error)
            except GoneError:
                exchange.abort()
                return exchange.socket or web.Response()
            finally:
                self.exchanges.discard(exchange)

        return handle

    # -- ports ------------------------------------------------------------------------------

    async def _open(self, vendor: Vendor | None, port: int) -> None:
        assert self._runner is not None
        assert self._runner.server is not None
        loop = asyncio.get_running_loop()
        try:
            listener = await loop.create_server(self._runner.server, self.host, port, backlog=256)
        except OSError as error:
            reason = error.strerror or error
            raise PortError(f"cannot listen on {self.host} port {port}: {reason}") from error
        self._listeners[vendor] = listener
        self._ports[vendor] = listener.sockets[0].getsockname()[1]

    def _settle(self) -> None:
        if self._runner is not None and (self._settling is None or self._settling.done()):
            self._settling = asyncio.get_running_loop().create_task(self._settle_ports())

    async def settled(self) -> None:
        """Wait until the ports are as the faults want them."""
        if self._settling is not None:
            await self._settling

    async def _settle_ports(self) -> None:
        for vendor in Vendor:
            refused = vendor in self.faults.refused()
            if refused and vendor in self._listeners:
                self._listeners.pop(vendor).close()
            elif not refused and vendor not in self._listeners:
                await self._open(vendor, self._ports[vendor])


async def _strike(exchange: Exchange, kind: Kind) -> None:
    match kind:
        case Kind.DROP:
            exchange.abort()
        case Kind.HANG:
            exchange.freeze()
        case Kind.SLOW:
            exchange.drip()
        case Kind.SERVER_ERROR:
            if exchange.socket is None:
                exchange.abort()
            else:
                await exchange.socket.close(code=1011, message=b"NET-0000")
        case _:
            raise AssertionError(f"{kind} does not strike at once")


def _refusal(exchange: Exchange, error: RefusalError) -> web.Response:
    deepgram = exchange.service.vendor is Vendor.DEEPGRAM
    identity = exchange.request_id
    body = error.deepgram_body(identity) if deepgram else error.openai_body()
    return web.json_response(body, status=error.status, headers=error.headers(identity))
