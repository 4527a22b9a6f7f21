"""The emulator with the embedded engines behind it: it really listens, and speaks well."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.support.cloud import clip
from voicebot import config
from voicebot.audio.pcm import SAMPLE_RATE
from voicebot.emulator import engines
from voicebot.emulator.words import joined

pytestmark = pytest.mark.speech


def test_it_understands_what_is_in_no_list_and_speaks_it_again(tmp_path: Path) -> None:
    async def story() -> None:
        async with engines.embedded(
            Path(config.load().models_dir), None, listens=True, speaks=True
        ) as (whisper, kokoro):
            assert whisper is not None
            assert kokoro is not None
            sentences = engines.Sentences(kokoro, tmp_path)
            said = await sentences.speak("Débranchez votre box.", "linear16", SAMPLE_RATE)
            for pcm, expected in ((clip("oui-c-est-ca"), "c'est ça"), (said, "votre box")):
                words, _ = await whisper.recognise(pcm, final=True)
                assert expected in joined(words).lower()
            assert words[0].start < words[-1].end <= len(said) / 16_000

    asyncio.run(story())
