"""What Deepgram's two stages share: the one client of the process, and what its errors mean.

The kit is imported when the client is made, not with this module: a service without its key does
not pay the 28 MB. The kit's own WebSocket connect builds a TLS context for each call (17 ms in
which no caller gets audio) and takes 20 s to let go of a peer that hangs; it is replaced by one
with a shared context, pings and short waits, at the name through which the kit itself allows
transports to be replaced.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from voicebot.audio.pcm import SAMPLE_RATE
from voicebot.providers import deepgram_flux
from voicebot.providers.errors import of_status
from voicebot.providers.interfaces import ProviderError, Stage
from voicebot.providers.pools import CONNECT_SECONDS, KEEP_IDLE_SECONDS, MOST_CONNECTIONS, tls
from voicebot.providers.usage import this_call

NAME = "deepgram"
KEY_SETTING = "DEEPGRAM_API_KEY"
PING_SECONDS = 5.0  #: between pings, and for an answer: a dead peer is found in twice that
CLOSE_SECONDS = 0.5  #: for the peer's goodbye, then the socket is dropped


class DeepgramClient:
    """One for the process. The owner owes a :meth:`close`."""

    def __init__(self, key: str, base_url: str, *, timeout: float) -> None:
        """*timeout*: seconds for any single wait of an HTTP request."""
        import httpx
        from deepgram import AsyncDeepgramClient
        from deepgram.environment import DeepgramClientEnvironment

        _replace_connect()
        socket_url = _socket_url(base_url)
        self._http = httpx.AsyncClient(
            verify=tls(),
            timeout=httpx.Timeout(timeout, connect=CONNECT_SECONDS),
            limits=httpx.Limits(
                max_connections=MOST_CONNECTIONS,
                max_keepalive_connections=MOST_CONNECTIONS,
                keepalive_expiry=KEEP_IDLE_SECONDS,
            ),
        )
        self._sdk = AsyncDeepgramClient(
            api_key=key,
            environment=DeepgramClientEnvironment(
                base=base_url.rstrip("/"),
                production=socket_url,
                agent=socket_url,
                agent_rest=base_url.rstrip("/"),
            ),
            httpx_client=self._http,
        )

    def listen(
        self,
        *,
        call_id: str,
        model: str,
        language: str,
        keyterms: Sequence[str],
        keep_private: bool,
    ) -> AbstractAsyncContextManager[Any]:
        """A live transcription of slin. Our VAD says when a turn ends, so theirs is off."""
        socket: AbstractAsyncContextManager[Any] = self._sdk.listen.v1.connect(
            model=model,
            language=language,
            encoding="linear16",
            sample_rate=SAMPLE_RATE,
            channels=1,
            interim_results=True,
            endpointing=False,
            punctuate=True,
            smart_format=True,
            numerals=True,
            keyterm=list(keyterms) or None,
            mip_opt_out=keep_private,
            tag=call_id,
        )
        return socket

    def listen_for_turns(
        self,
        *,
        call_id: str,
        model: str,
        language: str,
        keyterms: Sequence[str],
        keep_private: bool,
    ) -> AbstractAsyncContextManager[Any]:
        """The same by Flux, their second protocol. Only its multilingual model takes a hint."""
        hint = {"language_hint": [language]} if model.endswith("-multi") else {}
        socket: AbstractAsyncContextManager[Any] = self._sdk.listen.v2.connect(
            model=model,
            encoding="linear16",
            sample_rate=SAMPLE_RATE,
            eot_threshold=deepgram_flux.THRESHOLD,
            eager_eot_threshold=deepgram_flux.EAGER_THRESHOLD,
            eot_timeout_ms=deepgram_flux.TIMEOUT_MS,
            numerals="true",
            keyterm=list(keyterms) or None,
            mip_opt_out=keep_private,
            tag=call_id,
            **hint,
        )
        return socket

    def speak(
        self, text: str, *, voice: str, keep_private: bool
    ) -> AbstractAsyncContextManager[Any]:
        """One sentence as slin; the result's ``data`` yields bytes."""
        audio = self._sdk.speak.v1.audio.with_raw_response
        response: AbstractAsyncContextManager[Any] = audio.generate(
            text=text,
            model=voice,
            encoding="linear16",
            container="none",
            sample_rate=SAMPLE_RATE,
            mip_opt_out=keep_private,
            tag=this_call() or None,
            request_options={"max_retries": 0},
        )
        return response

    async def close(self) -> None:
        await self._http.aclose()


def socket_error(error: Exception) -> ProviderError | None:
    """What a fault of the live socket means; None if it is no fault of Deepgram or the network."""
    from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

    match error:
        case InvalidStatus():
            headers = error.response.headers
            reason = headers.get("dg-error", "")
            return _of_status(
                Stage.STT, error.response.status_code, reason, headers.get("retry-after")
            )
        case ConnectionClosed():
            closing = error.rcvd
            reason = f"{closing.code} {closing.reason}".strip() if closing else "connection lost"
            return _broken(Stage.STT, f"ended the transcription: {reason}")
        case TimeoutError():
            return _broken(Stage.STT, f"could not be reached in {CONNECT_SECONDS:g} s")
        case WebSocketException() | OSError():
            return _broken(Stage.STT, f"could not be reached: {error}")
    return None


def request_error(error: Exception) -> ProviderError | None:
    """What a fault of an HTTP request means; None as above."""
    import httpx
    from deepgram.core.api_error import ApiError

    match error:
        case ApiError():
            headers = error.headers or {}
            reason = headers.get("dg-error", "")
            return _of_status(Stage.TTS, error.status_code or 0, reason, headers.get("retry-after"))
        case httpx.HTTPError():
            return _broken(Stage.TTS, f"could not be reached: {error or type(error).__name__}")
    return None


def _of_status(stage: Stage, status: int, reason: str, retry_after: str | None) -> ProviderError:
    return of_status(stage, NAME, KEY_SETTING, status, reason, retry_after)


def _broken(stage: Stage, what: str) -> ProviderError:
    return ProviderError(stage, NAME, f"{NAME} {what}", retryable=True)


def _socket_url(base_url: str) -> str:
    parts = urlsplit(base_url.rstrip("/"))
    scheme = {"https": "wss", "http": "ws"}.get(parts.scheme, parts.scheme)
    return urlunsplit(parts._replace(scheme=scheme))


def _replace_connect() -> None:
    """Give the kit our way to connect. Idempotent."""
    import deepgram.listen.v1.client
    import deepgram.listen.v2.client
    from websockets.asyncio.client import connect

    name = "websockets_client_connect"
    kits = (deepgram.listen.v1.client, deepgram.listen.v2.client)
    if not all(hasattr(kit, name) for kit in kits):
        raise ProviderError(
            Stage.STT,
            NAME,
            f"this deepgram-sdk has no {name}; install the version in requirements/cloud.txt",
            retryable=False,
        )
    context = tls()

    def our_connect(url: str, extra_headers: Any = None) -> Any:
        return connect(
            url,
            additional_headers=extra_headers,
            ssl=context if url.startswith("wss:") else None,
            compression=None,
            open_timeout=CONNECT_SECONDS,
            ping_interval=PING_SECONDS,
            ping_timeout=PING_SECONDS,
            close_timeout=CLOSE_SECONDS,
            user_agent_header=None,
            proxy=None,
        )

    for kit in kits:
        setattr(kit, name, our_connect)
