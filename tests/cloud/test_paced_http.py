"""Connections that are read when more is needed: what comes, what does not get lost, what ends."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpcore2
import httpx2
import pytest
import uvloop

from voicebot.providers import paced_http
from voicebot.providers.pace import Pace

Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(params=sorted(LOOPS))
def runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=LOOPS[request.param]) as made:
        yield made


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of localhost, signed by itself, and its key."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-batch",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
         "-keyout", str(path), "-out", str(path.with_name("cert.pem"))],
        check=True,
        capture_output=True,
    )  # fmt: skip
    path.write_text(path.read_text() + path.with_name("cert.pem").read_text())
    return path


@asynccontextmanager
async def served(peer: Peer, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A port at which *peer* answers; in the end nothing of it is left."""
    answering: set[asyncio.Task[None]] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        answering.add(task)
        with suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            try:
                await peer(reader, writer)
            finally:
                writer.close()
                await writer.wait_closed()

    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1]
        server.close()
        await asyncio.gather(*answering)


@asynccontextmanager
async def connected(
    peer: Peer, certificate: Path | None = None
) -> AsyncIterator[httpcore2.AsyncNetworkStream]:
    """A connection to *peer*, with TLS if there is a *certificate*."""
    context = None
    if certificate is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
    async with served(peer, context) as port:
        stream = await paced_http.PacedBackend().connect_tcp("127.0.0.1", port, timeout=10.0)
        try:
            if certificate is not None:
                trusting = ssl.create_default_context(cafile=certificate.with_name("cert.pem"))
                stream = await stream.start_tls(trusting, "localhost", timeout=10.0)
            yield stream
        finally:
            await stream.aclose()


@pytest.mark.parametrize("secure", [False, True])
def test_what_comes_during_a_rest_is_taken_at_once(
    runner: asyncio.Runner, certificate: Path, secure: bool
) -> None:
    async def story() -> None:
        sent = asyncio.Event()

        async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.readexactly(3))
            await reader.readexactly(3)
            for word in (b"two", b"three", b"four"):
                writer.write(word)
                await writer.drain()
            sent.set()
            await reader.read()

        async with connected(peer, certificate if secure else None) as stream:
            loop = asyncio.get_running_loop()
            await stream.write(b"one", timeout=10.0)
            assert await stream.read(100, timeout=10.0) == b"one"
            paced = stream.get_extra_info("paced")
            paced.pace = Pace(not_before=loop.time() + 3600.0)
            reading = asyncio.create_task(stream.read(100, timeout=10.0))
            await stream.write(b"go!", timeout=10.0)
            await sent.wait()
            assert not reading.done()
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            paced.pace = Pace(not_before=loop.time() + 0.001)
            assert await stream.read(100, timeout=10.0) == b"twothreefour"

    runner.run(story())


@pytest.mark.parametrize("secure", [False, True])
def test_no_byte_is_lost_whatever_is_asked_for(
    runner: asyncio.Runner, certificate: Path, secure: bool
) -> None:
    data = bytes(range(256)) * 4096  # 1 MB, more than the buffer, the socket and a record of TLS

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(len(data)))
        await writer.drain()

    async def story() -> bytes:
        async with connected(peer, certificate if secure else None) as stream:
            await stream.write(data, timeout=10.0)
            got = b""
            while piece := await stream.read(len(got) % 9973 + 1, timeout=10.0):
                got += piece
            assert stream.get_extra_info("is_readable"), "an end is something to read"
            return got

    assert runner.run(story()) == data


def test_who_says_nothing_is_too_late(runner: asyncio.Runner) -> None:
    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def story() -> None:
        async with connected(peer) as stream:
            assert not stream.get_extra_info("is_readable")
            with pytest.raises(httpcore2.ReadTimeout):
                await stream.read(100, timeout=0.01)

    runner.run(story())


def test_a_reset_is_an_error_after_what_came_before_it(runner: asyncio.Runner) -> None:
    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"half")
        await reader.readexactly(1)
        at_once = struct.pack("ii", 1, 0)  # without it, an end like any other
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        writer.transport.abort()

    async def story() -> None:
        async with connected(peer) as stream:
            assert await stream.read(100, timeout=10.0) == b"half"
            await stream.write(b"!", timeout=10.0)
            with pytest.raises(httpcore2.ReadError, match="reset"):
                await stream.read(100, timeout=10.0)

    runner.run(story())


def test_nobody_there_and_nobody_to_trust(runner: asyncio.Runner, certificate: Path) -> None:
    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pass

    async def story() -> None:
        backend = paced_http.PacedBackend()
        with pytest.raises(httpcore2.ConnectError):
            await backend.connect_tcp("127.0.0.1", 1, timeout=10.0)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
        async with served(peer, context) as port:
            stream = await backend.connect_tcp("127.0.0.1", port, timeout=10.0)
            with pytest.raises(httpcore2.ConnectError, match="certificate"):
                await stream.start_tls(ssl.create_default_context(), "localhost", timeout=10.0)

    runner.run(story())


CHUNKS = [b"a" * 4800, b"b", b"c" * 100_000, b"", b"d" * 3, b"e" * 4800]


@pytest.mark.parametrize("framing", ["chunks", "chunks one by one", "length"])
def test_the_next_is_said_to_be_here_only_if_it_is(runner: asyncio.Runner, framing: str) -> None:
    """Whoever holds a piece back because more is here must not have to wait for it."""
    body = b"".join(CHUNKS)
    begun = asyncio.Event()

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if framing == "length":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await begun.wait()
        if framing == "length":
            writer.write(body)
        else:
            for chunk in filter(None, CHUNKS):
                pieces = [chunk] if framing == "chunks" else [chunk[:1], chunk[1:]]
                for piece in filter(None, pieces):
                    writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                    if framing != "chunks":
                        await writer.drain()
                        await asyncio.sleep(0)
            writer.write(b"0\r\n\r\n")
        await writer.drain()

    async def story() -> None:
        got, followed = b"", 0
        async with (
            served(peer) as port,
            paced_http.client(10.0) as client,
            client.stream("GET", f"http://127.0.0.1:{port}/") as response,
        ):
            stream = response.extensions["network_stream"].get_extra_info("paced")
            with paced_http.read_at(None, response) as next_is_here:
                begun.set()
                said, waits = False, stream.waits
                async for piece in response.aiter_bytes():
                    assert not said or stream.waits == waits, "it had to be waited for"
                    got += piece
                    said, waits = next_is_here(piece), stream.waits
                    followed += said
        assert got == body
        assert followed or framing == "chunks one by one", "else nothing is ever joined"

    runner.run(story())


def test_a_proxy_of_the_environment_is_used(
    runner: asyncio.Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> bytes:
        asked: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked.set_result(await reader.readline())

        async with served(proxy) as port:
            monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
            async with paced_http.client(10.0) as client:
                with pytest.raises(httpx2.HTTPError):
                    await client.get("https://voice.invalid/")
            return await asked

    assert runner.run(story()).startswith(b"CONNECT voice.invalid:443 ")
