"""Whatever the voicebot does wrong, its caller reaches a human, and soon."""

import asyncio
import re

import pytest

from tests.support.asterisk import REPOSITORY, AsteriskInstance
from tests.support.rtp import AUDIBLE
from tests.support.scene import announcement, no_voicebot, scene, speech, story
from tests.support.scripted_bot import ScriptedBot
from tests.support.sip import Manner

pytestmark = pytest.mark.asterisk


@story
async def test_a_voicebot_that_is_down(asterisk: AsteriskInstance) -> None:
    with no_voicebot() as bot:
        async with scene(asterisk, bot) as stage:
            caller = await stage.caller.dial("777")
            technician = await stage.technician.next_call(2)
            connected_at = await technician.answered()
            await stage.talk(caller, technician)

    assert caller.answered_at is not None
    assert connected_at - caller.answered_at < 1


@story
async def test_a_voicebot_that_is_full(asterisk: AsteriskInstance) -> None:
    async with ScriptedBot("transfer", refuse=True) as bot, scene(asterisk, bot) as stage:
        caller = await stage.caller.dial("777")
        technician = await stage.technician.next_call(2)
        await technician.answered()
        await stage.talk(caller, technician)


@story
async def test_a_voicebot_that_dies_in_mid_call(asterisk: AsteriskInstance) -> None:
    async with ScriptedBot("transfer") as bot, scene(asterisk, bot) as stage:
        caller = await stage.caller.dial("777")
        call = await bot.next_call()
        call.speech += speech(21, 5)
        await caller.media.hears(speech(21, 5)[:3200])
        died_at = call.reset()
        technician = await stage.technician.next_call(2)
        connected_at = await technician.answered()
        await stage.talk(caller, technician)

    assert connected_at - died_at < 1
    assert "event=left-bot round=1 audiosocket=FAILED next=transfer" in (
        asterisk.call_log(call.call_id)
    )


@story
async def test_a_control_api_that_is_down(asterisk: AsteriskInstance) -> None:
    with no_voicebot() as nowhere:
        async with ScriptedBot() as bot:
            bot.control_port = nowhere.control_port
            async with scene(asterisk, bot) as stage:
                caller = await stage.caller.dial("777")
                sent_at = await (await bot.next_call()).end()
                technician = await stage.technician.next_call(2)
                connected_at = await technician.answered()
                await stage.talk(caller, technician)

    assert connected_at - sent_at < 1


@story
async def test_a_control_api_that_hangs(asterisk: AsteriskInstance) -> None:
    async with ScriptedBot(next_action=None) as bot, scene(asterisk, bot) as stage:
        caller = await stage.caller.dial("777")
        sent_at = await (await bot.next_call()).end()
        technician = await stage.technician.next_call(6)
        connected_at = await technician.answered()
        await stage.talk(caller, technician)

    assert connected_at - sent_at < 4


@story
async def test_a_control_api_that_answers_nonsense(asterisk: AsteriskInstance) -> None:
    async with ScriptedBot("<h1>502 Bad Gateway</h1>") as bot, scene(asterisk, bot) as stage:
        caller = await stage.caller.dial("777")
        await (await bot.next_call()).end()
        technician = await stage.technician.next_call(2)
        await technician.answered()
        await stage.talk(caller, technician)


@story
async def test_a_voicebot_that_is_stuck_loses_the_call_to_a_human(
    asterisk: AsteriskInstance,
) -> None:
    async with ScriptedBot() as bot, scene(asterisk, bot, limit=2) as stage:
        caller = await stage.caller.dial("777")
        call = await bot.next_call()
        technician = await stage.technician.next_call(5)
        await technician.answered()
        await stage.talk(caller, technician)
        await asyncio.sleep(2.5)  # longer than the limit, which holds for the voicebot only
        assert caller.ended_at is None

    assert "event=stuck round=1" in asterisk.call_log(call.call_id)


@story
async def test_nobody_at_all_ends_in_an_announcement(asterisk: AsteriskInstance) -> None:
    with no_voicebot() as bot:
        async with scene(asterisk, bot, technician=Manner.BUSY) as stage:
            caller = await stage.caller.dial("777")
            await caller.media.hears(announcement(), 15)
            await caller.ended(2)

    assert len(stage.technician.calls) == 1, "rung once: the voicebot did not ask for more"


@story
async def test_a_missing_announcement_is_replaced_by_a_tone(asterisk: AsteriskInstance) -> None:
    with no_voicebot() as bot:
        async with scene(asterisk, bot, technician=None, nobody="/nonexistent/file") as stage:
            caller = await stage.caller.dial("777")
            ended_at = await caller.ended(10)

    assert caller.answered_at is not None
    assert ended_at - caller.answered_at == pytest.approx(4, abs=1)
    assert caller.media.loudest() > AUDIBLE, "congestion tone"


@story
async def test_the_lever_that_diverts_all_calls_to_people_and_its_way_back(
    asterisk: AsteriskInstance,
) -> None:
    """As docs/how-to/be-on-call.md has it, while the voicebot is well."""
    page = (REPOSITORY / "docs/how-to/be-on-call.md").read_text(encoding="utf-8")
    divert, back = re.findall(r"^asterisk -rx '(dialplan [^']+)'", page, flags=re.M)
    async with ScriptedBot("transfer") as bot, scene(asterisk, bot) as stage:
        asterisk.cli(divert)
        caller = await stage.caller.dial("777")
        technician = await stage.technician.next_call(2)
        await technician.answered()
        await stage.talk(caller, technician)
        assert bot.calls == []

        asterisk.cli(back)
        await stage.caller.dial("777")
        await (await bot.next_call()).end()
