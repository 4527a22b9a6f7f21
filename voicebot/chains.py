"""The chains that the settings ask for, built: cloud providers, gates, counters, fallback.

Only what a chain names is made, and a kit is imported when its client is made: without keys no kit
is in memory, and the embedded engine is used as it is.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import date

import structlog

from voicebot.config import Settings
from voicebot.providers import deepgram_tts, fallback, openai_tts, sunset
from voicebot.providers.cloud_tts import CloudTextToSpeech, Limits
from voicebot.providers.deepgram_client import NAME as DEEPGRAM
from voicebot.providers.deepgram_client import DeepgramClient
from voicebot.providers.deepgram_stt import DeepgramSpeechToText
from voicebot.providers.deepgram_tts import DeepgramTextToSpeech
from voicebot.providers.fallback import Gate
from voicebot.providers.fallback_stt import EarLink, FallbackSpeechToText
from voicebot.providers.fallback_tts import FallbackTextToSpeech, VoiceLink
from voicebot.providers.instrumented import InstrumentedSpeechToText, InstrumentedTextToSpeech
from voicebot.providers.interfaces import ProviderError, SpeechToText, Stage, TextToSpeech
from voicebot.providers.openai_tts import NAME as OPENAI
from voicebot.providers.openai_tts import OpenAIClient, OpenAITextToSpeech
from voicebot.providers.prices import Prices
from voicebot.providers.sunset import Sunset
from voicebot.providers.usage import Meter
from voicebot.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

LOCAL = "local"
STALL = 1.5
"""Seconds between two pieces of one sentence after which its rest is given up."""
MOST_KEYTERMS = 50


@dataclass(frozen=True, slots=True)
class Check:
    """One cloud provider in one stage, and how to find out whether it works."""

    stage: Stage
    provider: str
    try_it: Callable[[], Awaitable[None]]
    """One cheap request. Raises ProviderError."""


@dataclass(slots=True)
class Clouds:
    """The cloud providers of this process. The owner owes a :meth:`close`."""

    ears: dict[str, SpeechToText] = field(default_factory=dict)
    voices: dict[str, CloudTextToSpeech] = field(default_factory=dict)
    prompt_voices: dict[str, CloudTextToSpeech] = field(default_factory=dict)
    """The same voices, with the patience of somebody who renders prompts."""
    meters: dict[tuple[Stage, str], Meter] = field(default_factory=dict)
    """What counts the use of each, and its cost."""
    checks: list[Check] = field(default_factory=list)
    closers: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    async def close(self) -> None:
        for close in self.closers:
            await close()


def stt_order(settings: Settings) -> tuple[str, ...]:
    """Who listens, in order."""
    if settings.stt_chain:
        return settings.stt_chain
    return (*([DEEPGRAM] if settings.deepgram_api_key else []), *_embedded(settings))


def tts_order(settings: Settings) -> tuple[str, ...]:
    """Who speaks, in order."""
    if settings.tts_chain:
        return settings.tts_chain
    keys = {OPENAI: settings.openai_api_key, DEEPGRAM: settings.deepgram_api_key}
    return (*(name for name, key in keys.items() if key), *_embedded(settings))


def _embedded(settings: Settings) -> list[str]:
    return [LOCAL] if settings.embedded_engine else []


def models(settings: Settings) -> dict[tuple[Stage, str], Sunset]:
    """The cloud models in the chains, and until when each will be there."""
    of = {
        (Stage.STT, DEEPGRAM): settings.deepgram_model,
        (Stage.TTS, DEEPGRAM): settings.deepgram_voice,
        (Stage.TTS, OPENAI): settings.openai_model,
    }
    used = {(Stage.STT, name) for name in stt_order(settings)}
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
    return deepgram_tts.identity(settings.deepgram_voice)


def keyterms(prompt: str) -> list[str]:
    """The phrases of a recogniser's *prompt* that are worth stressing: none with digits in it,
    which are examples and no vocabulary."""
    phrases = (phrase.strip() for phrase in re.split(r"[.!?;]", prompt))
    chosen = [phrase for phrase in phrases if phrase and not re.search(r"\d", phrase)]
    return list(dict.fromkeys(chosen))[:MOST_KEYTERMS]


def clouds(
    settings: Settings, language: str, prompt: str, prices: Prices, metrics: Metrics
) -> Clouds:
    """Make the providers that the chains name. *language* and *prompt* are the script's.

    Imports kits, which takes a second: call it in a thread. Raises ProviderError if one is not
    installed.
    """
    made = Clouds()
    for (stage, name), ends in models(settings).items():
        made.meters[stage, name] = Meter(stage, name, ends.model, prices, metrics)
    try:
        if DEEPGRAM in {*stt_order(settings), *tts_order(settings)}:
            _add_deepgram(made, settings, language, prompt)
        if OPENAI in tts_order(settings):
            _add_openai(made, settings)
    except ModuleNotFoundError as error:
        message = f"a cloud is in use, but {error.name} is missing: run scripts/setup cloud"
        raise ProviderError(Stage.STT, error.name or "", message, retryable=False) from error
    return made


def _add_deepgram(made: Clouds, settings: Settings, language: str, prompt: str) -> None:
    client = DeepgramClient(
        settings.deepgram_api_key, settings.deepgram_base_url, timeout=settings.api_timeout
    )
    made.closers.append(client.close)
    if DEEPGRAM in stt_order(settings):
        ears = DeepgramSpeechToText(
            client,
            model=settings.deepgram_model,
            language=language,
            keyterms=keyterms(prompt),
            keep_private=settings.deepgram_opt_out,
            timeout=settings.stt_timeout,
            meter=made.meters[Stage.STT, DEEPGRAM],
        )
        made.ears[DEEPGRAM] = ears
        made.checks.append(Check(Stage.STT, DEEPGRAM, ears.check))
    if DEEPGRAM in tts_order(settings):
        voice, prompt_voice = (
            DeepgramTextToSpeech(
                client,
                limits,
                voice=settings.deepgram_voice,
                keep_private=settings.deepgram_opt_out,
            )
            for limits in (_limits(settings), _prompt_limits(settings))
        )
        _add_voice(made, voice, prompt_voice)


def _add_openai(made: Clouds, settings: Settings) -> None:
    client = OpenAIClient(
        settings.openai_api_key, settings.openai_base_url, timeout=settings.api_timeout
    )
    made.closers.append(client.close)
    voice, prompt_voice = (
        OpenAITextToSpeech(
            client,
            limits,
            model=settings.openai_model,
            voice=settings.openai_voice,
            instructions=settings.openai_instructions,
        )
        for limits in (_limits(settings), _prompt_limits(settings))
    )
    _add_voice(made, voice, prompt_voice)


def _add_voice(made: Clouds, voice: CloudTextToSpeech, prompt_voice: CloudTextToSpeech) -> None:
    made.voices[voice.name] = voice
    made.prompt_voices[voice.name] = prompt_voice
    made.checks.append(Check(Stage.TTS, voice.name, prompt_voice.check))


def _limits(settings: Settings) -> Limits:
    return Limits(settings.tts_timeout, STALL, settings.api_timeout)


def _prompt_limits(settings: Settings) -> Limits:
    return Limits(settings.api_timeout, settings.api_timeout, settings.api_timeout)


@dataclass(frozen=True, slots=True)
class Chains:
    """What listens and what speaks in calls."""

    stt: SpeechToText
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
        made_gate = Gate(stage, name, metrics, time.monotonic, ends)
        gates[stage, name] = made_gate
        return made_gate

    ears: dict[str, SpeechToText] = {**made.ears, **({LOCAL: local_stt} if local_stt else {})}
    voices: dict[str, TextToSpeech] = {**made.voices, **({LOCAL: local_tts} if local_tts else {})}
    ear_links = [
        EarLink(InstrumentedSpeechToText(ears[name], metrics), gate(Stage.STT, name))
        for name in stt_order(settings)
    ]

    def measured(voice: TextToSpeech, name: str) -> TextToSpeech:
        return InstrumentedTextToSpeech(voice, metrics, made.meters.get((Stage.TTS, name)))

    voice_links = [
        VoiceLink(measured(voices[name], name), gate(Stage.TTS, name))
        for name in tts_order(settings)
    ]
    prompt_links = [
        VoiceLink(measured(made.prompt_voices[name], name), gates[Stage.TTS, name])
        for name in prompt_voices(settings, fallback.today())
    ]
    return Chains(
        _ears(ear_links, settings),
        _voice(voice_links, settings, metrics),
        [
            FallbackTextToSpeech(
                [link], metrics, attempts=settings.api_attempts, patience=settings.api_timeout
            )
            for link in prompt_links
        ],
        gates,
    )


def _ears(links: Sequence[EarLink], settings: Settings) -> SpeechToText:
    if [link.stt.name for link in links] == [LOCAL]:
        return links[0].stt
    return FallbackSpeechToText(
        links, attempts=settings.api_attempts, patience=settings.stt_timeout
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
