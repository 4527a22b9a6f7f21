"""Text to speech by Deepgram Aura-2: one request a sentence, slin as it is made."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from voicebot.audio.pcm import SAMPLE_RATE
from voicebot.providers import deepgram_client
from voicebot.providers.cloud_tts import CloudTextToSpeech
from voicebot.providers.deepgram_client import DeepgramClient
from voicebot.providers.in_time import Limits
from voicebot.providers.interfaces import ProviderError
from voicebot.providers.pace import Pace


def identity(voice: str) -> str:
    """Changes whenever the same text would sound different."""
    return f"{deepgram_client.NAME} {voice}"


class DeepgramTextToSpeech(CloudTextToSpeech):
    """*voice* is a model in their terms, such as ``aura-2-agathe-fr``."""

    name = deepgram_client.NAME
    rate = SAMPLE_RATE

    def __init__(
        self, client: DeepgramClient, limits: Limits, *, voice: str, keep_private: bool
    ) -> None:
        super().__init__(limits)
        self.voice = identity(voice)
        self._client = client
        self._model = voice
        self._keep_private = keep_private

    async def request(self, text: str, pace: Pace | None = None) -> AsyncGenerator[bytes, None]:
        answer = self._client.speak(text, voice=self._model, keep_private=self._keep_private)
        async with answer as response:
            async for piece in response.data:
                yield piece

    def explain(self, error: Exception) -> ProviderError | None:
        return deepgram_client.request_error(error)
