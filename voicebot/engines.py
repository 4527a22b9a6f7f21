"""The speech engines that the settings ask for, built, started and stopped together.

Today that is the embedded engine: models checked, one worker process a core, Whisper and Kokoro
loaded in each of them before the first call.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass

import structlog

from voicebot import models
from voicebot.audio.vad import SileroVad, SileroWeights
from voicebot.config import Settings
from voicebot.dialogue.script import Script
from voicebot.prompts import PromptCache
from voicebot.providers import local_stt, local_tts
from voicebot.providers.instrumented import InstrumentedSpeechToText, InstrumentedTextToSpeech
from voicebot.providers.interfaces import SpeechToText, TextToSpeech
from voicebot.telemetry.metrics import Metrics
from voicebot.workers.layout import CoreLayout, layout
from voicebot.workers.pool import WorkerPool

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Engines:
    """Everything that listens and speaks. The owner owes a :meth:`close`."""

    stt: SpeechToText
    tts: TextToSpeech
    prompt_tts: TextToSpeech
    """Renders prompts: same voice, whole sentences."""
    prompts: PromptCache
    vad_weights: SileroWeights
    pool: WorkerPool

    def new_vad(self) -> SileroVad:
        """One caller's voice activity detector."""
        return SileroVad(self.vad_weights)

    async def close(self) -> None:
        await self.pool.close()


def core_layout(settings: Settings) -> CoreLayout:
    """Which core does what. Raises LayoutError."""
    loop_core = settings.loop_core if settings.loop_core >= 0 else None
    return layout(os.sched_getaffinity(0), loop_core, settings.worker_cores)


async def start(settings: Settings, script: Script, cores: CoreLayout, metrics: Metrics) -> Engines:
    """Check the models, start and warm the workers. Raises ModelError, VadWeightsError or
    WorkerError, each of which says what to do."""
    paths = await asyncio.to_thread(models.ensure, settings.models_dir)
    voice = local_tts.make_voice(
        paths, script.voice, language=script.language, pronunciations=script.pronunciations
    )
    weights = SileroWeights.load(paths.vad)
    warm = (local_stt.warm_call(paths.whisper), local_tts.warm_call(voice))
    pool = WorkerPool(cores.workers, metrics, warm=warm)
    stt = local_stt.LocalSpeechToText(
        pool,
        paths.whisper,
        language=script.language,
        prompt=script.recognition.prompt,
        yes_words=script.recognition.yes,
        no_words=script.recognition.no,
    )
    tts = local_tts.LocalTextToSpeech(pool, voice)
    prompt_tts = local_tts.LocalTextToSpeech(pool, voice, whole=True)
    prompts = PromptCache(settings.cache_dir, prompt_tts.voice)
    await pool.start()
    log.info("speech engines ready", stt=stt.name, tts=tts.name, worker_cores=cores.workers)
    return Engines(
        InstrumentedSpeechToText(stt, metrics),
        InstrumentedTextToSpeech(tts, metrics),
        prompt_tts,
        prompts,
        weights,
        pool,
    )
