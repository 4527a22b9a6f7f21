"""What the voicebot decides, the dialplan does: hang up, or bring a human on the line."""

import asyncio

import pytest

from tests.support.asterisk import AsteriskInstance
from tests.support.scene import CALLER_NUMBER, announcement, scene, speech, story
from tests.support.scripted_bot import ScriptedBot
from tests.support.sip import Manner

pytestmark = pytest.mark.asterisk


@story
async def test_next_hangup_ends_the_call(asterisk: AsteriskInstance) -> None:
    async with ScriptedBot("hangup") as bot, scene(asterisk, bot) as stage:
        caller = await stage.caller.dial("777")
        call = await bot.next_call()
        sent_at = await call.end()
        gone_at = await caller.ended(2)

    assert gone_at - sent_at < 1
    (asked,) = bot.asked
    path, _, linkedid = asked.partition("?linkedid=")
    assert path == f"/v1/calls/{call.call_id}/next"
    assert linkedid.startswith("voicebot-"), "what joins our log with Asterisk's"
    assert stage.technician.calls == []
    assert "cause=16" in caller.reason, "a normal clearing"


@story
async def test_next_transfer_brings_a_technician_and_they_hear_each_other(
    asterisk: AsteriskInstance,
) -> None:
    async with ScriptedBot("transfer") as bot, scene(asterisk, bot) as stage:
        caller = await stage.caller.dial("777")
        call = await bot.next_call()
        await call.say(speech(11))
        await call.end()
        technician = await stage.technician.next_call(2)
        connected_at = await technician.answered()
        await stage.talk(caller, technician)
        await asyncio.sleep(max(0.0, connected_at + 1.5 - asyncio.get_running_loop().time()))
        technician.hang_up()
        await caller.ended(2)

    window = (connected_at + 0.2, connected_at + 1.5)
    assert caller.media.rate(*window) == pytest.approx(50, abs=10)
    assert technician.media.rate(*window) == pytest.approx(50, abs=10)
    assert technician.invite.get("x-voicebot-call") == str(call.call_id)
    assert f"sip:{CALLER_NUMBER}@" in technician.invite.get("from"), "the caller's number is kept"
    assert "technician=ANSWER" in asterisk.call_log(call.call_id)[-1]


@story
async def test_when_no_technician_answers_the_call_comes_back_to_the_bot(
    asterisk: AsteriskInstance,
) -> None:
    async with (
        ScriptedBot("transfer") as bot,
        scene(asterisk, bot, technician=Manner.RING) as stage,
    ):
        caller = await stage.caller.dial("777")
        first = await bot.next_call()
        left_at = await first.end()
        ringing = await stage.technician.next_call(2)
        given_up_at = await ringing.ended(5)

        second = await bot.next_call(2)
        await second.say(speech(12))
        await caller.media.hears(speech(12))
        bot.next_action = "hangup"
        await second.end()
        await caller.ended(2)

    assert second.call_id == first.call_id
    assert second.connected_at - given_up_at < 0.5, "no dead air"
    assert caller.media.rate(left_at + 0.5, given_up_at) > 40, "ringback meanwhile"
    assert len(stage.technician.calls) == 1


@story
async def test_a_busy_technician_sends_the_call_back_at_once(asterisk: AsteriskInstance) -> None:
    async with (
        ScriptedBot("transfer") as bot,
        scene(asterisk, bot, technician=Manner.BUSY) as stage,
    ):
        caller = await stage.caller.dial("777")
        first = await bot.next_call()
        left_at = await first.end()
        second = await bot.next_call(2)
        bot.next_action = "hangup"
        await second.end()
        await caller.ended(2)

    assert second.connected_at - left_at < 1
    assert "event=technician round=1 status=BUSY" in asterisk.call_log(first.call_id)


@story
async def test_a_call_goes_round_twice_at_most_and_ends_with_an_announcement(
    asterisk: AsteriskInstance,
) -> None:
    async with (
        ScriptedBot("transfer") as bot,
        scene(asterisk, bot, technician=Manner.BUSY) as stage,
    ):
        caller = await stage.caller.dial("777")
        for _ in range(2):
            call = await bot.next_call(2)
            await call.end()
        await caller.media.hears(announcement()[:8000])

    assert len(bot.calls) == 2
    assert len(stage.technician.calls) == 2
    assert any("event=nobody" in line for line in asterisk.call_log(call.call_id))


@story
async def test_without_a_technician_the_bot_gets_the_call_back(asterisk: AsteriskInstance) -> None:
    async with ScriptedBot("transfer") as bot, scene(asterisk, bot, technician=None) as stage:
        caller = await stage.caller.dial("777")
        await (await bot.next_call()).end()
        second = await bot.next_call(2)
        bot.next_action = "hangup"
        await second.end()
        await caller.ended(2)


@story
async def test_a_caller_who_gives_up_stops_the_ringing(asterisk: AsteriskInstance) -> None:
    async with (
        ScriptedBot("transfer") as bot,
        scene(asterisk, bot, technician=Manner.RING) as stage,
    ):
        caller = await stage.caller.dial("777")
        await (await bot.next_call()).end()
        ringing = await stage.technician.next_call(2)
        caller.hang_up()
        await ringing.ended(2)

    assert len(bot.calls) == 1, "nobody is left to come back"
