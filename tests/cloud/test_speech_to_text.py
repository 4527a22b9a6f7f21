"""Deepgram by its own kit, and what the chain makes of its faults: no turn is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import pytest
import structlog

from tests.cloud.conftest import Stand
from tests.support.waiting import until
from voicebot.emulator.faults import Fault, Kind, Moment, Service
from voicebot.providers.interfaces import ProviderError

Play = Callable[..., None]
LISTEN = Service.LISTEN
MODELS = ["nova-3", "flux-general-multi"]


@pytest.fixture(params=MODELS)
def play(request: pytest.FixtureRequest, play: Play) -> Play:
    """Every story with both of Deepgram's protocols."""
    return partial(play, DEEPGRAM_MODEL=request.param)


def same(one: str, other: str) -> bool:
    return one.lower().rstrip(".") == other.lower().rstrip(".")


def test_turns_are_understood_and_counted(play: Play, spoken: dict[str, bytes]) -> None:
    async def story(stand: Stand) -> None:
        for text, pcm in list(spoken.items())[:3]:
            said, took = await stand.say(pcm)
            assert same(said, text)
            assert took < 1.0
        assert stand.errors == []
        assert stand.requests("stt", "deepgram", "ok") == 3
        assert stand.count("stt_final_seconds_count", provider="deepgram") == 3

    play(story)


def test_a_pause_within_a_turn_is_answered_with_all_of_it(
    play: Play, spoken: dict[str, bytes]
) -> None:
    async def story(stand: Stand) -> None:
        (first, one), (second, two) = list(spoken.items())[:2]
        stream = stand.call()
        for pause, pcm in enumerate((one, two), 1):
            stream.speech_started()
            stream.push(pcm + bytes(3200))
            stream.speech_paused(pause)
            await until(lambda pause=pause: len(stand.transcripts) == pause, 5, "words")  # type: ignore[misc]
        said = [transcript.text for transcript in stand.transcripts]
        assert same(said[0], first)
        assert said[1].lower() == f"{said[0]} {second}".lower()

    play(story)


AT_CONNECT = [
    (Kind.REFUSE, "error"),
    (Kind.UNAUTHORIZED, "error"),
    (Kind.FORBIDDEN, "error"),
    (Kind.RATE_LIMITED, "error"),
    (Kind.SERVER_ERROR, "error"),
    (Kind.RETIRED, "error"),
    (Kind.HANG, "timeout"),
]


@pytest.mark.parametrize(("kind", "outcome"), AT_CONNECT, ids=lambda value: str(value))
def test_a_call_that_cannot_connect_is_heard_by_the_next_ear(
    play: Play, spoken: dict[str, bytes], kind: Kind, outcome: str
) -> None:
    async def story(stand: Stand) -> None:
        await stand.emulator.inject(Fault(LISTEN, kind, moment=Moment.CONNECT))
        said, took = await stand.say(next(iter(spoken.values())))
        assert said.startswith("local ")
        assert took < 1.5
        assert stand.errors == []
        assert stand.requests("stt", "deepgram", outcome) >= 1

    play(story)


IN_A_TURN = [
    (Kind.DROP, Moment.NOW),
    (Kind.SERVER_ERROR, Moment.NOW),
    (Kind.HANG, Moment.NOW),
    (Kind.DROP, Moment.STREAM),
    (Kind.SERVER_ERROR, Moment.STREAM),
    (Kind.HANG, Moment.STREAM),
    (Kind.SLOW, Moment.STREAM),
    (Kind.MALFORMED, Moment.STREAM),
    (Kind.UNKNOWN, Moment.STREAM),
]


@pytest.mark.parametrize(("kind", "moment"), IN_A_TURN, ids=lambda value: value.value)
def test_a_fault_in_the_middle_of_a_turn_loses_none_of_it(
    play: Play, spoken: dict[str, bytes], kind: Kind, moment: Moment
) -> None:
    async def story(stand: Stand) -> None:
        (text, pcm), (other, more) = list(spoken.items())[:2]
        assert same((await stand.say(more))[0], other)

        async def strike() -> None:
            await stand.emulator.inject(Fault(LISTEN, kind, moment=moment))

        said, took = await stand.say(pcm, then=strike)
        whole = len(pcm) + 3200
        assert same(said, text) or (said.startswith("local ") and int(said[6:]) >= whole), said
        assert took < 1.5
        assert stand.errors == []
        faults = stand.requests("stt", "deepgram", "error")
        faults += stand.requests("stt", "deepgram", "timeout")
        assert faults >= 1 or same(said, text)

        await stand.emulator.mend()
        assert same((await stand.say(more))[0], other)

    play(story)


def test_a_connection_lost_between_turns_is_made_anew(play: Play, spoken: dict[str, bytes]) -> None:
    async def story(stand: Stand) -> None:
        (text, pcm), *_ = spoken.items()
        await stand.say(pcm)
        await stand.emulator.inject(Fault(LISTEN, Kind.DROP, moment=Moment.NOW))
        await asyncio.sleep(0.3)
        assert same((await stand.say(pcm))[0], text)
        assert stand.requests("stt", "deepgram", "error") == 1
        assert stand.requests("stt", "deepgram", "ok") == 2

    play(story)


def test_the_connection_outlives_a_long_speech_of_the_bot(
    play: Play, spoken: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is sent between turns; the emulator, as Deepgram, hangs up on the silent."""
    monkeypatch.setattr("voicebot.emulator.listen_v1.IDLE_SECONDS", 0.4)
    monkeypatch.setattr("voicebot.providers.deepgram_stt.KEEP_ALIVE", 0.1)

    async def story(stand: Stand) -> None:
        (text, pcm), *_ = spoken.items()
        await stand.say(pcm)
        await asyncio.sleep(1.0)
        assert same((await stand.say(pcm))[0], text)
        assert stand.requests("stt", "deepgram", "error") == 0

    play(story)


def test_a_refused_key_is_named_and_not_tried_again(play: Play, spoken: dict[str, bytes]) -> None:
    async def story(stand: Stand) -> None:
        await stand.emulator.inject(Fault(LISTEN, Kind.UNAUTHORIZED))
        (_, pcm), *_ = spoken.items()
        with structlog.testing.capture_logs() as logged:
            for _ in range(3):
                assert (await stand.say(pcm))[0].startswith("local ")
        refusals = [line for line in logged if line["event"] == "key refused"]
        assert [line["setting"] for line in refusals] == ["DEEPGRAM_API_KEY"]
        assert stand.requests("stt", "deepgram", "error") == 1
        assert stand.count("provider_circuit_open", stage="stt", provider="deepgram") == 1

    play(story)


@pytest.mark.parametrize("kind", [None, Kind.HANG], ids=["healthy", "hung"])
@pytest.mark.parametrize("when", ["connecting", "listening", "owing words"])
def test_hanging_up_at_any_moment_leaves_nothing(
    play: Play, spoken: dict[str, bytes], kind: Kind | None, when: str
) -> None:
    async def story(stand: Stand) -> None:
        early = when == "connecting"
        if kind is not None and early:
            await stand.emulator.inject(Fault(LISTEN, kind, moment=Moment.CONNECT))
        stream = stand.call()
        if not early:
            await until(lambda: bool(stand.emulator.open_exchanges()), 2, "a connection")
            stream.speech_started()
            stream.push(next(iter(spoken.values())))
            await asyncio.sleep(0.05)
        if kind is not None and not early:
            await stand.emulator.inject(Fault(LISTEN, kind, moment=Moment.NOW))
        if when == "owing words":
            stream.speech_paused(1)
        began = asyncio.get_running_loop().time()
        await stream.close()
        assert asyncio.get_running_loop().time() - began < 1.5
        assert stand.errors == []
        told = list(stand.transcripts)
        await asyncio.sleep(0.1)
        assert stand.transcripts == told, "nothing comes after close"

    play(story)


def test_a_wrong_setting_is_found_by_the_check(play: Play) -> None:
    async def story(stand: Stand) -> None:
        (check,) = (one for one in stand.clouds.checks if one.stage.value == "stt")
        await check.try_it()
        await stand.emulator.inject(Fault(LISTEN, Kind.RETIRED, moment=Moment.CONNECT))
        with pytest.raises(ProviderError, match="check the model"):
            await check.try_it()

    play(story)


def test_flux_guesses_before_it_is_asked_and_no_guess_is_an_answer(
    play: Play, spoken: dict[str, bytes]
) -> None:
    async def story(stand: Stand) -> None:
        (text, pcm), *_ = spoken.items()
        stream = stand.call()
        stream.speech_started()
        for start in range(0, len(pcm), 320):
            stream.push(pcm[start : start + 320])
            await asyncio.sleep(0.002)
        flux = stand.settings.deepgram_model.startswith("flux")
        for slot in range(500):  # silence in which nobody asks
            if slot >= 25 and (stand.transcripts or not flux):
                break
            stream.push(bytes(320))
            await asyncio.sleep(0.02)
        guesses = [one for one in stand.transcripts if one.early]
        assert [same(one.text, text) for one in guesses] == ([True] if flux else [])
        assert stand.requests("stt", "deepgram", "ok") == 0
        stream.speech_paused(1)
        await until(lambda: any(not one.early for one in stand.transcripts), 5, "words")
        assert stand.transcripts[-1].pause == 1
        assert same(stand.transcripts[-1].text, text)
        assert stand.requests("stt", "deepgram", "ok") == 1

    play(story)


def test_noise_is_answered_by_no_words(play: Play) -> None:
    async def story(stand: Stand) -> None:
        said, _ = await stand.say(bytes(24_000))
        assert said == ""
        assert stand.requests("stt", "deepgram", "ok") == 1

    play(story)
