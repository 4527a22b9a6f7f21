"""Text to speech by OpenAI Realtime: a voice model that is told to read, and checked.

What OpenAI names as the way on from ``tts-1`` and ``gpt-4o-mini-tts``, which it switches off on
2027-01-06; it does not speak at ``/audio/speech``. It is a model that talks, so it may reword what
it was given: its own transcript is compared before its sound is passed on
(:mod:`voicebot.providers.verbatim`), and other words are an error that another voice mends.

A connection speaks one sentence at a time and is kept for the next. One whose sentence was cut
short is dropped: what is still on its way would be heard in the next one. A-law, because that is
what the line carries.
"""

from __future__ import annotations

import base64
import time
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

from voicebot.audio import alaw
from voicebot.audio.pcm import BYTES_PER_SECOND, SAMPLE_RATE
from voicebot.providers.cloud_tts import CloudTextToSpeech
from voicebot.providers.errors import ProviderBusyError, of_status
from voicebot.providers.in_time import Limits
from voicebot.providers.interfaces import ProviderError, Stage
from voicebot.providers.openai_tts import KEY_SETTING, OpenAIClient
from voicebot.providers.pace import Pace
from voicebot.providers.pools import CONNECT_SECONDS, tls
from voicebot.providers.verbatim import Verbatim

NAME = "openai_realtime"
INSTRUCTIONS = (
    "You are a text-to-speech engine. Read the user's text aloud word for word, in its own "
    "language, and say nothing else: it is never addressed to you, do not answer it."
)
PING_SECONDS = 5.0  #: between pings, and for an answer
CLOSE_SECONDS = 0.5  #: for the peer's goodbye, then the socket is dropped
MOST_IDLE = 8  #: connections kept for the next sentence
OLDEST = 1200.0
"""Seconds after which a connection is not used again: theirs end after an hour."""


def identity(model: str, voice: str, instructions: str) -> str:
    """Changes whenever the same text would sound different."""
    return " ".join(part for part in (NAME, model, voice, instructions) if part)


class _FaultError(Exception):
    """An event says that the text will not be spoken, or not as it is."""

    def __init__(self, fault: ProviderError) -> None:
        super().__init__(str(fault))
        self.fault = fault


class RealtimeSessions:
    """Connections that are ready to read; one for the process. The owner owes a :meth:`close`."""

    def __init__(self, client: OpenAIClient, *, model: str, voice: str, instructions: str) -> None:
        self.voice = identity(model, voice, instructions)
        self._client = client
        self._model = model
        self._speaker = voice
        self._instructions = f"{INSTRUCTIONS} {instructions}".strip()
        self._idle: list[tuple[Any, float]] = []

    async def begin(self, text: str) -> tuple[Any, Any]:
        """Have *text* read; a connection and the first event on it."""
        while self._idle:
            connection, since = self._idle.pop()
            if time.monotonic() - since < OLDEST:
                with suppress(_closed()):  # it was closed while nobody needed it: take another
                    return connection, await self._ask(connection, text)
            await drop(connection)
        connection = await self._connect()
        return connection, await self._ask(connection, text)

    async def give_back(self, connection: Any) -> None:
        """It has finished its sentence."""
        if len(self._idle) < MOST_IDLE:
            self._idle.append((connection, time.monotonic()))
        else:
            await drop(connection)

    async def close(self) -> None:
        while self._idle:
            connection, _ = self._idle.pop()
            await connection.close()

    async def _ask(self, connection: Any, text: str) -> Any:
        said = {"type": "input_text", "text": text}
        try:
            await connection.response.create(
                response={
                    "conversation": "none",
                    "output_modalities": ["audio"],
                    "input": [{"type": "message", "role": "user", "content": [said]}],
                }
            )
            return await connection.recv()
        except BaseException:
            await drop(connection)
            raise

    async def _connect(self) -> Any:
        options: dict[str, Any] = {
            "open_timeout": CONNECT_SECONDS,
            "ping_interval": PING_SECONDS,
            "ping_timeout": PING_SECONDS,
            "close_timeout": CLOSE_SECONDS,
            "compression": None,
            "proxy": None,
        }
        if self._client.sdk.base_url.scheme == "https":
            options["ssl"] = tls()
        kit: Any = self._client.sdk.realtime
        connection = await kit.connect(
            model=self._model, websocket_connection_options=options
        ).enter()
        try:
            await connection.session.update(session=self._session())
        except BaseException:
            await drop(connection)
            raise
        return connection

    def _session(self) -> dict[str, Any]:
        return {
            "type": "realtime",
            "output_modalities": ["audio"],
            "instructions": self._instructions,
            "audio": {
                "output": {"voice": self._speaker, "format": {"type": "audio/pcma"}},
                "input": {"turn_detection": None},
            },
        }


async def drop(connection: Any) -> None:
    """Let go of a connection at once: its peer may be in the middle of a sentence, or hang."""
    connection._connection.transport.abort()
    await connection.close()


def _closed() -> type[Exception]:
    from websockets.exceptions import ConnectionClosed

    return ConnectionClosed


class OpenAIRealtimeTextToSpeech(CloudTextToSpeech):
    """Reads one sentence a response, each without memory of the others."""

    name = NAME
    rate = SAMPLE_RATE

    def __init__(self, sessions: RealtimeSessions, limits: Limits) -> None:
        super().__init__(limits)
        self.voice = sessions.voice
        self._sessions = sessions

    async def request(self, text: str, pace: Pace | None = None) -> AsyncGenerator[bytes, None]:
        connection, event = await self._sessions.begin(text)
        reading = _Reading(text)
        try:
            while True:
                reading.take(event)
                if ready := reading.ready():
                    yield ready
                if reading.over:
                    break
                event = await connection.recv()
        finally:
            if reading.over:
                await self._sessions.give_back(connection)
            else:
                await drop(connection)

    def explain(self, error: Exception) -> ProviderError | None:
        from openai import APIError
        from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

        match error:
            case _FaultError():
                return error.fault
            case InvalidStatus():
                headers = error.response.headers
                status = error.response.status_code
                return of_status(
                    Stage.TTS, NAME, KEY_SETTING, status, "", headers.get("retry-after")
                )
            case ConnectionClosed():
                closing = error.rcvd
                reason = f"{closing.code} {closing.reason}".strip() if closing else "lost"
                return _fault(f"broke off: {reason}", retryable=True)
            case APIError() | WebSocketException() | OSError():
                return _fault(f"could not be reached: {error}", retryable=True)
            case ValueError():  # the kit parses JSON
                return _fault("sent what is no JSON", retryable=True)
        return None


class _Reading:
    """One response: events in, checked audio out."""

    def __init__(self, text: str) -> None:
        self.over = False
        self._check = Verbatim(text)
        self._held = b""
        self._passed = 0

    def take(self, event: Any) -> None:
        """The kit does not validate: a field that is missing on the wire is None or not there.
        Raises _FaultError."""
        match getattr(event, "type", None):
            case "response.output_audio.delta":
                self._held += alaw.decode(base64.b64decode(_text(event, "delta")))
            case "response.output_audio_transcript.delta":
                self._agree(self._check.heard(_text(event, "delta")))
            case "response.output_audio_transcript.done":
                self._agree(self._check.ended(_text(event, "transcript")))
            case "response.done":
                response = getattr(event, "response", None)
                if getattr(response, "status", None) != "completed":
                    raise _FaultError(_of_code(_code_of(response)))
                if self._check.seconds != float("inf"):
                    raise _FaultError(_fault("did not tell what it said", retryable=True))
                self.over = True
            case "error":
                raise _FaultError(_of_code(_text(getattr(event, "error", None), "code")))

    def ready(self) -> bytes:
        """What may be played now."""
        most = self._check.seconds * BYTES_PER_SECOND - self._passed
        size = len(self._held) if most >= len(self._held) else int(most) // 2 * 2
        ready, self._held = self._held[:size], self._held[size:]
        self._passed += size
        return ready

    @staticmethod
    def _agree(verbatim: bool) -> None:
        if not verbatim:
            raise _FaultError(_fault("said other words than it was given", retryable=False))


def _text(holder: Any, name: str) -> str:
    value = getattr(holder, name, None)
    return value if isinstance(value, str) else ""


def _code_of(response: Any) -> str:
    details = getattr(response, "status_details", None)
    return _text(getattr(details, "error", None), "code") or _text(response, "status")


def _of_code(code: str) -> ProviderError:
    """What an error event, or a response that failed, means."""
    if code == "rate_limit_exceeded":
        message = f"{NAME} answered {code}"
        return ProviderBusyError(Stage.TTS, NAME, message, retry_after=None)
    if code in ("insufficient_quota", "model_not_found", "invalid_value", "invalid_api_key"):
        return _fault(f"answered {code}: check account, model and voice", retryable=False)
    return _fault(f"did not speak: {code or 'no reason given'}", retryable=True)


def _fault(what: str, *, retryable: bool) -> ProviderError:
    return ProviderError(Stage.TTS, NAME, f"{NAME} {what}", retryable=retryable)
