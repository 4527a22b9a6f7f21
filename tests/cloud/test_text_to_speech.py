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
from voicebot.audio.pcm import seconds
from voicebot.emulator.faults import Fault, Kind, Moment, Service
from voicebot.providers import fallback
from voicebot.providers.interfaces import ProviderError
from voicebot.speech import chains

Play = Callable[..., None]
VOICES = [
    ("openai", Service.SPEECH),
    ("openai_realtime", Service.REALTIME),
    ("deepgram", Service.SPEAK),
]
BY_VOICE = pytest.mark.parametrize(("name", "service"), VOICES, ids=[name for name, _ in VOICES])

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
        # A sentence that was said to its end leaves a connection of Realtime for the next.
        kept = stand.requests("tts", name, "ok") if name == "openai_realtime" else 0
        await until(lambda: len(stand.emulator.open_exchanges()) <= kept, 1, "the request is gone")
        assert stand.local_voice.said == []

    play(story, **only(name))


def test_voices_take_over_in_order(play: Play) -> None:
    async def story(stand: Stand) -> None:
        await stand.emulator.inject(Fault(Service.SPEECH, Kind.SERVER_ERROR))
        await stand.hear()
        assert stand.requests("tts", "openai_realtime", "ok") == 1
        await stand.emulator.inject(Fault(Service.REALTIME, Kind.REWORDED))
        await stand.hear()
        assert stand.requests("tts", "deepgram", "ok") == 1
        await stand.emulator.inject(Fault(Service.SPEAK, Kind.SERVER_ERROR))
        heard, _ = await stand.hear()
        assert heard == LOCAL_VOICE

    play(story)


def test_before_the_first_call_every_cloud_is_tried_and_a_wrong_key_named(play: Play) -> None:
    async def story(stand: Stand) -> None:
        await stand.emulator.inject(Fault(Service.SPEECH, Kind.UNAUTHORIZED))
        await stand.emulator.inject(Fault(Service.REALTIME, Kind.UNAUTHORIZED))
        with structlog.testing.capture_logs() as logged:
            await chains.warm(stand.clouds, stand.chains)
        works = {(line["stage"], line["provider"]) for line in logged
                 if line["event"] == "cloud provider works"}  # fmt: skip
        assert works == {
            ("stt", "deepgram"), ("llm", "groq"), ("llm", "groq_spare"), ("tts", "deepgram"),
        }  # fmt: skip
        refused = [line["setting"] for line in logged if line["event"] == "key refused"]
        assert refused == 2 * ["OPENAI_API_KEY"]
        (soon,) = (line for line in logged if line["event"] == "model is switched off soon")
        assert soon["model"] == "gpt-4o-mini-tts"
        await stand.hear()
        assert stand.requests("tts", "openai", "error") == 0, "warming up is no request of a call"
        assert stand.requests("tts", "deepgram", "ok") == 1

    play(story, MODEL_SUNSETS=f"gpt-4o-mini-tts={SOON}")


def test_on_the_day_the_model_ends_its_successor_speaks_and_renders_the_prompts(
    play: Play,
) -> None:
    async def story(stand: Stand) -> None:
        heard, _ = await stand.hear()
        assert heard
        assert stand.requests("tts", "openai", "ok") == 0
        assert stand.requests("tts", "openai_realtime", "ok") == 1
        assert [voice.voice for voice in stand.chains.prompt_voices] == [
            "openai_realtime gpt-realtime-2.1-mini marin",
            "deepgram aura-2-agathe-fr",
        ]
        day = stand.count("model_sunset_timestamp_seconds", stage="tts", provider="openai")
        assert day == 1_577_836_800

    play(story, MODEL_SUNSETS="gpt-4o-mini-tts=2020-01-01")


REALTIME = {"TTS_CHAIN": "openai_realtime,local"}


@pytest.mark.parametrize("kind", [Kind.REWORDED, Kind.MALFORMED, Kind.EMPTY], ids=str)
def test_a_voice_that_says_something_else_is_not_heard(play: Play, kind: Kind) -> None:
    async def story(stand: Stand) -> None:
        await stand.emulator.inject(Fault(Service.REALTIME, kind))
        heard, first = await stand.hear("Bonjour.")
        assert heard == LOCAL_VOICE
        assert first < 1.8
        assert stand.local_voice.said == ["Bonjour."]
        assert stand.requests("tts", "openai_realtime", "error") >= 1

    play(story, **REALTIME)


def test_a_connection_is_kept_for_the_next_sentence_and_replaced_when_it_was_closed(
    play: Play,
) -> None:
    async def story(stand: Stand) -> None:
        for _ in range(3):
            await stand.hear()
        assert len(stand.emulator.open_exchanges()) == 1
        await stand.emulator.inject(Fault(Service.REALTIME, Kind.DROP, moment=Moment.NOW))
        await asyncio.sleep(0.1)
        heard, _ = await stand.hear()
        assert heard != LOCAL_VOICE
        assert stand.requests("tts", "openai_realtime", "ok") == 4
        assert stand.requests("tts", "openai_realtime", "error") == 0

    play(story, **REALTIME)


def test_sentences_at_once_have_a_connection_each(play: Play) -> None:
    async def story(stand: Stand) -> None:
        texts = [f"Voici la phrase {word}." for word in ("une", "deux", "trois")]
        heard = await asyncio.gather(*(stand.hear(text) for text in texts))
        assert all(pcm != LOCAL_VOICE for pcm, _ in heard)
        assert len(stand.emulator.open_exchanges()) == 3

    play(story, **REALTIME)
