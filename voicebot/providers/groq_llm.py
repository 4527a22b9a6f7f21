"""Groq's chat completions as the language model: one request a turn, read while it is written.

The kit is imported when the client is made, not with this module. Of the kit's comforts the
retries are off (it would sleep for as long as a ``retry-after`` asks, inside the call), and the
messages go past its checks: those take 0.1 ms of the event loop for each message, and ours are
right. A reply is read to its end: leaving after the last word would drop the connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from voicebot.providers.errors import of_status
from voicebot.providers.in_time import Asked, Limits, in_time
from voicebot.providers.interfaces import Message, ModelRequest, ProviderError, Role, Stage
from voicebot.providers.pools import CONNECT_SECONDS, KEEP_IDLE_SECONDS, MOST_CONNECTIONS, tls
from voicebot.providers.prices import Unit
from voicebot.providers.usage import Meter

NAME = "groq"
SPARE = "groq_spare"
"""The same service with another model: other limits, another day of retirement."""
KEY_SETTING = "GROQ_API_KEY"
TEMPERATURE = 0.2
"""Low: what is wanted is what the caller meant, in a fixed form."""
CHARACTERS_PER_TOKEN = 4
"""For the estimate of a request that was cut off."""
CHECK_MESSAGES = (Message(Role.USER, "Réponds par un seul mot : oui."),)
"""What is asked to see whether the model works, and to warm its connection."""


_Usage = tuple[int, int, int]
"""Tokens read, those of them that were cached, tokens written (reasoning included)."""


class GroqClient:
    """One for the process. The owner owes a :meth:`close`."""

    def __init__(self, key: str, base_url: str, *, timeout: float) -> None:
        """*timeout*: seconds for any single wait of a request."""
        import httpx
        from groq import AsyncGroq

        self.sdk = AsyncGroq(
            api_key=key,
            base_url=base_url,
            max_retries=0,
            http_client=httpx.AsyncClient(
                verify=tls(),
                limits=httpx.Limits(
                    max_connections=MOST_CONNECTIONS,
                    max_keepalive_connections=MOST_CONNECTIONS,
                    keepalive_expiry=KEEP_IDLE_SECONDS,
                ),
                timeout=httpx.Timeout(timeout, connect=CONNECT_SECONDS),
            ),
        )

    async def close(self) -> None:
        await self.sdk.close()


class GroqLanguageModel:
    """A :class:`~voicebot.providers.interfaces.LanguageModel`.

    *effort* is how much it may think before it writes (``low``, ``medium``, ``high``); empty for a
    model that does not think. *meter* is told what each request used.
    """

    def __init__(
        self,
        client: GroqClient,
        limits: Limits,
        *,
        name: str,
        model: str,
        effort: str,
        meter: Meter,
    ) -> None:
        from groq import omit

        self.name = name
        self._client = client
        self._limits = limits
        self._model = model
        self._effort = effort or omit
        self._include_reasoning = False if effort else omit
        self._meter = meter

    async def answer(self, request: ModelRequest) -> AsyncIterator[str]:
        """Yield the reply as it arrives. Raises ProviderError."""
        asked = Asked(Stage.LLM, self.name, "words that can be used", "a reply")
        written, judge = False, request.new_judge()
        serves: float | None = None
        source = in_time(self._request(request), self._limits, asked, self._explain, lambda: serves)
        async with aclosing(source) as pieces:
            async for piece in pieces:
                written, serves = True, judge(piece)
                yield piece
        if not written:
            message = f"{self.name} sent an empty reply"
            raise ProviderError(Stage.LLM, self.name, message, retryable=True)

    async def check(self) -> None:
        """Ask for one word: are key, model and network right? Raises ProviderError."""
        async for _ in self.answer(ModelRequest(CHECK_MESSAGES, max_tokens=64)):
            pass

    async def _request(self, request: ModelRequest) -> AsyncGenerator[str, None]:
        from groq.types.chat import ChatCompletion

        messages = [{"role": m.role.value, "content": m.content} for m in request.messages]
        pieces = 0
        usage: _Usage | None = None
        costs = False
        try:
            stream = await self._client.sdk.chat.completions.create(
                model=self._model,
                stream=True,
                messages=[],
                extra_body={"messages": messages},
                max_completion_tokens=request.max_tokens,
                reasoning_effort=self._effort,  # type: ignore[arg-type]  # a setting, checked there
                include_reasoning=self._include_reasoning,
                temperature=TEMPERATURE,
                # OpenAI's header for what a client calls its request; Groq takes and ignores it.
                extra_headers={"X-Client-Request-Id": request.call_id} if request.call_id else None,
            )
            costs = True
            assert not isinstance(stream, ChatCompletion), "a stream was asked for"
            async with stream:
                async for chunk in stream:
                    usage = _usage(chunk) or usage
                    if text := _text(chunk):
                        pieces += 1
                        yield text
        except asyncio.CancelledError:
            costs = True  # it was sent, and nobody waited for the answer
            raise
        finally:
            if costs:
                self._count(usage or _estimated(request, pieces))

    def _count(self, usage: _Usage) -> None:
        read, cached, written = usage
        self._meter.count(Unit.INPUT_TOKENS, read - cached)
        self._meter.count(Unit.CACHED_TOKENS, cached)
        self._meter.count(Unit.OUTPUT_TOKENS, written)

    def _explain(self, error: Exception) -> ProviderError | None:
        import httpx
        from groq import APIError, APIStatusError

        match error:
            case APIStatusError():
                headers = error.response.headers
                return of_status(
                    Stage.LLM,
                    self.name,
                    KEY_SETTING,
                    error.status_code,
                    _code(error.body),
                    headers.get("retry-after"),
                )
            case APIError() | httpx.HTTPError():
                cause = error.__cause__ or error
                what = f"{self.name} could not be reached: {cause or type(cause).__name__}"
                return ProviderError(Stage.LLM, self.name, what, retryable=True)
            case ValueError() | AttributeError() | TypeError():
                # The kit does not check what it is sent: not JSON, or not the JSON of a reply.
                what = f"{self.name} sent what is no reply: {type(error).__name__}"
                return ProviderError(Stage.LLM, self.name, what, retryable=True)
        return None


# The kit makes objects of whatever it is sent, with what is missing left out.


def _text(chunk: Any) -> str:
    """What the model wrote in *chunk*; empty if it is about something else."""
    choices = getattr(chunk, "choices", None)
    text = getattr(getattr(choices[0], "delta", None), "content", None) if choices else None
    return text if isinstance(text, str) else ""


def _usage(chunk: Any) -> _Usage | None:
    """What the request used, if *chunk* is the one that tells, and what it tells can be."""
    usage = getattr(getattr(chunk, "x_groq", None), "usage", None)
    details = getattr(usage, "prompt_tokens_details", None)
    read = getattr(usage, "prompt_tokens", None)
    written = getattr(usage, "completion_tokens", None)
    cached = getattr(details, "cached_tokens", None)
    cached = cached if isinstance(cached, int) else 0
    if not isinstance(read, int) or not isinstance(written, int):
        return None
    return (read, cached, written) if 0 <= cached <= read and written >= 0 else None


def _estimated(request: ModelRequest, pieces: int) -> _Usage:
    """What a request used that was cut off, so that nobody will say."""
    characters = sum(len(message.content) for message in request.messages)
    return characters // CHARACTERS_PER_TOKEN, 0, pieces


def _code(body: object) -> str:
    """The vendor's own word for what is wrong, if the *body* of its answer has one."""
    error = body.get("error") if isinstance(body, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, str) else ""
