"""The vendors' own kits, set up for the emulator: as a service would set them up, but hasty."""

from __future__ import annotations

import asyncio
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import deepgram.listen.v1.client
import deepgram.listen.v2.client
import deepgram.speak.v1.client
import httpx
import pytest
from deepgram import AsyncDeepgramClient
from deepgram.environment import DeepgramClientEnvironment
from groq import AsyncGroq
from openai import AsyncOpenAI
from websockets.asyncio.client import connect

from voicebot.audio.pcm import BYTES_PER_SECOND, silence
from voicebot.emulator.faults import Vendor
from voicebot.emulator.server import Emulator

CLIPS = Path(__file__).parents[2] / "voicebot" / "data" / "clips"
PATIENCE = 0.4  #: seconds; longer silence of an emulated service is a hang
PLENTY = 5.0  #: for what is not about hanging: the machine may be busy


def clip(name: str, before: float = 0.3, after: float = 0.0) -> bytes:
    """A recorded line of a caller, with that much silence around it; slin."""
    with wave.open(str(CLIPS / f"{name}.wav"), "rb") as file:
        return silence(before) + file.readframes(file.getnframes()) + silence(after)


def use_modern_websockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """deepgram-sdk connects by websockets' deprecated client, which takes 20 s to leave a peer
    that hangs. Its own way to replace that is to replace these names."""

    def modern(url: str, extra_headers: Any = None) -> Any:
        return connect(
            url, additional_headers=extra_headers, compression=None, open_timeout=1.0,
            close_timeout=0.1, proxy=None,
        )  # fmt: skip

    for module in (deepgram.listen.v1.client, deepgram.listen.v2.client, deepgram.speak.v1.client):
        assert hasattr(module, "websockets_client_connect")
        monkeypatch.setattr(module, "websockets_client_connect", modern)


@asynccontextmanager
async def deepgram_client(
    emulator: Emulator, key: str = "key", patience: float = PLENTY
) -> AsyncIterator[AsyncDeepgramClient]:
    web, sockets = emulator.url(Vendor.DEEPGRAM), emulator.url(Vendor.DEEPGRAM, "ws")
    async with httpx.AsyncClient(timeout=patience) as http:
        yield AsyncDeepgramClient(
            api_key=key,
            environment=DeepgramClientEnvironment(
                base=web, production=sockets, agent=sockets, agent_rest=web
            ),
            httpx_client=http,
        )


@asynccontextmanager
async def groq_client(
    emulator: Emulator, key: str = "key", patience: float = PLENTY
) -> AsyncIterator[AsyncGroq]:
    http = httpx.AsyncClient(timeout=patience)
    async with AsyncGroq(
        api_key=key, base_url=emulator.url(Vendor.GROQ), max_retries=0, http_client=http
    ) as client:
        yield client


@asynccontextmanager
async def openai_client(
    emulator: Emulator, key: str = "key", patience: float = PLENTY
) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(
        api_key=key, base_url=f"{emulator.url(Vendor.OPENAI)}/v1", max_retries=0, timeout=patience
    ) as client:
        yield client


async def talk(connection: Any, pcm: bytes, speed: float = 1.0) -> None:
    """Send *pcm* as a call does, 20 ms at a time, *speed* times as fast."""
    step = BYTES_PER_SECOND // 50
    loop = asyncio.get_running_loop()
    start = loop.time()
    for index, at in enumerate(range(0, len(pcm), step)):
        await connection.send_media(pcm[at : at + step])
        await asyncio.sleep(max(0.0, start + index * 0.02 / speed - loop.time()))
