"""The services that hold a WebSocket: Deepgram listening, Aura speaking, OpenAI Realtime.

A thin shell: it receives, waits and sends; what is said is decided by the pure sessions.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final

import structlog
from aiohttp import WSMessage, WSMsgType, web

from voicebot.emulator import options, wrong
from voicebot.emulator.exchange import SLOW_SECONDS, Exchange, GoneError, now
from voicebot.emulator.faults import Kind, Moment
from voicebot.emulator.listen_v1 import ListenV1
from voicebot.emulator.listen_v2 import ListenV2
from voicebot.emulator.listening import Close, Listening, Output, Question, Send
from voicebot.emulator.parts import Parts
from voicebot.emulator.records import Request
from voicebot.emulator.refusal import RefusalError

log = structlog.get_logger(__name__)

MOST_BYTES: Final = 1 << 20  #: of one message


def query(exchange: Exchange) -> dict[str, list[str]]:
    return {key: exchange.request.query.getall(key) for key in exchange.request.query}


@asynccontextmanager
async def upgraded(parts: Parts, exchange: Exchange) -> AsyncIterator[web.WebSocketResponse]:
    """The WebSocket of *exchange*, unless a fault or an error is in the way."""
    parts.records.requests.append(
        Request(exchange.service, exchange.tag, exchange.arrived, query(exchange), None)
    )
    fault = parts.faults.take(exchange.service, Moment.CONNECT)
    await exchange.early(fault, exchange.request.query.get("model", ""))
    socket = web.WebSocketResponse(compress=False, max_msg_size=MOST_BYTES)
    socket.headers["dg-request-id"] = exchange.request_id
    await socket.prepare(exchange.request)
    exchange.socket = socket
    try:
        yield socket
    finally:
        if not socket.closed:
            exchange.abort()


class Tasks:
    """The tasks of one exchange; none outlives it."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run *work*; that the exchange ends is no error of it."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, GoneError):
            log.error("emulator failed", exc_info=error)

    async def stop(self) -> None:
        """Cancel them, and wait."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def listen(parts: Parts, exchange: Exchange) -> web.StreamResponse:
    """``/v1/listen`` and ``/v2/listen``."""
    session: Listening
    start = now()
    try:
        if exchange.request.path.startswith("/v2"):
            session = ListenV2(
                options.v2(query(exchange)), exchange.request_id, parts.latency, start
            )
        else:
            session = ListenV1(
                options.v1(query(exchange)), exchange.request_id, parts.latency, start
            )
    except options.OptionError as error:
        raise RefusalError(400, str(error), code="INVALID_QUERY_PARAMETER") from error
    async with upgraded(parts, exchange) as socket:
        await _Conversation(parts, exchange, session).run(socket)
    return socket


class _Conversation:
    """One listening session on its WebSocket."""

    def __init__(self, parts: Parts, exchange: Exchange, session: Listening) -> None:
        self._parts = parts
        self._exchange = exchange
        self._session = session
        self._queue: asyncio.Queue[Output] = asyncio.Queue()
        self._tasks = Tasks()
        self._timer: asyncio.TimerHandle | None = None

    async def run(self, socket: web.WebSocketResponse) -> None:
        sender = self._tasks.start(self._send_all(socket))
        try:
            self._pump()
            while not sender.done():
                message = await socket.receive()
                if message.type is WSMsgType.BINARY and message.data:
                    self._session.audio(message.data, now())
                elif message.type is WSMsgType.BINARY:
                    self._session.text('{"type":"CloseStream"}', now())  # the old way to say it
                elif message.type is WSMsgType.TEXT:
                    self._session.text(message.data, now())
                else:
                    break
                self._pump()
        finally:
            if self._timer is not None:
                self._timer.cancel()
            await self._tasks.stop()

    def _pump(self) -> None:
        """Queue what is due, have questions answered, and come back when more is due."""
        for output in self._session.poll(now()):
            self._queue.put_nowait(output)
        for question in self._session.take_questions():
            self._tasks.start(self._answer(question))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        at = self._session.next_at()
        if at is not None:
            # Not below a millisecond: what is due may still wait for audio.
            wait = max(at - now(), 0.001) if at > now() else 0.02
            self._timer = asyncio.get_running_loop().call_later(wait, self._pump)

    async def _answer(self, question: Question) -> None:
        words, unknown = await self._parts.recogniser.recognise(question.pcm, final=question.final)
        if question.final:
            self._parts.records.unrecognised += unknown
        self._session.recognised(question, words, now())
        self._pump()

    async def _send_all(self, socket: web.WebSocketResponse) -> None:
        while True:
            output = await self._queue.get()
            if isinstance(output, Close):
                await socket.close(code=output.code, message=output.reason.encode())
                return
            if not output.result or await self._struck(socket):
                await self._say(output)

    async def _say(self, output: Send) -> None:
        wait = output.wait
        if wait is not None:
            self._exchange.answered(wait.step, wait.since, wait.planned)
        await self._exchange.send(output.text)

    async def _struck(self, socket: web.WebSocketResponse) -> bool:
        """Strike a result with the fault of the moment; False: it is not to be sent."""
        fault = self._parts.faults.take(self._exchange.service, Moment.STREAM)
        match None if fault is None else fault.kind:
            case Kind.DROP:
                self._exchange.cut()
            case Kind.HANG:
                await self._exchange.hang()
            case Kind.SERVER_ERROR:
                await socket.close(code=1011, message=b"NET-0000")
                raise GoneError
            case Kind.SLOW:
                await asyncio.sleep(8 * SLOW_SECONDS)
            case Kind.MALFORMED:
                await self._exchange.send(wrong.NOT_JSON)
                return False
            case Kind.UNKNOWN:
                await self._exchange.send(wrong.UNKNOWN_MESSAGE)
            case Kind.EMPTY:
                return False
        return True


async def receive(socket: web.WebSocketResponse) -> AsyncIterator[str]:
    """The text messages of the client, until it leaves."""
    message: WSMessage
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            yield message.data
