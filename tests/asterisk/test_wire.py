"""What a real Asterisk puts on the AudioSocket wire, and what it makes of ours."""

import asyncio
import itertools

import pytest

from tests.support.asterisk import AsteriskInstance
from tests.support.scene import scene, speech, story
from tests.support.scripted_bot import AUDIO, DIGIT, UUID, ScriptedBot
from voicebot.audio.pcm import FRAME_BYTES

pytestmark = pytest.mark.asterisk


@story
async def test_a_call_starts_with_its_id_and_goes_on_in_frames(asterisk: AsteriskInstance) -> None:
    async with ScriptedBot() as bot, scene(asterisk, bot) as stage:
        caller = await stage.caller.dial("777")
        call = await bot.next_call()
        await asyncio.sleep(1)
        await call.end()

    assert call.call_id is not None
    assert call.received.startswith(b"\x01\x00\x10" + call.call_id.bytes + b"\x10\x01\x40")
    assert call.kinds[0] == UUID
    assert set(call.kinds[1:]) == {AUDIO}
    assert {len(frame) for frame in call.frames} == {FRAME_BYTES}
    assert 40 <= len(call.frames) <= 60, "a frame every 20 ms"
    assert caller.ended_at is not None


@story
async def test_speech_crosses_both_ways_without_a_changed_sample(
    asterisk: AsteriskInstance,
) -> None:
    async with ScriptedBot() as bot, scene(asterisk, bot) as stage:
        caller = await stage.caller.dial("777")
        call = await bot.next_call()
        question, answer = speech(1), speech(2)
        caller.media.play(answer)
        await call.say(question)
        await asyncio.gather(caller.media.hears(question), call.hears(answer))
        await call.end()


@story
async def test_a_steady_stream_stays_steady(asterisk: AsteriskInstance) -> None:
    async with ScriptedBot() as bot, scene(asterisk, bot) as stage:
        caller = await stage.caller.dial("777")
        call = await bot.next_call()
        await call.say(speech(3, 2.0))
        await call.end()

    packets = [heard.packet for heard in caller.media.heard]
    assert {len(packet.payload) for packet in packets} == {160}
    steps = [(b.sequence - a.sequence) & 0xFFFF for a, b in itertools.pairwise(packets)]
    assert set(steps) == {1}, "no packet lost or out of order"


@story
async def test_keys_arrive_as_digits(asterisk: AsteriskInstance) -> None:
    async with ScriptedBot() as bot, scene(asterisk, bot) as stage:
        caller = await stage.caller.dial("777")
        call = await bot.next_call()
        caller.media.press("0612*#")
        await call.dialled("0612*#")
        await call.end()

    assert bytes((DIGIT, 0, 1)) + b"6" in call.received
    assert call.kinds.count(DIGIT) == 6


@story
async def test_hanging_up_in_mid_sentence_closes_the_connection_and_rings_nobody(
    asterisk: AsteriskInstance,
) -> None:
    async with ScriptedBot("transfer") as bot, scene(asterisk, bot) as stage:
        caller = await stage.caller.dial("777")
        call = await bot.next_call()
        call.speech += speech(4, 10)
        await caller.media.hears(speech(4, 10)[:3200])
        caller.hang_up()
        await call.ended(2)

    assert bot.asked == [], "nobody asks what is next: the caller is gone"
    assert stage.technician.calls == []
    assert "event=end" in asterisk.call_log(call.call_id)[-1]
