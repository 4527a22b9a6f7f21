"""What the tests with the vendors' kits share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.support import cloud
from voicebot.emulator.brain import Brain
from voicebot.emulator.engines import Espeak, KnownClips, Sentences
from voicebot.emulator.latency import Latency, Profile
from voicebot.emulator.server import Emulator

Story = Callable[[Emulator], Awaitable[None]]


@pytest.fixture(scope="session")
def clips() -> KnownClips:
    return KnownClips.load()


@pytest.fixture(scope="session")
def sentences() -> Sentences:
    """Spoken once for all tests."""
    return Sentences(Espeak())


@pytest.fixture
def run(
    clips: KnownClips, sentences: Sentences, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    """Runs a story with an emulator, and sees that nothing is left of it afterwards."""
    cloud.use_modern_websockets(monkeypatch)

    def run(story: Story, profile: Profile | None = None) -> None:
        async def main() -> None:
            latency = Latency(profile or Profile())
            async with Emulator(clips, sentences, latency, Brain.load()) as emulator:
                async with asyncio.timeout(20):
                    await story(emulator)
            assert emulator.open_exchanges() == []

        asyncio.run(main())

    return run
