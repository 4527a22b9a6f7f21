"""HTTP connections whose bytes are taken when they are needed, and cheaply.

A cloud's voice sends its audio in many small pieces. Whoever reads them as they come is woken by
each, through a dozen layers with cold caches. Here what comes stays with the kernel until the
:class:`~voicebot.providers.pace.Pace` of the answer says that more is needed, and is then taken at
once. All of HTTP is httpcore2's; this is what it calls a network backend, for asyncio alone. That
spares anyio's scopes and checkpoints at each read, and TLS is the event loop's own, which uvloop
has in C.

Imports the kit's HTTP library: import it only where the kit is needed.
"""

# ruff: noqa: ASYNC109 -- time limits are parameters of what httpcore2 calls
from __future__ import annotations

import asyncio
import os
import select
import socket
import ssl
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, cast

import anyio
import anyio.abc
import httpcore2
import httpx2

from voicebot.providers.pace import Pace
from voicebot.providers.pools import CONNECT_SECONDS, KEEP_IDLE_SECONDS, MOST_CONNECTIONS, tls

_STREAM: Final = "paced"
"""Asked for this, a stream names itself; those of other backends know nothing of it."""
_MOST_AT_ONCE: Final = 128 * 1024
"""Bytes taken off a socket at once: 2.7 s of audio at 24 kHz."""
_FRAMING: Final = 24
"""More bytes than HTTP needs to begin and end a chunk of a body."""


def client(timeout: float) -> httpx2.AsyncClient:
    """A client for a kit; *timeout*: seconds for any single wait of a request.

    It goes through the proxy of the environment (``HTTPS_PROXY``), if there is one; then nothing
    rests.
    """
    return httpx2.AsyncClient(
        verify=tls(),
        limits=_LIMITS,
        transport=None if _is_proxied() else _Transport(),
        timeout=httpx2.Timeout(timeout, connect=CONNECT_SECONDS),
        follow_redirects=True,
    )


@contextmanager
def read_at(pace: Pace | None, response: httpx2.Response) -> Iterator[Callable[[bytes], bool]]:
    """Read the body of *response* at *pace*; None: as it comes.

    Gives what is to be asked with each piece of the body: whether the next is here already.
    """
    stream = response.extensions["network_stream"].get_extra_info(_STREAM)
    if stream is None:
        yield lambda piece: False
        return
    stream.pace, stream.at_hand = pace, 0
    packed = "content-encoding" in response.headers
    try:
        yield (lambda piece: False) if packed else stream.next_is_here
    finally:
        stream.pace = None  # the connection is another's next


_LIMITS = httpx2.Limits(
    max_connections=MOST_CONNECTIONS,
    max_keepalive_connections=MOST_CONNECTIONS,
    keepalive_expiry=KEEP_IDLE_SECONDS,
)


def _is_proxied() -> bool:
    """Whether httpx2 would find a proxy (see its page on environment variables)."""
    names = ("http_proxy", "https_proxy", "all_proxy")
    return any(os.environ.get(name) or os.environ.get(name.upper()) for name in names)


class _Transport(httpx2.AsyncHTTPTransport):
    """httpx2's own, which has no parameter for the backend, with another pool."""

    def __init__(self) -> None:
        super().__init__(verify=tls(), limits=_LIMITS)
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=tls(),
            max_connections=MOST_CONNECTIONS,
            max_keepalive_connections=MOST_CONNECTIONS,
            keepalive_expiry=KEEP_IDLE_SECONDS,
            network_backend=PacedBackend(),
        )


class PacedBackend(httpcore2.AsyncNetworkBackend):
    """Opens connections."""

    def __init__(self) -> None:
        self._buffer = memoryview(bytearray(_MOST_AT_ONCE))

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Raises ConnectTimeout or ConnectError."""
        with _named(httpcore2.ConnectTimeout, httpcore2.ConnectError):
            async with asyncio.timeout(timeout):
                connected = await _connect(host, port, local_address)
                for option in socket_options or ():
                    connected.setsockopt(*option)
                loop = asyncio.get_running_loop()
                _, protocol = await loop.create_connection(
                    lambda: _Protocol(self._buffer), sock=connected
                )
        return _Stream(protocol)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def _connect(host: str, port: int, local_address: str | None) -> socket.socket:
    """A connected socket: anyio tries the other family when one does not answer, which uvloop's own
    connections do not.

    The stream that it makes is closed, and a copy of its socket kept. So the stream must go without
    a word: a goodbye (``shutdown``) would hold for the copy as well. anyio says one up to some
    version before 4.16, hence the bound in pyproject.toml.
    """
    stream = await anyio.connect_tcp(host, port, local_host=local_address)
    try:
        raw = stream.extra(anyio.abc.SocketAttribute.raw_socket)  # noqa: S610 -- not Django
        return socket.socket(fileno=os.dup(raw.fileno()))
    finally:
        await stream.aclose()  # aborts: nothing is sent


class _Protocol(asyncio.BufferedProtocol):
    """One connection's bytes. Nothing is taken off the socket while nobody reads."""

    def __init__(self, buffer: memoryview) -> None:
        """*buffer*: for all connections, since what is in it is copied at once."""
        self._buffer = buffer
        self.loop = asyncio.get_running_loop()
        self.data = b""
        self.ended = False
        self.error: Exception | None = None
        self.waiting: asyncio.Future[None] | None = None
        """Of whoever reads."""
        self.writable = asyncio.Event()
        self.writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # TLS is put between the socket and this, and what it makes of bytes comes here: so it is
        # always the socket that is left alone, and never TLS that is asked to keep them.
        self.socket_transport = self.transport = cast(asyncio.Transport, transport)
        self.socket_transport.pause_reading()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data += self._buffer[:nbytes]
        self.socket_transport.pause_reading()
        self._tell()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended, self.error = True, exc
        self.writable.set()
        self._tell()

    def eof_received(self) -> None:
        self.ended = True
        self._tell()

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def _tell(self) -> None:
        if self.waiting is not None and not self.waiting.done():
            self.waiting.set_result(None)


class _Stream(httpcore2.AsyncNetworkStream):
    """A connection as httpcore2 uses it: one reads, one writes."""

    def __init__(self, protocol: _Protocol) -> None:
        self.pace: Pace | None = None
        self.at_hand = 0
        """Bytes that came with the last wait, and have not been seen by :meth:`next_is_here`."""
        self.waits = 0
        """How often something had to be waited for."""
        self._protocol = protocol

    def next_is_here(self, piece: bytes) -> bool:
        """Whether some of the body after *piece* has come: certain if so, else it may have."""
        self.at_hand -= len(piece) + _FRAMING
        return self.at_hand > _FRAMING

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Empty at the end. *timeout* counts from the end of the rest. Raises ReadTimeout or
        ReadError."""
        protocol = self._protocol
        if not protocol.data and not protocol.ended:
            await self._more(timeout)
        data = protocol.data
        if not data and protocol.error is not None:
            raise httpcore2.ReadError(str(protocol.error)) from protocol.error
        protocol.data = data[max_bytes:]
        return data[:max_bytes]

    async def _more(self, timeout: float | None) -> None:
        """Rest as long as the pace allows, then wait until something has come or all is over."""
        protocol = self._protocol
        loop, transport = protocol.loop, protocol.socket_transport
        self.waits += 1
        waiting = protocol.waiting = loop.create_future()
        now = loop.time()
        begins = max(now, self.pace.not_before) if self.pace is not None else now
        timers = []
        if begins > now:
            timers.append(loop.call_at(begins, transport.resume_reading))
        else:
            transport.resume_reading()
        if timeout is not None:
            timers.append(loop.call_at(begins + timeout, _fail, waiting, httpcore2.ReadTimeout))
        try:
            await waiting
            self.at_hand = len(protocol.data)
        finally:
            protocol.waiting = None
            for timer in timers:
                timer.cancel()
            transport.pause_reading()

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Raises WriteTimeout or WriteError."""
        protocol = self._protocol
        if protocol.ended:
            raise httpcore2.WriteError(str(protocol.error or "the peer has closed the connection"))
        protocol.transport.write(buffer)
        if not protocol.writable.is_set():
            with _named(httpcore2.WriteTimeout, httpcore2.WriteError):
                async with asyncio.timeout(timeout):
                    await protocol.writable.wait()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Raises ConnectTimeout or ConnectError; then the connection is closed."""
        protocol = self._protocol
        try:
            with _named(httpcore2.ConnectTimeout, httpcore2.ConnectError):
                async with asyncio.timeout(timeout):
                    transport = await protocol.loop.start_tls(
                        protocol.transport, protocol, ssl_context, server_hostname=server_hostname
                    )
        except BaseException:
            protocol.transport.abort()
            raise
        assert transport is not None, "no transport, no exception"
        protocol.transport = transport
        protocol.socket_transport.pause_reading()
        return self

    async def aclose(self) -> None:
        self._protocol.transport.abort()

    def get_extra_info(self, info: str) -> Any:
        match info:
            case "client_addr":
                return self._protocol.transport.get_extra_info("sockname")
            case "server_addr":
                return self._protocol.transport.get_extra_info("peername")
            case "is_readable":
                return self._is_readable()
            case _ if info == _STREAM:
                return self
            case _:
                return self._protocol.transport.get_extra_info(info)

    def _is_readable(self) -> bool:
        """Something has come. Of an idle connection that can only be its end."""
        protocol = self._protocol
        if protocol.data or protocol.ended:
            return True
        poll = select.poll()
        with suppress(OSError, ValueError):
            poll.register(protocol.socket_transport.get_extra_info("socket"), select.POLLIN)
            return bool(poll.poll(0))
        return True


def _fail(waiting: asyncio.Future[None], error: Callable[[], Exception]) -> None:
    if not waiting.done():
        waiting.set_exception(error())


@contextmanager
def _named(late: type[Exception], failed: type[Exception]) -> Iterator[None]:
    """A time limit and the socket's or TLS's errors, as httpcore2 names them."""
    try:
        yield
    except TimeoutError as error:  # an OSError too
        raise late(str(error)) from error
    except (OSError, anyio.BrokenResourceError) as error:
        raise failed(str(error)) from error
