"""Twenty callers at once through Asterisk, each on a line of their own."""

import asyncio
from pathlib import Path

import pytest

from tests.support.asterisk import AsteriskInstance
from tests.support.scene import scene, speech, story
from tests.support.scripted_bot import BotCall, ScriptedBot
from tests.support.sipp import place_calls
from voicebot.audio.pcm import FRAME_BYTES

pytestmark = pytest.mark.asterisk

CALLS = 20
SECONDS = 4.0


@story
async def test_twenty_calls_at_once(asterisk: AsteriskInstance, tmp_path: Path) -> None:
    said = speech(31, 2.0)

    async def hold(call: BotCall) -> None:
        await asyncio.sleep(SECONDS)
        await call.end()

    async with ScriptedBot("hangup") as bot, scene(asterisk, bot) as stage:
        callers = asyncio.create_task(
            place_calls("777", asterisk.sip_port, CALLS, said, tmp_path, within=30)
        )
        async with asyncio.TaskGroup() as held:
            for _ in range(CALLS):
                held.create_task(hold(await bot.next_call(10)))
        await callers

    assert len({call.call_id for call in bot.calls}) == CALLS
    assert stage.technician.calls == []
    for call in bot.calls:
        heard = b"".join(call.frames)
        assert len(call.frames) == pytest.approx(SECONDS * 50, rel=0.1)
        assert said[: 25 * FRAME_BYTES] in heard, "each is heard without a changed sample"
