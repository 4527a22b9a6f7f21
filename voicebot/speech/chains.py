"""The chains that the settings ask for, built: gates, counters, fallback.

Only what a chain names is made (:mod:`voicebot.speech.clouds`); without keys the embedded engine
is used as it is.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import structlog

from voicebot.config import Settings
from voicebot.providers import deepgram_tts, fallback, openai_realtime, openai_tts, sunset
from voicebot.providers.deepgram_client import NAME as DEEPGRAM
from voicebot.providers.fallback import Gate
from voicebot.providers.fallback_llm import FallbackLanguageModel, ModelLink
from voicebot.providers.fallback_stt import EarLink, FallbackSpeechToText
from voicebot.providers.fallback_tts import FallbackTextToSpeech, VoiceLink
from voicebot.providers.groq_llm import NAME as GROQ
from voicebot.providers.groq_llm import SPARE as GROQ_SPARE
from voicebot.providers.instrumented import (
    InstrumentedLanguageModel,
    InstrumentedSpeechToText,
    InstrumentedTextToSpeech,
)
from voicebot.providers.interfaces import (
    LanguageModel,
    ProviderError,
    SpeechToText,
    Stage,
    TextToSpeech,
)
from voicebot.providers.openai_realtime import NAME as OPENAI_REALTIME
from voicebot.providers.openai_tts import NAME as OPENAI
from voicebot.providers.prices import Prices
from voicebot.providers.sunset import Sunset
from voicebot.providers.usage import Meter
from voicebot.speech.clouds import Check, Clouds, make
from voicebot.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

LOCAL = "local"
RULES = "rules"
"""What is left where no language model is: the script's own rules, which are no provider."""


def stt_order(settings: Settings) -> tuple[str, ...]:
    """Who listens, in order."""
    if settings.stt_chain:
        return settings.stt_chain
    return (*([DEEPGRAM] if settings.deepgram_api_key else []), *_embedded(settings))


def llm_order(settings: Settings) -> tuple[str, ...]:
    """Who understands what the rules do not, in order; the last is ``rules``: nobody."""
    if settings.llm_chain:
        return settings.llm_chain
    return (*([GROQ, GROQ_SPARE] if settings.groq_api_key else []), RULES)


def tts_order(settings: Settings) -> tuple[str, ...]:
    """Who speaks, in order."""
    if settings.tts_chain:
        return settings.tts_chain
    keys = {
        OPENAI: settings.openai_api_key,
        OPENAI_REALTIME: settings.openai_api_key,
        DEEPGRAM: settings.deepgram_api_key,
    }
    return (*(name for name, key in keys.items() if key), *_embedded(settings))


def listens_for_turn_ends(settings: Settings) -> bool:
    """Whether the workers are asked how a pause sounds. Of their own accord only where a cloud
    recognises: the embedded engine needs them for that, and the answer would come behind it."""
    wanted = settings.listen_for_turn_end
    return wanted == "always" or (wanted == "auto" and stt_order(settings)[:1] != (LOCAL,))


def _embedded(settings: Settings) -> list[str]:
    return [LOCAL] if settings.embedded_engine else []


def models(settings: Settings) -> dict[tuple[Stage, str], Sunset]:
    """The cloud models in the chains, and until when each will be there."""
    of = {
        (Stage.STT, DEEPGRAM): settings.deepgram_model,
        (Stage.LLM, GROQ): settings.groq_model,
        (Stage.LLM, GROQ_SPARE): settings.groq_spare_model,
        (Stage.TTS, DEEPGRAM): settings.deepgram_voice,
        (Stage.TTS, OPENAI): settings.openai_model,
        (Stage.TTS, OPENAI_REALTIME): settings.realtime_model,
    }
    used = {(Stage.STT, name) for name in stt_order(settings)}
    used |= {(Stage.LLM, name) for name in llm_order(settings)}
    used |= {(Stage.TTS, name) for name in tts_order(settings)}
    return {
        key: sunset.of(model, settings.model_sunsets) for key, model in of.items() if key in used
    }


def prompt_voices(settings: Settings, today: date) -> list[str]:
    """Clouds that may render the prompts, the best first: those that speak before the embedded
    voice would, and whose model is not switched off."""
    order = tts_order(settings)
    before = order[: order.index(LOCAL)] if LOCAL in order else order
    ends = models(settings)
    return [name for name in before if not ends[Stage.TTS, name].passed(today)]


def unpriced(settings: Settings, prices: Prices) -> list[str]:
    """Models in the chains that the price table does not have."""
    return sorted({ends.model for ends in models(settings).values()} - prices.models.keys())


def voice_identity(settings: Settings, name: str) -> str:
    """What identifies the voice of the cloud called *name*, without its kit."""
    if name == OPENAI:
        return openai_tts.identity(
            settings.openai_model, settings.openai_voice, settings.openai_instructions
        )
    if name == OPENAI_REALTIME:
        return openai_realtime.identity(
            settings.realtime_model, settings.realtime_voice, settings.openai_instructions
        )
    return deepgram_tts.identity(settings.deepgram_voice)


def clouds(
    settings: Settings, language: str, prompt: str, prices: Prices, metrics: Metrics
) -> Clouds:
    """Make the providers that the chains name. *language* and *prompt* are the script's.

    Imports kits, which takes a second: call it in a thread. Raises ProviderError if one is not
    installed.
    """
    used = models(settings)
    made = Clouds()
    for (stage, name), ends in used.items():
        made.meters[stage, name] = Meter(stage, name, ends.model, prices, metrics)
    make(made, settings, used.keys(), language, prompt)
    return made


@dataclass(frozen=True, slots=True)
class Chains:
    """What listens, what understands and what speaks in calls."""

    stt: SpeechToText
    llm: LanguageModel | None
    """None: the rules alone."""
    tts: TextToSpeech
    prompt_voices: Sequence[TextToSpeech]
    """Clouds that can render the prompts, the best first. They try for as long as it takes."""
    gates: dict[tuple[Stage, str], Gate]


def build(
    settings: Settings,
    made: Clouds,
    local_stt: SpeechToText | None,
    local_tts: TextToSpeech | None,
    metrics: Metrics,
) -> Chains:
    """Put the chains together, every provider measured and behind a gate."""
    sunsets = models(settings)
    gates: dict[tuple[Stage, str], Gate] = {}

    def gate(stage: Stage, name: str) -> Gate:
        ends = sunsets.get((stage, name), Sunset(name, None))
        metrics.model_sunset.labels(stage.value, name).set(ends.timestamp)
        gates[stage, name] = Gate(stage, name, metrics, time.monotonic, ends)
        return gates[stage, name]

    ears: dict[str, SpeechToText] = {**made.ears, **({LOCAL: local_stt} if local_stt else {})}
    voices: dict[str, TextToSpeech] = {**made.voices, **({LOCAL: local_tts} if local_tts else {})}
    ear_links = [
        EarLink(InstrumentedSpeechToText(ears[g.provider], metrics, g.sunset.model), g)
        for g in (gate(Stage.STT, name) for name in stt_order(settings))
    ]
    mind_links = [
        ModelLink(InstrumentedLanguageModel(made.minds[g.provider], metrics, g.sunset.model), g)
        for g in (gate(Stage.LLM, name) for name in llm_order(settings) if name != RULES)
    ]
    voice_links = [
        VoiceLink(
            InstrumentedTextToSpeech(
                voices[g.provider],
                metrics,
                made.meters.get((Stage.TTS, g.provider)),
                g.sunset.model,
            ),
            g,
        )
        for g in (gate(Stage.TTS, name) for name in tts_order(settings))
    ]
    return Chains(
        _ears(ear_links, settings),
        _mind(mind_links, settings, metrics),
        _voice(voice_links, settings, metrics),
        _prompt_voices(settings, made, gates, metrics),
        gates,
    )


def _prompt_voices(
    settings: Settings, made: Clouds, gates: dict[tuple[Stage, str], Gate], metrics: Metrics
) -> list[TextToSpeech]:
    links = [
        VoiceLink(
            InstrumentedTextToSpeech(
                made.prompt_voices[name], metrics, made.meters.get((Stage.TTS, name))
            ),
            gates[Stage.TTS, name],
        )
        for name in prompt_voices(settings, fallback.today())
    ]
    return [
        FallbackTextToSpeech(
            [link], metrics, attempts=settings.api_attempts, patience=settings.api_timeout
        )
        for link in links
    ]


def _ears(links: Sequence[EarLink], settings: Settings) -> SpeechToText:
    if [link.stt.name for link in links] == [LOCAL]:
        return links[0].stt
    return FallbackSpeechToText(
        links, attempts=settings.api_attempts, patience=settings.stt_timeout
    )


def _mind(links: Sequence[ModelLink], settings: Settings, metrics: Metrics) -> LanguageModel | None:
    if not links:
        return None
    return FallbackLanguageModel(
        links,
        metrics,
        attempts=settings.api_attempts,
        timeout=settings.llm_timeout,
        hedging=settings.llm_hedging,
    )


def _voice(links: Sequence[VoiceLink], settings: Settings, metrics: Metrics) -> TextToSpeech:
    if [link.tts.name for link in links] == [LOCAL]:
        return links[0].tts
    return FallbackTextToSpeech(
        links,
        metrics,
        attempts=settings.api_attempts,
        patience=settings.tts_timeout,
        hedging=settings.tts_hedging,
    )


async def warm(made: Clouds, chains: Chains) -> None:
    """Try every cloud once, all together: connections are up, and a wrong key is known, before
    the first caller comes. What fails is logged; the rest of the chain takes over."""
    announce_sunsets(chains)

    async def try_one(check: Check) -> None:
        gate = chains.gates[check.stage, check.provider]
        if not gate.allows():
            return
        began = time.monotonic()
        try:
            await check.try_it()
        except ProviderError as error:
            gate.failed(error)
            log.warning(
                "cloud provider does not work",
                stage=check.stage.value,
                provider=check.provider,
                reason=str(error),
            )
        else:
            gate.answered()
            took = round(1000 * (time.monotonic() - began))
            log.info(
                "cloud provider works",
                stage=check.stage.value,
                provider=check.provider,
                took_ms=took,
            )

    await asyncio.gather(*(try_one(check) for check in made.checks))


def announce_sunsets(chains: Chains) -> None:
    """Say which models will be switched off soon; those that are, say it when passed over."""
    today = fallback.today()
    for (stage, provider), gate in chains.gates.items():
        ends = gate.sunset
        if ends.near(today) and not ends.passed(today):
            log.warning(
                "model is switched off soon",
                stage=stage.value,
                provider=provider,
                model=ends.model,
                on=str(ends.day),
            )
