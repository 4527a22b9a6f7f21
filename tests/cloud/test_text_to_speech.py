"""OpenAI and Deepgram voices by their own kits: streamed, and replaced in time when they fail."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import numpy as np
import pytest
import structlog

from tests.cloud.conftest import LOCAL_VOICE, Stand
from tests.support.waiting import until
from voicebot import chains
from voicebot.audio.pcm import seconds
from voicebot.emulator.faults import Fault, Kind, Moment, Service
from voicebot.providers import fallback
from voicebot.providers.interfaces import ProviderError

Play = Callable[..., None]
VOICES = [("openai", Service.SPEECH), ("deepgram", Service.SPEAK)]
BY_VOICE = pytest.mark.parametrize(("name", "service"), VOICES, ids=["openai", "deepgram"])

SOON = str(fallback.today() + timedelta(days=20))


def only(name: str) -> dict[str, str]:
    return {"TTS_CHAIN": f"{name},local"}


@BY_VOICE
def test_a_sentence_is_heard_while_it_is_made(play: Play, name: str, service: Service) -> None:
    async def story(stand: Stand) -> None:
        for _ in range(2):
            heard, _ = await stand.hear()
            assert 0.8 < seconds(heard) < 4.0
            loudness = np.abs(np.frombuffer(heard, "<i2").astype(float))
            assert loudness[:400].max() > 300, "it begins with sound"
        assert stand.requests("tts", name, "ok") == 2
        assert stand.count("tts_first_audio_seconds_count", provider=name) == 2
        assert stand.local_voice.said == []

    play(story, **only(name))


FAULTS = [
    (Kind.REFUSE, Moment.CONNECT, "error"),
    (Kind.UNAUTHORIZED, Moment.CONNECT, "error"),
    (Kind.FORBIDDEN, Moment.CONNECT, "error"),
    (Kind.RATE_LIMITED, Moment.CONNECT, "error"),
    (Kind.SERVER_ERROR, Moment.CONNECT, "error"),
    (Kind.RETIRED, Moment.CONNECT, "error"),
    (Kind.HANG, Moment.CONNECT, "timeout"),
    (Kind.DROP, Moment.CONNECT, "error"),
    (Kind.SILENCE, Moment.STREAM, "error"),
    (Kind.EMPTY, Moment.STREAM, "error"),
]


@BY_VOICE
@pytest.mark.parametrize(("kind", "moment", "outcome"), FAULTS, ids=lambda value: str(value))
def test_before_there_is_sound_another_voice_says_the_sentence(
    play: Play, name: str, service: Service, kind: Kind, moment: Moment, outcome: str
) -> None:
    async def story(stand: Stand) -> None:
        await stand.emulator.inject(Fault(service, kind, moment=moment))
        heard, first = await stand.hear("Bonjour.")
        assert heard == LOCAL_VOICE
        assert first < 1.8
        assert stand.local_voice.said == ["Bonjour."]
        assert stand.requests("tts", name, outcome) >= 1

    play(story, **only(name))


@BY_VOICE
@pytest.mark.parametrize("kind", [Kind.HANG, Kind.DROP, Kind.SERVER_ERROR])
def test_in_the_middle_the_rest_is_lost_and_reported(
    play: Play, name: str, service: Service, kind: Kind
) -> None:
    async def story(stand: Stand) -> None:
        await stand.hear()
        await stand.emulator.inject(Fault(service, kind, moment=Moment.STREAM))
        began = asyncio.get_running_loop().time()
        with suppress(ProviderError):
            heard, _ = await stand.hear()
            assert heard == LOCAL_VOICE, "it broke before the first sound"
        assert asyncio.get_running_loop().time() - began < 3.0
        faults = stand.requests("tts", name, "error") + stand.requests("tts", name, "timeout")
        assert faults >= 1
        await stand.emulator.mend()
        heard, _ = await stand.hear()
        assert heard != LOCAL_VOICE

    play(story, **only(name))


@BY_VOICE
def test_odd_pieces_do_not_turn_speech_into_noise(play: Play, name: str, service: Service) -> None:
    async def story(stand: Stand) -> None:
        whole, _ = await stand.hear()
        await stand.emulator.inject(Fault(service, Kind.ODD))
        odd, _ = await stand.hear()
        size = len(whole) // 2 - len(whole) // 2 % 2
        difference = np.frombuffer(odd[:size], "<i2").astype(int) - np.frombuffer(
            whole[:size], "<i2"
        )
        assert np.abs(difference).max() <= 2, "a resampler rounds by how it is fed"

    play(story, **only(name))


@BY_VOICE
@pytest.mark.parametrize("after", [0.0, 0.05, 0.4], ids=["asked", "waiting", "speaking"])
@pytest.mark.parametrize("kind", [None, Kind.HANG, Kind.SLOW], ids=str)
def test_an_interruption_at_any_moment_leaves_nothing(
    play: Play, name: str, service: Service, kind: Kind | None, after: float
) -> None:
    async def story(stand: Stand) -> None:
        if kind is not None:
            await stand.emulator.inject(Fault(service, kind, moment=Moment.STREAM))
        task = asyncio.create_task(stand.hear("Un, deux, trois. " * 20))
        await asyncio.sleep(after)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await until(lambda: not stand.emulator.open_exchanges(), 1, "the request is gone")
        assert stand.local_voice.said == []

    play(story, **only(name))


def test_voices_take_over_in_order(play: Play) -> None:
    async def story(stand: Stand) -> None:
        await stand.emulator.inject(Fault(Service.SPEECH, Kind.SERVER_ERROR))
        await stand.hear()
        assert stand.requests("tts", "deepgram", "ok") == 1
        await stand.emulator.inject(Fault(Service.SPEAK, Kind.SERVER_ERROR))
        heard, _ = await stand.hear()
        assert heard == LOCAL_VOICE

    play(story)


def test_before_the_first_call_every_cloud_is_tried_and_a_wrong_key_named(play: Play) -> None:
    async def story(stand: Stand) -> None:
        await stand.emulator.inject(Fault(Service.SPEECH, Kind.UNAUTHORIZED))
        with structlog.testing.capture_logs() as logged:
            await chains.warm(stand.clouds, stand.chains)
        works = {(line["stage"], line["provider"]) for line in logged
                 if line["event"] == "cloud provider works"}  # fmt: skip
        assert works == {
            ("stt", "deepgram"), ("llm", "groq"), ("llm", "groq_spare"), ("tts", "deepgram"),
        }  # fmt: skip
        (refused,) = (line for line in logged if line["event"] == "key refused")
        assert refused["setting"] == "OPENAI_API_KEY"
        (soon,) = (line for line in logged if line["event"] == "model is switched off soon")
        assert soon["model"] == "gpt-4o-mini-tts"
        await stand.hear()
        assert stand.requests("tts", "openai", "error") == 0, "warming up is no request of a call"
        assert stand.requests("tts", "deepgram", "ok") == 1

    play(story, MODEL_SUNSETS=f"gpt-4o-mini-tts={SOON}")


def test_a_retired_model_is_not_asked_for_prompts_either(play: Play) -> None:
    async def story(stand: Stand) -> None:
        heard, _ = await stand.hear()
        assert heard
        assert stand.requests("tts", "openai", "ok") == 0
        assert stand.requests("tts", "deepgram", "ok") == 1
        assert [voice.voice for voice in stand.chains.prompt_voices] == [
            "deepgram aura-2-agathe-fr"
        ]
        day = stand.count("model_sunset_timestamp_seconds", stage="tts", provider="openai")
        assert day == 1_577_836_800

    play(story, MODEL_SUNSETS="gpt-4o-mini-tts=2020-01-01")
