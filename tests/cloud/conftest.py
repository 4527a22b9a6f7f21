"""The chains as the service builds them, with the vendors' own kits, against the emulator."""

from __future__ import annotations

import asyncio
import warnings
import wave
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvloop
import yaml

from tests.support import virtual_time
from tests.support.waiting import until
from voicebot import config
from voicebot.audio.pcm import FRAME_BYTES, SAMPLE_RATE
from voicebot.config import Settings
from voicebot.providers import prices
from voicebot.providers.interfaces import (
    Expectation,
    ProviderError,
    SpeechStream,
    Transcript,
)
from voicebot.providers.prices import Unit
from voicebot.providers.usage import Bill, charged_to
from voicebot.speech import chains
from voicebot.telemetry.metrics import Metrics

with warnings.catch_warnings():  # deepgram-sdk imports what websockets has deprecated
    warnings.simplefilter("ignore", DeprecationWarning)
    import deepgram
    import deepgram.listen.v1.client
    import deepgram.speak.v1.client  # noqa: F401

    from voicebot.emulator.brain import Brain
    from voicebot.emulator.engines import Espeak, KnownClips, Sentences
    from voicebot.emulator.latency import Latency, Profile
    from voicebot.emulator.server import Emulator

STORY_SECONDS = 60.0
AT_ONCE = 4
"""Stories side by side: few enough that none waits for a core."""
CLIPS = Path(__file__).parents[2] / "voicebot" / "data" / "clips"
LOCAL_VOICE = (2000 * np.sin(np.arange(SAMPLE_RATE // 2) * 0.7)).astype("<i2").tobytes()


def clips() -> dict[str, bytes]:
    """The shipped recordings: words to slin."""
    names = yaml.safe_load((CLIPS / "clips.yaml").read_text(encoding="utf-8"))
    found = {}
    for name, text in names.items():
        with wave.open(str(CLIPS / name)) as file:
            found[str(text)] = file.readframes(file.getnframes())
    return found


@dataclass
class LocalEar:
    """Stands in for the embedded recogniser: answers with how much audio it was given."""

    name: str = "local"

    def open(
        self,
        call_id: str,
        on_transcript: Callable[[Transcript], None],
        on_error: Callable[[ProviderError], None],
    ) -> SpeechStream:
        return _LocalStream(on_transcript)


@dataclass
class _LocalStream:
    on_transcript: Callable[[Transcript], None]
    audio: int = 0

    def push(self, pcm: bytes) -> None:
        self.audio += len(pcm)

    def expect(self, expectation: Expectation) -> None: ...

    def speech_started(self) -> None: ...

    def speech_paused(self, pause: int) -> None:
        asyncio.get_running_loop().call_later(
            0.05, self.on_transcript, Transcript(f"local {self.audio}", pause, 1.0)
        )

    def turn_ended(self) -> None:
        self.audio = 0

    async def close(self) -> None: ...


@dataclass
class LocalVoice:
    """Stands in for the embedded voice."""

    name: str = "local"
    voice: str = "local"
    said: list[str] = field(default_factory=list)

    async def synthesize(self, text: str) -> AsyncIterator[bytes]:
        await asyncio.sleep(0.05)
        self.said.append(text)
        yield LOCAL_VOICE


class Stand:
    """Chains of one process, and one call on them."""

    def __init__(self, emulator: Emulator, settings: Settings) -> None:
        self.emulator = emulator
        self.settings = settings
        self.metrics = Metrics()
        self.bill = Bill()
        self.local_voice = LocalVoice()
        self.clouds = chains.clouds(
            settings, "fr", "Oui. Non. Ma box internet.", prices.load(), self.metrics
        )
        self.chains = chains.build(
            settings, self.clouds, LocalEar(), self.local_voice, self.metrics
        )
        self.transcripts: list[Transcript] = []
        self.errors: list[ProviderError] = []
        self.stream: SpeechStream | None = None
        self._pauses = 0

    def call(self) -> SpeechStream:
        charged_to.set(self.bill)
        self.stream = self.chains.stt.open("call", self.transcripts.append, self.errors.append)
        return self.stream

    @property
    def lines_kept(self) -> int:
        """Connections to OpenAI Realtime that wait for whatever is to be said next."""
        voice = self.clouds.voices.get("openai_realtime")
        return len(voice._sessions._idle) if voice is not None else 0  # type: ignore[attr-defined]

    def used(self, provider: str, unit: Unit) -> float:
        """So much is on the bill of the call."""
        return sum(use.amount for use in self.bill if (use.provider, use.unit) == (provider, unit))

    async def say(self, pcm: bytes, *, then: Callable[[], Any] | None = None) -> tuple[str, float]:
        """The caller says *pcm*, after half of which *then* happens; what is understood, and how
        long after it."""
        stream = self.stream or self.call()
        half = len(pcm) // 2 - len(pcm) // 2 % FRAME_BYTES
        stream.speech_started()
        await self._push(stream, pcm[:half])
        if then is not None:
            await then()
        await self._push(stream, pcm[half:])
        stream.push(bytes(10 * FRAME_BYTES))  # the hangover of the VAD
        self._pauses += 1
        stream.speech_paused(self._pauses)
        loop = asyncio.get_running_loop()
        began = loop.time()
        told = self._told()
        while self._told() == told:
            assert loop.time() - began < 5, "an answer"
            await asyncio.sleep(0.02)
            stream.push(bytes(FRAME_BYTES))  # a telephone sends silence, too
        took = loop.time() - began
        stream.turn_ended()
        return self.transcripts[-1].text if self.transcripts else "", took

    def _told(self) -> int:
        return sum(not one.early for one in self.transcripts) + len(self.errors)

    async def _push(self, stream: SpeechStream, pcm: bytes) -> None:
        """Ten times as fast as people speak."""
        for start in range(0, len(pcm), FRAME_BYTES):
            stream.push(pcm[start : start + FRAME_BYTES])
            await asyncio.sleep(0.002)

    async def hear(self, text: str = "Bonjour, je vous écoute.") -> tuple[bytes, float]:
        """What the chain says, and how long until the first of it."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        first = 0.0
        heard = b""
        async for piece in self.chains.tts.synthesize(text):
            first = first or loop.time() - began
            heard += piece
        return heard, first

    def count(self, name: str, **labels: str) -> float:
        value = self.metrics.registry.get_sample_value(f"voicebot_{name}", labels)
        assert value is not None, name
        return value

    def requests(self, stage: str, provider: str, outcome: str) -> float:
        return self.count(
            "provider_requests_total", stage=stage, provider=provider, outcome=outcome
        )

    async def close(self) -> None:
        """End the call and the process; nothing may be left of either."""
        if self.stream is not None:
            await self.stream.close()
        await self.clouds.close()


Story = Callable[[Stand], Coroutine[Any, Any, None]]


@pytest.fixture(scope="session")
def spoken() -> dict[str, bytes]:
    return clips()


@cache
def _recogniser() -> KnownClips:
    return KnownClips.load()


def _emulator() -> Emulator:
    """What ``Emulator.simple()`` makes, without reading the recordings for each story."""
    voice = Sentences(Espeak())
    return Emulator(_recogniser(), voice, Latency(Profile()), Brain.load())


def _player(directory: Path, run_loop: Callable[[Any], Any]) -> Callable[..., None]:
    """Plays stories by *run_loop*, with an empty file of settings in *directory*."""

    async def tell(story: Story, env: dict[str, str], turn: asyncio.Semaphore) -> None:
        async with turn, asyncio.timeout(STORY_SECONDS), _emulator() as emulator:
            (directory / "settings").touch()
            environ = {"VOICEBOT_ENV_FILE": str(directory / "settings")}
            settings = config.load({**environ, **emulator.environment(), **env})
            stand = Stand(emulator, settings)
            try:
                await story(stand)
            finally:
                await stand.close()
                await until(lambda: not emulator.open_exchanges(), 5, "no request left")

    def run(stories: dict[str, Story], **env: str) -> None:
        async def main() -> tuple[list[BaseException | None], list[asyncio.Task[Any]]]:
            turn = asyncio.Semaphore(AT_ONCE)
            told = (tell(story, env, turn) for story in stories.values())
            outcomes = await asyncio.gather(*told, return_exceptions=True)
            left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            return outcomes, left

        outcomes, left = run_loop(main())
        failed = [(name, e) for name, e in zip(stories, outcomes, strict=True) if e is not None]
        for name, error in failed:
            error.add_note(f"in the story {name}")
        if len(failed) > 1:
            raise BaseExceptionGroup("several stories failed", [error for _, error in failed])
        if failed:
            raise failed[0][1]
        assert left == []

    return run


@pytest.fixture
def play_all(tmp_path: Path) -> Callable[..., None]:
    """Run stories side by side, each with chains and an emulator of its own: what takes time in
    them is mostly waiting. All are played out; those that fail are named. *env* changes settings.
    """
    return _player(tmp_path, uvloop.run)


@pytest.fixture
def imagine_all(tmp_path: Path) -> Callable[..., None]:
    """The same on a clock that jumps: sockets, kits and emulator are real, waiting is not. Seconds
    are those that somebody chose to wait, however busy the machine is."""
    return _player(tmp_path, virtual_time.run_with_sockets)


@pytest.fixture
def play(play_all: Callable[..., None]) -> Callable[..., None]:
    """Run one story."""

    def run(story: Story, **env: str) -> None:
        play_all({"": story}, **env)

    return run
