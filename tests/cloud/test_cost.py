"""What a call costs: what was sent is counted, whoever answered in the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.cloud.conftest import Stand
from tests.support.waiting import until
from voicebot.audio.pcm import seconds
from voicebot.emulator.faults import Fault, Kind, Moment, Service
from voicebot.providers.interfaces import Stage
from voicebot.providers.prices import Unit

Play = Callable[..., None]
TEXT = "Bonjour, je vous écoute."


def test_only_turns_are_charged_and_all_of_them(play: Play, spoken: dict[str, bytes]) -> None:
    async def story(stand: Stand) -> None:
        (_, pcm), *_ = spoken.items()
        stand.call().push(bytes(160_000))  # ten seconds in which the bot speaks
        await stand.say(pcm)
        sent = stand.used("deepgram", Unit.AUDIO_SECONDS)
        assert seconds(pcm) <= sent <= seconds(pcm) + 1.0, "the turn, its pre-roll and its pause"
        assert stand.count("stt_audio_seconds_total", provider="deepgram") == pytest.approx(sent)
        cost = stand.count("cost_total", stage="stt", provider="deepgram", traffic="live")
        assert cost == pytest.approx(sent / 60 * 0.0048)
        assert stand.bill.cost == pytest.approx(cost)

    play(story)


def test_a_turn_that_is_sent_twice_is_charged_twice(play: Play, spoken: dict[str, bytes]) -> None:
    async def story(stand: Stand) -> None:
        (_, pcm), *_ = spoken.items()

        async def strike() -> None:
            await stand.emulator.inject(Fault(Service.LISTEN, Kind.DROP, moment=Moment.NOW))
            await asyncio.sleep(0.3)

        await stand.say(pcm, then=strike)
        assert stand.requests("stt", "deepgram", "ok") == 1, "by a second connection"
        assert stand.used("deepgram", Unit.AUDIO_SECONDS) > 1.3 * seconds(pcm)

    play(story)


def test_a_voice_that_fails_has_been_sent_its_characters(play: Play) -> None:
    async def story(stand: Stand) -> None:
        stand.call()
        await stand.emulator.inject(Fault(Service.SPEECH, Kind.SILENCE))
        await stand.hear(TEXT)
        failed = stand.requests("tts", "openai", "error")
        assert stand.used("openai", Unit.CHARACTERS) == failed * len(TEXT)
        assert stand.used("deepgram", Unit.CHARACTERS) == len(TEXT)
        assert stand.used("deepgram", Unit.SPEECH_SECONDS) > 0.8
        cost = {use.unit: use.cost for use in stand.bill
                if (use.stage, use.provider) == (Stage.TTS, "deepgram")}  # fmt: skip
        assert cost[Unit.CHARACTERS] == pytest.approx(len(TEXT) * 30 / 1e6)
        assert cost[Unit.SPEECH_SECONDS] == 0.0, "not what they charge for"

    play(story, TTS_CHAIN="openai,deepgram,local", MODEL_SUNSETS="gpt-4o-mini-tts=never")


def test_a_sentence_cut_short_costs_what_was_made_of_it(play: Play) -> None:
    async def story(stand: Stand) -> None:
        stand.call()
        await stand.emulator.inject(Fault(Service.SPEECH, Kind.SLOW))
        task = asyncio.create_task(stand.hear("Un, deux, trois. " * 20))
        await until(lambda: stand.used("openai", Unit.SPEECH_SECONDS) > 0, 10, "some audio")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        made = stand.used("openai", Unit.SPEECH_SECONDS)
        assert 0 < made < 10
        (paid,) = (use.cost for use in stand.bill if use.unit is Unit.SPEECH_SECONDS)
        assert paid == pytest.approx(made / 60 * 0.015)

    play(story, TTS_CHAIN="openai,local", MODEL_SUNSETS="gpt-4o-mini-tts=never")


def test_both_sides_of_a_hedge_are_paid(play: Play) -> None:
    async def story(stand: Stand) -> None:
        stand.call()
        for _ in range(20):  # until it is known how fast it is
            await stand.hear("Oui.")
        before = stand.used("deepgram", Unit.CHARACTERS)
        await stand.emulator.inject(Fault(Service.SPEECH, Kind.HANG, moment=Moment.CONNECT))
        await stand.hear(TEXT)
        assert stand.count("provider_hedges_total", stage="tts", outcome="won") == 1
        assert stand.used("deepgram", Unit.CHARACTERS) - before == len(TEXT)
        assert stand.used("openai", Unit.CHARACTERS) == 20 * len("Oui.") + len(TEXT)

    play(
        story,
        TTS_CHAIN="openai,deepgram,local",
        TTS_HEDGING="true",
        MODEL_SUNSETS="gpt-4o-mini-tts=never",
    )
