"""A person is forgotten while the service runs: what it had in memory goes as well."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from tests.support.archive import PIERRE, House
from tests.support.service import REPOSITORY, ServiceInstance
from voicebot import models, script_file
from voicebot.prompts import learned
from voicebot.prompts.cache import PromptCache
from voicebot.providers import local_tts

pytestmark = pytest.mark.service

OF_PIERRE = "Très bien dupont, je regarde."
OF_NOBODY = "Regardez les voyants de votre box et dites-moi lesquels sont rouges."


def learn(cache: Path, *texts: str) -> None:
    """As if the embedded voice had said it in three calls, and nobody had seen the name."""
    script = script_file.load()
    voice = local_tts.make_voice(
        models.paths(REPOSITORY / "var/models"), script.voice,
        language=script.language, pronunciations=script.pronunciations,
    )  # fmt: skip
    shelf = PromptCache(cache / learned.FOLDER, local_tts.identity(voice))
    for text in texts:
        asyncio.run(shelf.add(text, b"\1\0" * 8000))


def test_a_running_service_forgets_a_learnt_sentence(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    shutil.copytree(REPOSITORY / "var/cache", cache)  # prompts: none has to be rendered
    shutil.rmtree(cache / learned.FOLDER, ignore_errors=True)
    learn(cache, OF_PIERRE, OF_NOBODY)
    House(tmp_path).live(1)
    with ServiceInstance(tmp_path, CACHE_DIR=str(cache)) as service:
        assert service.count("learned_sentences") == 2
        told = service.command("forget", PIERRE, "--yes")
        assert "learnt      1 sentences" in told
        assert "the running service has let go of 1 learnt sentences" in told
        assert "nothing is left" in told
        assert service.count("learned_sentences") == 1
        assert "the running service has let go of 0" in service.command("forget", PIERRE, "--yes")
        assert service.stop() == 0
    assert [*(cache / learned.FOLDER).glob("*.slin")], "that of nobody is still there"
