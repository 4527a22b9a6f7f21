"""Good calls over real sockets: the rhythm, both directions, and the order of the end."""

from __future__ import annotations

import asyncio
import itertools
import time
import uuid
from collections.abc import Callable

import pytest

from tests.support.fake_asterisk import FakeAsterisk, Outcome
from tests.support.waiting import until
from tests.wire.conftest import Bot, Call, Scenario
from voicebot.audio import pcm

CALL = uuid.UUID("38cb4678-7fb1-4f3d-968d-396c7cf30c07")

Play = Callable[[Scenario], None]


def frame(value: int) -> bytes:
    return bytes([value]) * pcm.FRAME_BYTES


def test_a_call_is_admitted_and_the_caller_is_sent_silence_at_once(play: Play) -> None:
    async def scenario(bot: Bot) -> None:
        async with await FakeAsterisk.dial(bot.port, CALL) as asterisk:
            began = time.monotonic()
            await asterisk.heard(3)
            assert time.monotonic() - began < 1
            assert bot.connections[0].call_id == CALL
            assert asterisk.audio[: 3 * pcm.FRAME_BYTES] == 3 * pcm.SILENCE_FRAME

    play(scenario)


def test_frames_are_320_bytes_and_as_many_as_time_has_slots(play: Play) -> None:
    async def scenario(bot: Bot) -> None:
        async with await FakeAsterisk.dial(bot.port) as asterisk:
            call = await bot.call()
            call.playout = [frame(k) for k in range(1, 21)]
            await asterisk.heard(50)
            elapsed = asterisk.received[49].at - asterisk.received[0].at
            # Slot 49 is written 47 periods after the first; a busy machine may only be late.
            assert elapsed > 47 * pcm.FRAME_SECONDS - 0.005
            assert {len(m.payload) for m in asterisk.received} == {pcm.FRAME_BYTES}
            spoken = [m.payload[0] for m in asterisk.received if any(m.payload)]
            assert spoken == list(range(1, 21))
            assert bot.count("audio_frames_total", direction="out") >= 50
            assert bot.count("audio_frame_lateness_seconds_count") >= 50

    play(scenario)


def test_audio_and_digits_reach_the_call(play: Play) -> None:
    async def scenario(bot: Bot) -> None:
        async with await FakeAsterisk.dial(bot.port) as asterisk:
            asterisk.say(b"ab" * 62)  # an odd size from a Local channel
            asterisk.press("4")
            asterisk.say(b"cd" * 480)  # a packet time of 60 ms
            asterisk.press("#")
            call = await bot.call()
            await until(lambda: call.digits == "4#", 5, "both digits")
            assert call.heard == b"ab" * 62 + b"cd" * 480
            assert bot.count("audio_frames_total", direction="in") == pytest.approx(1084 / 320)

    play(scenario)


@pytest.mark.parametrize(("kind", "rate"), [(0x11, 12_000), (0x12, 16_000), (0x16, 48_000)])
def test_other_rates_arrive_at_8_khz(play: Play, kind: int, rate: int) -> None:
    async def scenario(bot: Bot) -> None:
        async with await FakeAsterisk.dial(bot.port) as asterisk:
            for _ in range(50):
                asterisk.say(b"\x00\x10" * (rate // 50), kind)
            asterisk.press("1")
            call = await bot.call()
            await until(lambda: call.digits == "1", 5, "the digit")
            assert pcm.seconds(call.heard) == pytest.approx(1.0, abs=0.1)

    play(scenario)


def test_a_rate_that_changes_within_a_call_changes_no_length(play: Play) -> None:
    async def scenario(bot: Bot) -> None:
        async with await FakeAsterisk.dial(bot.port) as asterisk:
            for kind, rate in [(0x12, 16_000), (0x16, 48_000)]:
                for _ in range(50):
                    asterisk.say(b"\x00\x10" * (rate // 50), kind)
            asterisk.press("1")
            call = await bot.call()
            await until(lambda: call.digits == "1", 5, "the digit")
            assert pcm.seconds(call.heard) == pytest.approx(2.0, abs=0.2)

    play(scenario)


def test_a_caller_who_hangs_up_ends_the_call_without_error(play: Play) -> None:
    async def scenario(bot: Bot) -> None:
        async with await FakeAsterisk.dial(bot.port) as asterisk:
            call = await bot.call()
            asterisk.talk()
            await asterisk.heard(10)
            asterisk.hang_up()
            await asyncio.wait_for(call.lost.wait(), 5)
            slots = call.slots
            call.connection.end()  # both are too late, and harmless
            call.connection.abort()
            await asyncio.sleep(0.05)
            assert call.losses == [None]
            assert call.slots == slots

    play(scenario)


def test_the_end_plays_what_was_handed_over_then_lets_the_dialplan_go_on(play: Play) -> None:
    async def scenario(bot: Bot) -> None:
        def end_with_the_last_word(call: Call) -> None:
            if len(call.playout) == 1:
                call.connection.end()
                call.connection.end()

        async with await FakeAsterisk.dial(bot.port) as asterisk:
            call = await bot.call()
            call.on_frame = end_with_the_last_word
            call.playout = [frame(k) for k in range(1, 11)]
            asterisk.talk()
            assert await asterisk.finished() is Outcome.CONTINUES
            assert asterisk.reason == "end message"
            *_, last, end = asterisk.received
            assert last.payload == frame(10), "every frame handed over was sent"
            assert end.at - last.at > 0.055, "and had been played when the end was sent"
            await asyncio.wait_for(call.lost.wait(), 5)
            assert call.losses == [None]

    play(scenario)


def test_ending_never_resets_while_the_caller_goes_on_talking(play: Play) -> None:
    async def scenario(bot: Bot) -> None:
        async with await FakeAsterisk.dial(bot.port, stays_after_end=0.4) as asterisk:
            call = await bot.call()
            asterisk.talk()
            await asterisk.heard(10)
            call.connection.end()
            # It goes on sending for 0.4 s; a server that closed meanwhile would have reset it.
            assert await asterisk.finished() is Outcome.CONTINUES
            assert asterisk.reason == "end message"
            await asyncio.wait_for(call.lost.wait(), 5)
            assert call.losses == [None]

    play(scenario)


def test_a_refused_call_goes_back_to_the_dialplan(play: Play) -> None:
    async def scenario(bot: Bot) -> None:
        bot.admit = lambda call_id: False
        async with await FakeAsterisk.dial(bot.port, stays_after_end=0.2) as asterisk:
            asterisk.talk()
            assert await asterisk.finished() is Outcome.CONTINUES
            assert [m.kind for m in asterisk.received] == [0]

    play(scenario)


def test_an_aborted_call_is_gone_at_once(play: Play) -> None:
    async def scenario(bot: Bot) -> None:
        async with await FakeAsterisk.dial(bot.port) as asterisk:
            call = await bot.call()
            call.connection.abort()
            await asyncio.wait_for(call.lost.wait(), 5)
            assert call.losses == [None]
            await asterisk.finished()
            assert not asterisk.ended_by_server

    play(scenario)


def test_a_call_may_end_while_it_is_being_accepted(play: Play) -> None:
    async def scenario(bot: Bot) -> None:
        bot.prepare = lambda call: call.connection.end()
        async with await FakeAsterisk.dial(bot.port) as asterisk:
            assert await asterisk.finished() is Outcome.CONTINUES
            await asyncio.wait_for(bot.calls[0].lost.wait(), 5)
            assert (bot.calls[0].slots, bot.calls[0].losses) == (0, [None])

    play(scenario)


def test_a_loop_that_stands_still_for_60_ms_loses_no_time(play: Play) -> None:
    async def scenario(bot: Bot) -> None:
        async with await FakeAsterisk.dial(bot.port) as asterisk:
            call = await bot.call()
            began = time.monotonic()
            for _ in range(5):
                await asyncio.sleep(0.1)
                time.sleep(0.06)  # noqa: ASYNC251 - the stall is the point
            await asyncio.sleep(0.05)
            slots = (time.monotonic() - began) / pcm.FRAME_SECONDS
            # A busy machine may make one stall longer than 100 ms; then slots are given up.
            if call.connection._pacer.rebases == 0:
                assert abs(call.slots - slots - 3) < 4
            assert call.slots > 10
            await asterisk.heard(call.slots)

    play(scenario)


def test_twenty_calls_do_not_mix(play: Play) -> None:
    async def scenario(bot: Bot) -> None:
        calls = [uuid.UUID(int=k) for k in range(1, 21)]
        telephones = [await FakeAsterisk.dial(bot.port, call_id) for call_id in calls]
        for k, telephone in enumerate(telephones, 1):
            telephone.say(frame(k))
        await asyncio.gather(*(telephone.heard(5) for telephone in telephones))
        for call in bot.calls:
            assert call.connection.call_id is not None
            call.playout = [frame(call.connection.call_id.int)] * 3
        await asyncio.gather(*(telephone.heard(20) for telephone in telephones))
        for call in bot.calls:
            assert call.connection.call_id is not None
            assert call.heard == frame(call.connection.call_id.int)
            call.connection.end()
        for k, telephone in enumerate(telephones, 1):
            assert await telephone.finished() is Outcome.CONTINUES
            runs = [value for value, _ in itertools.groupby(telephone.audio)]
            assert runs == [0, k, 0], "one unbroken sentence, its own"
            async with telephone:
                pass

    play(scenario)
