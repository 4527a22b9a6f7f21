"""What goes to the recogniser, and when. Its socket is ours here; the kit's is in tests/cloud."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from typing import Any

import pytest

from tests.support import virtual_time
from voicebot.audio.pcm import FRAME_BYTES
from voicebot.providers.deepgram_stt import FLUX, NOVA, DeepgramSpeechStream, Dialect
from voicebot.providers.interfaces import Stage
from voicebot.providers.prices import Prices
from voicebot.providers.usage import Meter
from voicebot.telemetry.metrics import Metrics

FRAME = bytes(FRAME_BYTES)


class Socket:
    """Takes everything, and never answers."""

    def __init__(self) -> None:
        self.messages: list[int | str] = []
        """Bytes of each message of audio; "ask" for a wish for finals."""

    async def send_media(self, pcm: bytes) -> None:
        self.messages.append(len(pcm))

    async def send_finalize(self) -> None:
        self.messages.append("ask")

    send_force_end_turn = send_finalize

    def __aiter__(self) -> Socket:
        return self

    async def __anext__(self) -> Any:
        await asyncio.Event().wait()


def speak(dialect: Dialect, frames: int) -> list[int | str]:
    """What is sent of a turn of *frames* frames and a pause, after half a second of silence."""
    socket = Socket()

    @asynccontextmanager
    async def connect(call_id: str) -> AsyncIterator[Socket]:
        yield socket

    async def story() -> None:
        meter = Meter(Stage.STT, "deepgram", "nova-3", Prices("USD", date.min, {}), Metrics())
        stream = DeepgramSpeechStream(
            dialect, connect, "call", lambda t: None, lambda e: None, timeout=9.0, meter=meter
        )
        for _ in range(25):
            stream.push(FRAME)
            await asyncio.sleep(0.02)
        assert socket.messages == [], "nobody has spoken"
        stream.speech_started()
        for _ in range(frames):
            await asyncio.sleep(0.02)
            stream.push(FRAME)
        stream.speech_paused(1)
        await asyncio.sleep(0.02)
        await stream.close()

    virtual_time.run(story())
    return socket.messages


def test_audio_goes_to_nova_as_it_comes() -> None:
    """What it has late, it answers late, and the caller waits for it."""
    before, *turn = speak(NOVA, 7)
    assert isinstance(before, int)
    assert before > FRAME_BYTES, "what came before speech was noticed"
    assert turn == [FRAME_BYTES] * 7 + ["ask"]


def test_flux_gets_the_pieces_that_it_recommends_and_the_rest_before_the_wish() -> None:
    _, *turn = speak(FLUX, 7)
    assert turn == [4 * FRAME_BYTES, 3 * FRAME_BYTES, "ask"]


@pytest.mark.parametrize("dialect", [NOVA, FLUX])
def test_a_pause_asks_after_everything_that_was_said(dialect: Dialect) -> None:
    messages = speak(dialect, 9)
    assert messages.index("ask") == len(messages) - 1
    assert sum(size for size in messages[1:-1] if isinstance(size, int)) == 9 * FRAME_BYTES
