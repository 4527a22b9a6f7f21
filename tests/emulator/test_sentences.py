"""What the emulator says is made once, and to its end."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
import uvloop

from voicebot.audio.pcm import FRAME_SAMPLES
from voicebot.emulator import engines
from voicebot.simulator.tape import SILENT_PEAK


def test_a_sentence_is_made_once_for_all_who_ask_and_kept_on_disk(tmp_path: Path) -> None:
    class Slow:
        about = "slow"
        made = 0

        async def speak(self, text: str) -> tuple[bytes, int]:
            self.made += 1
            await asyncio.sleep(0)
            return b"\x01\x00" * 800, 8000

    async def story() -> None:
        speaker = Slow()
        sentences = engines.Sentences(speaker, tmp_path)
        together = [sentences.speak("Oui.", "linear16", rate) for rate in (8000, 8000, 24_000)]
        first, second, third = await asyncio.gather(*together)
        assert first == second
        assert len(third) == 3 * len(first)
        await engines.Sentences(speaker, tmp_path).speak("Oui.", "mulaw", 8000)
        assert speaker.made == 1

    asyncio.run(story())


@pytest.mark.parametrize("encoding", ["linear16", "mp3"])
def test_whoever_goes_away_leaves_no_program_running(encoding: str) -> None:
    async def story() -> None:
        sentences = engines.Sentences(engines.Espeak())
        asking = asyncio.create_task(sentences.speak("Un, deux, trois.", encoding, 24_000))
        await asyncio.sleep(0.01)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await sentences.close()
        assert await sentences.speak("Un, deux, trois.", encoding, 24_000)

    uvloop.run(story())


def test_the_robot_is_never_silent_to_the_last_bit() -> None:
    """Else a listener who looks for drop-outs (``voicebot demo``) finds one at each pause."""

    async def story() -> None:
        sentences = engines.Sentences(engines.Espeak())
        slin = await sentences.speak("Merci. Je relis votre numéro, un instant.", "linear16", 8000)
        samples = np.frombuffer(slin, "<i2").astype(int)
        loud = np.abs(samples) > SILENT_PEAK
        longest = np.diff(np.flatnonzero(np.concatenate(([True], loud, [True])))).max()
        assert longest < FRAME_SAMPLES
        assert abs(samples).max() > 5000

    asyncio.run(story())
