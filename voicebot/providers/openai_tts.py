"""Text to speech by OpenAI: one request a sentence, raw PCM at 24 kHz played while it arrives.

Also speaks to whatever offers the same ``/audio/speech`` at another ``OPENAI_BASE_URL``. The kit is
imported when the voice is made, not with this module: without its key nobody pays the 48 MB. Of the
kit's comforts the waits of ten minutes and the retries are off: in a call both come too late, and
what to do instead is the chain's decision.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import cast

from voicebot.providers.cloud_tts import CloudTextToSpeech
from voicebot.providers.errors import of_status
from voicebot.providers.in_time import Limits
from voicebot.providers.interfaces import ProviderError, Stage
from voicebot.providers.pace import Pace
from voicebot.providers.usage import this_call

NAME = "openai"
KEY_SETTING = "OPENAI_API_KEY"
PCM_RATE = 24_000
"""Hertz of ``response_format="pcm"`` (their documentation); it has no header that would say so."""


REQUEST_ID = "X-Client-Request-Id"
"""A header that OpenAI keeps with its log of the request, for its support to find it by."""


JOINED = 19_200
"""Bytes from which on what has come meanwhile is passed on (0.4 s), as is a piece that is longer by
itself. Each piece on its own goes through all our layers; for more the C library would get memory
from the kernel, each time anew."""


def identity(model: str, voice: str, instructions: str) -> str:
    """Changes whenever the same text would sound different."""
    return " ".join(part for part in (NAME, model, voice, instructions) if part)


class OpenAIClient:
    """One for the process. The owner owes a :meth:`close`."""

    def __init__(self, key: str, base_url: str, *, timeout: float) -> None:
        """*timeout*: seconds for any single wait of a request."""
        from openai import AsyncOpenAI

        from voicebot.providers import paced_http

        self.sdk = AsyncOpenAI(
            api_key=key,
            base_url=base_url,
            max_retries=0,
            http_client=paced_http.client(timeout),
        )
        self.read_at = paced_http.read_at

    async def close(self) -> None:
        await self.sdk.close()


class OpenAITextToSpeech(CloudTextToSpeech):
    """*instructions* say how to speak; empty for models that take none (``tts-1``)."""

    name = NAME
    rate = PCM_RATE

    def __init__(
        self, client: OpenAIClient, limits: Limits, *, model: str, voice: str, instructions: str
    ) -> None:
        super().__init__(limits)
        from openai import omit

        self.voice = identity(model, voice, instructions)
        self._client = client
        self._model = model
        self._speaker = voice
        self._instructions = instructions or omit

    async def request(self, text: str, pace: Pace | None = None) -> AsyncGenerator[bytes, None]:
        answer = self._client.sdk.audio.speech.with_streaming_response.create(
            model=self._model,
            voice=self._speaker,
            input=text,
            response_format="pcm",
            instructions=self._instructions,
            extra_headers={REQUEST_ID: call} if (call := this_call()) else None,
        )
        async with answer as response:
            source = cast(AsyncGenerator[bytes, None], response.iter_bytes())
            held = b""
            with self._client.read_at(pace, response.http_response) as next_is_here:
                async with aclosing(source) as pieces:
                    async for piece in pieces:
                        held += piece
                        if len(held) >= JOINED or not next_is_here(piece):
                            yield held
                            held = b""
            if held:
                yield held

    def explain(self, error: Exception) -> ProviderError | None:
        import httpx2
        from openai import APIError, APIStatusError

        match error:
            case APIStatusError():
                headers = error.response.headers
                reason = str(error.code or "")
                retry_after = headers.get("retry-after")
                return of_status(
                    Stage.TTS, NAME, KEY_SETTING, error.status_code, reason, retry_after
                )
            case APIError() | httpx2.HTTPError():
                cause = error.__cause__ or error
                what = f"{NAME} could not be reached: {cause or type(cause).__name__}"
                return ProviderError(Stage.TTS, NAME, what, retryable=True)
        return None
