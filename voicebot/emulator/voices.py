"""The WebSockets that speak: Deepgram's ``/v1/speak`` and OpenAI's ``/v1/realtime``.

A thin shell. Each hears its client all the while it speaks, because that is how it is interrupted.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

import structlog
from aiohttp import web

from voicebot.emulator import codec, options, wrong
from voicebot.emulator.engines import EngineError
from voicebot.emulator.exchange import SLOW_SECONDS, Exchange, GoneError, now, paced
from voicebot.emulator.faults import Fault, Kind, Moment
from voicebot.emulator.latency import Step
from voicebot.emulator.listening import message
from voicebot.emulator.parts import Parts
from voicebot.emulator.realtime import REWORDED, Realtime, RealtimeError, Utterance
from voicebot.emulator.refusal import RefusalError
from voicebot.emulator.sockets import Tasks, query, receive, upgraded

log = structlog.get_logger(__name__)

PIECE_SECONDS: Final = 0.1
_VERSION: Final = "2026-01-01.0"


class _Mouth:
    """Says one thing at a time on one WebSocket."""

    def __init__(self, parts: Parts, exchange: Exchange, step: Step) -> None:
        self._parts = parts
        self._exchange = exchange
        self._step = step

    async def speak(
        self,
        text: str,
        encoding: str,
        rate: int,
        since: float,
        fault: Fault | None,
        send: Callable[[bytes], Awaitable[None]],
    ) -> None:
        """*send* the audio of *text*, piece by piece, spoiled by *fault*. Raises GoneError."""
        parts, exchange = self._parts, self._exchange
        kind = None if fault is None else fault.kind
        try:
            audio = await parts.sentences.speak(text, encoding, rate)
        except EngineError as error:
            log.error("emulator cannot speak", reason=str(error))
            kind, audio = Kind.SERVER_ERROR, bytes(2)
        size = round(PIECE_SECONDS * rate) * codec.WIDTHS[encoding]
        pieces = wrong.pieces(audio, size, kind, encoding)
        delay = parts.latency.draw(self._step)
        every = PIECE_SECONDS / parts.latency.profile.speech_times_real_time
        every = max(every, SLOW_SECONDS) if kind is Kind.SLOW else every
        sent = 0
        async for piece in paced(pieces, since + delay, every):
            if sent == max(1, len(pieces) // 2):
                await self._break(kind)
            if not sent:
                exchange.answered(self._step, since, delay)
                if kind is Kind.UNKNOWN:
                    await exchange.send(wrong.UNKNOWN_MESSAGE)
            await send(piece)
            sent += 1
        if sent <= max(1, len(pieces) // 2):
            await self._break(kind)

    async def _break(self, kind: Kind | None) -> None:
        match kind:
            case Kind.DROP:
                self._exchange.cut()
            case Kind.HANG:
                await self._exchange.hang()
            case Kind.SERVER_ERROR:
                assert self._exchange.socket is not None
                await self._exchange.socket.close(code=1011, message=b"NET-0000")
                raise GoneError


async def aura(parts: Parts, exchange: Exchange) -> web.StreamResponse:
    """``/v1/speak`` by WebSocket."""
    try:
        wanted = options.speak(query(exchange), streaming=True)
    except options.OptionError as error:
        raise RefusalError(400, str(error), code="INVALID_QUERY_PARAMETER") from error
    async with upgraded(parts, exchange) as socket:
        await exchange.send(
            message(
                type="Metadata",
                request_id=exchange.request_id,
                model_name=wanted.model,
                model_version=_VERSION,
                model_uuid=exchange.request_id,
            )
        )
        await _Aura(parts, exchange, wanted).run(socket)
    return socket


class _Aura:
    """One Aura session. Text is kept until a Flush; flushes are spoken one after the other."""

    def __init__(self, parts: Parts, exchange: Exchange, wanted: options.SpeakOptions) -> None:
        self._parts = parts
        self._exchange = exchange
        self._wanted = wanted
        self._mouth = _Mouth(parts, exchange, Step.SPEAK_FIRST_BYTE)
        self._text = ""
        self._flushes = 0
        self._queue: asyncio.Queue[tuple[str, float, bool]] = asyncio.Queue()
        self._tasks = Tasks()

    async def run(self, socket: web.WebSocketResponse) -> None:
        speaking = self._tasks.start(self._speak(socket))
        try:
            async for raw in receive(socket):
                if await self._hear(raw):
                    speaking.cancel()
                    speaking = self._tasks.start(self._speak(socket))
        finally:
            await self._tasks.stop()

    async def _hear(self, raw: str) -> bool:
        """Do what the client says; True if that ends what is being spoken."""
        try:
            said = json.loads(raw)
            kind = said["type"]
            text = str(said["text"]) if kind == "Speak" else ""
        except (ValueError, TypeError, KeyError):
            await self._warn("The message is not valid JSON, or lacks a field.", "DATA-0001")
            return False
        match kind:
            case "Speak":
                self._text += text
            case "Flush":
                self._flush(last=False)
            case "Close":
                self._flush(last=True)
            case "Clear":
                self._text = ""
                self._queue = asyncio.Queue()
                await self._exchange.send(message(type="Cleared", sequence_id=self._flushes))
                return True
            case _:
                await self._warn(f"Unknown message type {kind!r}.", "DATA-0001")
        return False

    def _flush(self, *, last: bool) -> None:
        self._queue.put_nowait((self._text.strip(), now(), last))
        self._text = ""

    async def _warn(self, description: str, code: str) -> None:
        warning = message(type="Warning", description=description, code=code)
        await self._exchange.send(warning)

    async def _speak(self, socket: web.WebSocketResponse) -> None:
        while True:
            text, since, last = await self._queue.get()
            if text:
                fault = self._parts.faults.take(self._exchange.service, Moment.STREAM)
                if fault is not None and fault.kind is Kind.MALFORMED:
                    await self._exchange.send(wrong.NOT_JSON)
                wanted = self._wanted
                await self._mouth.speak(
                    text, wanted.encoding, wanted.sample_rate, since, fault, self._exchange.send
                )
            if last:
                await socket.close(code=1000)
                return
            self._flushes += 1
            flushed = message(type="Flushed", sequence_id=self._flushes - 1)
            await self._exchange.send(flushed)


async def realtime(parts: Parts, exchange: Exchange) -> web.StreamResponse:
    """``/v1/realtime``."""
    model = exchange.request.query.get("model", "")
    if "realtime" not in model:
        message = f"The model `{model}` does not exist or you do not have access to it."
        raise RefusalError(404, message, code="model_not_found")
    async with upgraded(parts, exchange) as socket:
        await _Realtime(parts, exchange, Realtime(model)).run(socket)
    return socket


class _Realtime:
    """One Realtime session; it speaks one response at a time."""

    def __init__(self, parts: Parts, exchange: Exchange, session: Realtime) -> None:
        self._parts = parts
        self._exchange = exchange
        self._session = session
        self._mouth = _Mouth(parts, exchange, Step.REALTIME_FIRST_BYTE)
        self._tasks = Tasks()
        self._speaking: tuple[asyncio.Task[None], Utterance] | None = None

    async def run(self, socket: web.WebSocketResponse) -> None:
        await self._exchange.send(self._session.created())
        try:
            async for raw in receive(socket):
                try:
                    await self._hear(raw)
                except RealtimeError as error:
                    await self._exchange.send(self._session.error(error))
        finally:
            await self._tasks.stop()

    async def _hear(self, raw: str) -> None:
        events, wanted, cancel = self._session.receive(raw)
        for event in events:
            await self._exchange.send(event)
        busy = self._speaking if self._speaking and not self._speaking[0].done() else None
        if wanted is not None:
            if busy:
                raise RealtimeError(
                    "Conversation already has an active response in progress.",
                    "conversation_already_has_active_response",
                )
            self._speaking = (self._tasks.start(self._speak(wanted, now())), wanted)
        if cancel:
            if not busy:
                raise RealtimeError(
                    "Cancellation failed: no active response found.", "response_cancel_not_active"
                )
            busy[0].cancel()
            for event in self._session.end(busy[1], cancelled=True):
                await self._exchange.send(event)

    async def _speak(self, wanted: Utterance, since: float) -> None:
        fault = self._parts.faults.take(self._exchange.service, Moment.STREAM)
        kind = None if fault is None else fault.kind
        if kind is Kind.REWORDED:
            wanted = replace(wanted, text=REWORDED)
        for event in self._session.beginning(wanted):
            await self._exchange.send(event)
        if kind is Kind.MALFORMED:
            await self._exchange.send(wrong.NOT_JSON)
            return
        first = True

        async def send(piece: bytes) -> None:
            nonlocal first
            if first:
                await self._exchange.send(self._session.transcript(wanted))
            first = False
            await self._exchange.send(self._session.audio(wanted, piece))

        await self._mouth.speak(wanted.text, wanted.encoding, wanted.rate, since, fault, send)
        for event in self._session.end(wanted):
            await self._exchange.send(event)
