"""The cloud providers that are in use, made: one client of each kit for the process.

A kit is imported when its client is made: without keys no kit is in memory.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field

from voicebot.config import Settings
from voicebot.providers.cloud_tts import CloudTextToSpeech
from voicebot.providers.deepgram_client import NAME as DEEPGRAM
from voicebot.providers.deepgram_client import DeepgramClient
from voicebot.providers.deepgram_stt import DeepgramSpeechToText
from voicebot.providers.deepgram_tts import DeepgramTextToSpeech
from voicebot.providers.groq_llm import NAME as GROQ
from voicebot.providers.groq_llm import SPARE as GROQ_SPARE
from voicebot.providers.groq_llm import GroqClient, GroqLanguageModel
from voicebot.providers.in_time import Limits
from voicebot.providers.interfaces import (
    LanguageModel,
    ProviderError,
    SpeechToText,
    Stage,
    TextToSpeech,
)
from voicebot.providers.openai_realtime import NAME as OPENAI_REALTIME
from voicebot.providers.openai_realtime import OpenAIRealtimeTextToSpeech, RealtimeSessions
from voicebot.providers.openai_tts import NAME as OPENAI
from voicebot.providers.openai_tts import OpenAIClient, OpenAITextToSpeech
from voicebot.providers.unhurried import UnhurriedTextToSpeech
from voicebot.providers.usage import Meter

BEHIND = 1.0
"""Seconds that a caller may wait in the middle of a sentence or an answer, after which its rest is
given up: a network may stumble for as long; after more silence callers think that it is their turn.
"""
MOST_KEYTERMS = 50

Used = Collection[tuple[Stage, str]]
"""Cloud providers by stage and name."""


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
    minds: dict[str, LanguageModel] = field(default_factory=dict)
    voices: dict[str, TextToSpeech] = field(default_factory=dict)
    prompt_voices: dict[str, CloudTextToSpeech] = field(default_factory=dict)
    """The same voices, with the patience of somebody who renders prompts."""
    meters: dict[tuple[Stage, str], Meter] = field(default_factory=dict)
    """What counts the use of each, and its cost."""
    checks: list[Check] = field(default_factory=list)
    closers: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    async def close(self) -> None:
        for close in self.closers:
            await close()


def keyterms(prompt: str) -> list[str]:
    """The phrases of a recogniser's *prompt* that are worth stressing: none with digits in it,
    which are examples and no vocabulary."""
    phrases = (phrase.strip() for phrase in re.split(r"[.!?;]", prompt))
    chosen = [phrase for phrase in phrases if phrase and not re.search(r"\d", phrase)]
    return list(dict.fromkeys(chosen))[:MOST_KEYTERMS]


def make(made: Clouds, settings: Settings, used: Used, language: str, prompt: str) -> None:
    """Add to *made* those that are *used*; their meters are there. *language* and *prompt* are the
    script's. Raises ProviderError if a kit is not installed."""
    names = {name for _, name in used}
    try:
        if DEEPGRAM in names:
            _add_deepgram(made, settings, used, language, prompt)
        if names & {GROQ, GROQ_SPARE}:
            _add_groq(made, settings, used)
        if names & {OPENAI, OPENAI_REALTIME}:
            _add_openai(made, settings, used)
    except ModuleNotFoundError as error:
        message = f"a cloud is in use, but {error.name} is missing: run scripts/setup cloud"
        raise ProviderError(Stage.STT, error.name or "", message, retryable=False) from error


def _add_deepgram(made: Clouds, settings: Settings, used: Used, language: str, prompt: str) -> None:
    client = DeepgramClient(
        settings.deepgram_api_key, settings.deepgram_base_url, timeout=settings.api_timeout
    )
    made.closers.append(client.close)
    if (Stage.STT, DEEPGRAM) in used:
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
    if (Stage.TTS, DEEPGRAM) in used:
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


def _add_groq(made: Clouds, settings: Settings, used: Used) -> None:
    client = GroqClient(settings.groq_api_key, settings.groq_base_url, timeout=settings.api_timeout)
    made.closers.append(client.close)
    limits = Limits(settings.llm_timeout, BEHIND, settings.api_timeout)
    models = {GROQ: settings.groq_model, GROQ_SPARE: settings.groq_spare_model}
    effort = "" if settings.groq_reasoning == "off" else settings.groq_reasoning

    def make(name: str, limits: Limits) -> GroqLanguageModel:
        meter = made.meters[Stage.LLM, name]
        return GroqLanguageModel(
            client, limits, name=name, model=models[name], effort=effort, meter=meter
        )

    for name in (name for name in models if (Stage.LLM, name) in used):
        made.minds[name] = make(name, limits)
        made.checks.append(Check(Stage.LLM, name, make(name, _prompt_limits(settings)).check))


def _add_openai(made: Clouds, settings: Settings, used: Used) -> None:
    client = OpenAIClient(
        settings.openai_api_key, settings.openai_base_url, timeout=settings.api_timeout
    )
    if (Stage.TTS, OPENAI) in used:
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
        # The others' kits gain nothing by it: Realtime's takes what comes, asked or not, and
        # Deepgram's, stopped while nobody waits for it, leaves tasks for the event loop to end.
        _add_voice(made, UnhurriedTextToSpeech(voice), prompt_voice)
    if (Stage.TTS, OPENAI_REALTIME) in used:
        sessions = RealtimeSessions(
            client,
            model=settings.realtime_model,
            voice=settings.realtime_voice,
            instructions=settings.openai_instructions,
        )
        made.closers.append(sessions.close)
        reader, prompt_reader = (
            OpenAIRealtimeTextToSpeech(sessions, limits)
            for limits in (_limits(settings), _prompt_limits(settings))
        )
        _add_voice(made, reader, prompt_reader)
    made.closers.append(client.close)


def _add_voice(made: Clouds, voice: TextToSpeech, prompt_voice: CloudTextToSpeech) -> None:
    made.voices[voice.name] = voice
    made.prompt_voices[voice.name] = prompt_voice
    made.checks.append(Check(Stage.TTS, voice.name, prompt_voice.check))


def _limits(settings: Settings) -> Limits:
    return Limits(settings.tts_timeout, BEHIND, settings.api_timeout)


def _prompt_limits(settings: Settings) -> Limits:
    return Limits(settings.api_timeout, settings.api_timeout, settings.api_timeout)
