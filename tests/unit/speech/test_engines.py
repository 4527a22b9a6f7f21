"""Whose voice the prompts have: one voice for all of them, the best that can be had."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from voicebot.prompts.cache import PromptCache
from voicebot.providers.interfaces import ProviderError, Stage
from voicebot.speech.clouds import Clouds
from voicebot.speech.engines import Engines, PromptVoice
from voicebot.workers.jobs import LEVEL, Job, Priority
from voicebot.workers.pool import WorkerPool

TEXTS = ["Bonjour.", "Au revoir.", "Un instant."]


@dataclass
class Voice:
    """Speaks until it has spoken *most* sentences."""

    voice: str
    most: int = 99
    name: str = "test"
    made: int = 0

    async def synthesize(self, text: str) -> AsyncIterator[bytes]:
        if self.made >= self.most:
            raise ProviderError(Stage.TTS, self.voice, "out of credit", retryable=False)
        self.made += 1
        yield self.voice[0].encode() * 3200


class Pool:
    """Does no job; what it was given comes back."""

    async def run(self, job: Job, pcm: bytes, *, priority: Priority) -> bytes:
        assert (job, priority) == (LEVEL, Priority.BATCH)
        return pcm


def engines(directory: Path, *voices: Voice) -> Engines:
    prompt_voices = [
        PromptVoice(voice, PromptCache(directory, voice.voice), at_once=1) for voice in voices
    ]
    nothing = cast(Any, None)
    return Engines(
        stt=nothing,
        llm=None,
        tts=nothing,
        prompts=prompt_voices[-1].cache,
        prompt_voices=prompt_voices,
        vad=nothing,
        pool=cast(WorkerPool, Pool()),
        clouds=Clouds(),
    )


def test_the_first_voice_renders_what_is_missing_once(tmp_path: Path) -> None:
    cloud, local = Voice("cloud"), Voice("local")
    for _ in range(2):
        made = engines(tmp_path, cloud, local)
        asyncio.run(made.render_prompts(TEXTS))
        assert {made.prompts.get(text) for text in TEXTS} == {b"c" * 3200}
    assert (cloud.made, local.made) == (3, 0)


def test_when_it_fails_half_way_all_of_them_are_the_next_ones(tmp_path: Path) -> None:
    made = engines(tmp_path, Voice("cloud", most=2), Voice("local"))
    asyncio.run(made.render_prompts(TEXTS))
    assert {made.prompts.get(text) for text in TEXTS} == {b"l" * 3200}

    later = Voice("cloud")
    made = engines(tmp_path, later, Voice("local"))
    asyncio.run(made.render_prompts(TEXTS))
    assert {made.prompts.get(text) for text in TEXTS} == {b"c" * 3200}
    assert later.made == 1, "what had been made was kept"


def test_with_no_voice_left_the_service_does_not_start(tmp_path: Path) -> None:
    made = engines(tmp_path, Voice("cloud", most=0), Voice("local", most=0))
    with pytest.raises(ProviderError, match="out of credit"):
        asyncio.run(made.render_prompts(TEXTS))
