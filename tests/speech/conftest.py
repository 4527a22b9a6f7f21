"""The real engines in one real worker, loaded once for all tests of speech."""

import asyncio
import os
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from voicebot import config, models, script_file
from voicebot.dialogue.script import Script
from voicebot.providers import local_stt, local_tts
from voicebot.telemetry.metrics import Metrics
from voicebot.workers.jobs import Hints
from voicebot.workers.pool import WorkerPool


@dataclass
class Engines:
    """A pool with one worker, and what it needs to listen and speak as the shipped script does."""

    runner: asyncio.Runner
    pool: WorkerPool
    stt: local_stt.LocalSpeechToText
    tts: local_tts.LocalTextToSpeech
    whisper: str
    hints: Hints
    script: Script
    metrics: Metrics

    def run(self, story: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(story)


@pytest.fixture(scope="session")
def model_paths() -> models.ModelPaths:
    return models.ensure(Path(config.load().models_dir))


@pytest.fixture(scope="session")
def engines(model_paths: models.ModelPaths) -> Iterator[Engines]:
    script = script_file.load()
    recognition = script.recognition
    voice = local_tts.make_voice(
        model_paths,
        script.voice,
        language=script.language,
        pronunciations=script.pronunciations,
    )
    warm = (local_stt.warm_call(model_paths.whisper), local_tts.warm_call(voice))
    metrics = Metrics()
    pool = WorkerPool([max(os.sched_getaffinity(0))], metrics, warm=warm)
    stt = local_stt.LocalSpeechToText(
        pool,
        model_paths.whisper,
        language=script.language,
        prompt=recognition.prompt,
        yes_words=recognition.yes,
        no_words=recognition.no,
    )
    hints = Hints(
        script.language, recognition.prompt, tuple(recognition.yes), tuple(recognition.no)
    )
    with asyncio.Runner() as runner:
        runner.run(pool.start())
        yield Engines(
            runner,
            pool,
            stt,
            local_tts.LocalTextToSpeech(pool, voice),
            str(model_paths.whisper),
            hints,
            script,
            metrics,
        )
        runner.run(pool.close())
