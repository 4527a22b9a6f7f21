"""The speech engines and language models that the settings ask for, built, started and stopped.

The embedded engine is there unless ``EMBEDDED_ENGINE`` is false: models checked, one worker process
a core, Whisper and Kokoro loaded in each of them before the first call. With keys, clouds are put
before it (:mod:`voicebot.speech.chains`), and the fixed sentences are rendered in the voice that
speaks first. The workers are there in any case: they do more than speech.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import structlog

from voicebot import models
from voicebot.audio.vad import SileroVad, SileroWeights
from voicebot.config import Settings
from voicebot.dialogue.script import Script
from voicebot.prompts.cache import PromptCache, recorded_in
from voicebot.prompts.learned import Learned, Privacy
from voicebot.prompts.studio import Studio
from voicebot.providers import local_stt, local_tts, turn_ends
from voicebot.providers.interfaces import (
    LanguageModel,
    ProviderError,
    SpeechToText,
    Stage,
    TextToSpeech,
)
from voicebot.providers.prices import Prices
from voicebot.providers.turn_ends import TurnEnds
from voicebot.speech import chains
from voicebot.speech.clouds import Clouds
from voicebot.telemetry.metrics import Metrics
from voicebot.workers.jobs import Call
from voicebot.workers.layout import CoreLayout, layout
from voicebot.workers.pool import WorkerPool

log = structlog.get_logger(__name__)


CLOUD_PROMPTS_AT_ONCE = 4
"""Sentences rendered together by a cloud: few enough for the smallest account."""


UNUSED_DAYS = 30.0
"""A rendered sentence that no start has wanted for so long is removed, whichever voice spoke it."""


@dataclass(frozen=True, slots=True)
class PromptVoice:
    """Who can render the fixed sentences, and where they are kept."""

    tts: TextToSpeech
    """Speaks whole sentences, slowly if need be."""
    cache: PromptCache
    at_once: int


@dataclass(slots=True)
class Engines:
    """Everything that listens and speaks. The owner owes a :meth:`close`."""

    stt: SpeechToText
    llm: LanguageModel | None
    """None: the script's rules understand alone."""
    tts: TextToSpeech
    prompts: PromptCache
    """Empty until :meth:`render_prompts`."""
    prompt_voices: Sequence[PromptVoice]
    """The best first; the last is the embedded one, if there is one."""
    vad: SileroVad
    pool: WorkerPool
    clouds: Clouds
    turn_ends: TurnEnds | None = None
    """None: nobody listens for the ends of turns."""
    prompt_tts: TextToSpeech | None = None
    """Who spoke the prompts."""

    async def render_prompts(self, texts: Sequence[str]) -> None:
        """Have *texts* in memory, all in one voice: the first that can make those that are missing.

        Touches the disk. Raises PromptError, and ProviderError if even the last voice fails.
        """
        for voice in self.prompt_voices:
            missing = voice.cache.load(texts)
            if missing:
                log.info("rendering prompts", missing=len(missing), total=len(texts))
                try:
                    await voice.cache.render(
                        voice.tts, missing, at_once=voice.at_once, studio=Studio(self.pool)
                    )
                except ProviderError as error:
                    if voice is self.prompt_voices[-1]:
                        raise
                    log.warning(
                        "prompts are spoken by another voice",
                        voice=voice.tts.voice,
                        reason=str(error),
                    )
                    continue
            self.prompts = voice.cache
            self.prompt_tts = voice.tts
            voice.cache.used(texts)
            voice.cache.sweep(UNUSED_DAYS)
            log.info("prompts loaded", count=len(texts), voice=voice.tts.voice)
            return

    def learned(self, script: Script, directory: Path, metrics: Metrics) -> Learned:
        """The prompts, and what is learnt beside them. After :meth:`render_prompts`."""
        assert self.prompt_tts is not None, "there are prompts"
        return Learned(
            self.prompts, directory, self.prompt_tts, Studio(self.pool), Privacy(script), metrics
        )

    async def close(self) -> None:
        await self.clouds.close()
        await self.pool.close()


def core_layout(settings: Settings) -> CoreLayout:
    """Which core does what. Raises LayoutError."""
    loop_core = settings.loop_core if settings.loop_core >= 0 else None
    return layout(os.sched_getaffinity(0), loop_core, settings.worker_cores)


async def start(
    settings: Settings, script: Script, prices: Prices, cores: CoreLayout, metrics: Metrics
) -> Engines:
    """Check the models, start and warm the workers. Raises ModelError, VadWeightsError,
    ProviderError or WorkerError, each of which says what to do."""
    by_ear = chains.listens_for_turn_ends(settings)
    paths = await asyncio.to_thread(
        models.ensure, settings.models_dir, embedded=settings.embedded_engine, turns=by_ear
    )
    log.info("models checked", embedded=settings.embedded_engine, turn_ends=by_ear)
    vad = SileroVad(SileroWeights.load(paths.vad))
    warm = [turn_ends.warm_call(paths.turn)] if by_ear else []
    if settings.embedded_engine:
        embedded, pool = _embedded(settings, paths, script, cores, metrics, warm)
    else:
        embedded, pool = None, _pool(settings, cores, metrics, warm)
    async with AsyncExitStack() as undo:
        undo.push_async_callback(pool.close)
        # The workers load their engines on their cores, while the clouds' kits are imported here.
        workers = asyncio.ensure_future(pool.start())
        undo.push_async_callback(_cancel, workers)
        made = await asyncio.to_thread(
            chains.clouds, settings, script.language, script.recognition.prompt, prices, metrics
        )
        undo.push_async_callback(made.close)
        _announce_unpriced(settings, prices)
        stt, tts = (embedded.stt, embedded.tts) if embedded else (None, None)
        speech = chains.build(settings, made, stt, tts, metrics)
        prompt_voices = _prompt_voices(settings, speech.prompt_voices, embedded, pool)
        await asyncio.gather(workers, chains.warm(made, speech))
        undo.pop_all()
    log.info(
        "speech engines ready",
        stt=chains.stt_order(settings),
        llm=chains.llm_order(settings),
        tts=chains.tts_order(settings),
        worker_cores=cores.workers,
    )
    return Engines(
        speech.stt,
        speech.llm,
        speech.tts,
        prompt_voices[-1].cache,
        prompt_voices,
        vad,
        pool,
        made,
        turn_ends.TurnEnds(pool, paths.turn, metrics) if by_ear else None,
    )


async def _cancel(task: asyncio.Future[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _announce_unpriced(settings: Settings, prices: Prices) -> None:
    for model in chains.unpriced(settings, prices):
        log.warning(
            "model has no price; what calls cost is not known",
            model=model,
            advice="add it to the price table (PRICES_FILE)",
        )


@dataclass(frozen=True, slots=True)
class _Embedded:
    stt: SpeechToText
    tts: TextToSpeech
    prompt_voice: TextToSpeech


def _pool(
    settings: Settings, cores: CoreLayout, metrics: Metrics, warm: Sequence[Call] = ()
) -> WorkerPool:
    return WorkerPool(
        cores.workers, metrics, warm=warm, most_memory=settings.worker_memory * 1_000_000
    )


def _embedded(
    settings: Settings,
    paths: models.ModelPaths,
    script: Script,
    cores: CoreLayout,
    metrics: Metrics,
    warm: Sequence[Call],
) -> tuple[_Embedded, WorkerPool]:
    """The offline engine, and the workers that have it loaded."""
    voice = local_tts.make_voice(
        paths, script.voice, language=script.language, pronunciations=script.pronunciations
    )
    engines = (local_stt.warm_call(paths.whisper), local_tts.warm_call(voice))
    pool = _pool(settings, cores, metrics, (*engines, *warm))
    stt = local_stt.LocalSpeechToText(
        pool,
        paths.whisper,
        language=script.language,
        prompt=script.recognition.prompt,
        yes_words=script.recognition.yes,
        no_words=script.recognition.no,
    )
    tts = local_tts.LocalTextToSpeech(pool, voice)
    return _Embedded(stt, tts, local_tts.LocalTextToSpeech(pool, voice, whole=True)), pool


def _prompt_voices(
    settings: Settings,
    clouds: Sequence[TextToSpeech],
    embedded: _Embedded | None,
    pool: WorkerPool,
) -> list[PromptVoice]:
    spoken_by_people = recorded_in(settings.recorded_prompts)

    def cache(voice: TextToSpeech) -> PromptCache:
        return PromptCache(
            settings.cache_dir,
            voice.voice,
            shipped=settings.prompts_dir,
            recorded=spoken_by_people,
        )

    voices = [PromptVoice(voice, cache(voice), CLOUD_PROMPTS_AT_ONCE) for voice in clouds]
    if embedded is not None:
        local = embedded.prompt_voice
        voices.append(PromptVoice(local, cache(local), pool.size))
    if not voices:
        message = "every voice of TTS_CHAIN is switched off by its vendor; choose another model"
        raise ProviderError(Stage.TTS, "", message, retryable=False)
    return voices
