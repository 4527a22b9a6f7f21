"""Whom the kits trust, and what that costs."""

from __future__ import annotations

import asyncio
import gc
import ssl

from voicebot.providers.deepgram_client import DeepgramClient
from voicebot.providers.groq_llm import GroqClient
from voicebot.providers.openai_tts import OpenAIClient


def test_the_kits_share_one_set_of_certificates() -> None:
    def contexts() -> list[ssl.SSLContext]:
        # By its type: a proxy of what is gone cannot be asked for anything else.
        return [one for one in gc.get_objects() if issubclass(type(one), ssl.SSLContext)]

    async def make() -> list[ssl.SSLContext]:
        """Clients of all kits; the contexts that there are while they live."""
        kits = (DeepgramClient, GroqClient, OpenAIClient)
        clients = [kit("key", "https://127.0.0.1:1", timeout=1.0) for kit in kits]
        there = contexts()
        for client in clients:
            await client.close()
        return there

    asyncio.run(make())  # imports the kits, which make some of their own while they are imported
    before = contexts()
    assert [one for one in asyncio.run(make()) if one not in before] == []
