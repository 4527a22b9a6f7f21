"""The probe's SIP, against another implementation of it: the tests' own telephone, on loopback."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack

from tests.support.scene import story
from tests.support.sip import Manner, SipPhone
from tests.support.stage import tone
from voicebot.audio import alaw
from voicebot.audio.pcm import FRAME_BYTES, SILENCE_FRAME
from voicebot.probe.sip_leg import T1, SipLeg
from voicebot.simulator.leg import End
from voicebot.simulator.tape import Tape

LOOPBACK = "127.0.0.1"


class Handset:
    """Says *speech*, keeps what it hears."""

    def __init__(self, speech: bytes = b"") -> None:
        self.unsaid = speech
        self.heard = b""
        self.answered_at: float | None = None
        self.done = False

    def frame_heard(self, pcm: bytes, now: float) -> None:
        self.heard += pcm

    def next_frame(self, now: float) -> bytes:
        frame, self.unsaid = self.unsaid[:FRAME_BYTES], self.unsaid[FRAME_BYTES:]
        return frame or SILENCE_FRAME

    def next_digit(self, now: float) -> str | None:
        return None

    def wants_hangup(self, now: float) -> bool:
        return self.done

    def answered(self, now: float) -> None:
        self.answered_at = now


async def leg_to(port: int, handset: Handset, stack: AsyncExitStack) -> SipLeg:
    tape = Tape(asyncio.get_running_loop().time())
    leg = SipLeg("0123abcd", (LOOPBACK, port), handset, tape, handset.answered)
    await leg.open(LOOPBACK)
    stack.push_async_callback(leg.close)
    return leg


@story
async def test_both_hear_each_other_and_the_other_side_hangs_up() -> None:
    hello = alaw.decode(alaw.encode(tone(0.5)))
    handset = Handset(hello)
    async with SipPhone("exchange") as phone, AsyncExitStack() as stack:
        leg = await leg_to(phone.port, handset, stack)
        call = await phone.next_call(5)
        answer = alaw.decode(alaw.encode(tone(0.4, hertz=700.0)))
        call.media.play(answer)
        await call.media.hears(hello, 5)
        await call.media.spoken(5)
        await asyncio.sleep(0.1)
        call.hang_up()
        assert await asyncio.wait_for(leg.ended, 5) is End.BOT
        assert answer in handset.heard
        assert handset.answered_at is not None
        assert call.invite.start.startswith("INVITE sip:0123abcd@")


@story
async def test_it_hangs_up_and_says_bye_once() -> None:
    handset = Handset()
    async with SipPhone("exchange") as phone:
        async with AsyncExitStack() as stack:
            leg = await leg_to(phone.port, handset, stack)
            call = await phone.next_call(5)
            await asyncio.sleep(0.1)
            handset.done = True
            assert await asyncio.wait_for(leg.ended, 5) is End.CALLER
            leg.hang_up()
        await call.ended(5)


@story
async def test_a_refusal_is_told_in_the_exchanges_words() -> None:
    async with SipPhone("exchange", manner=Manner.BUSY) as phone, AsyncExitStack() as stack:
        leg = await leg_to(phone.port, Handset(), stack)
        assert await asyncio.wait_for(leg.ended, 5) is End.LOST
        assert leg.fault == "Asterisk answers 486 Busy Here"
        assert not leg.answered


@story
async def test_a_call_that_only_rings_is_cancelled() -> None:
    async with SipPhone("exchange", manner=Manner.RING) as phone:
        async with AsyncExitStack() as stack:
            leg = await leg_to(phone.port, Handset(), stack)
            call = await phone.next_call(5)
            leg.hang_up()
            assert await asyncio.wait_for(leg.ended, 5) is End.LOST
        await call.ended(5)
        assert call.answered_at is None


class Deaf(asyncio.DatagramProtocol):
    """Takes everything, answers nothing but what is sent by hand."""

    def __init__(self) -> None:
        self.got: list[tuple[float, bytes]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.got.append((time.monotonic(), data))
        self.transport.sendto(b"SIP/2.0 nonsense\r\ncall-id: x\r\n\r\n", addr)  # type: ignore[attr-defined]


@story
async def test_an_unanswered_invite_is_repeated_and_nonsense_does_no_harm() -> None:
    loop = asyncio.get_running_loop()
    transport, deaf = await loop.create_datagram_endpoint(Deaf, local_addr=(LOOPBACK, 0))
    async with AsyncExitStack() as stack:
        stack.callback(transport.close)
        leg = await leg_to(transport.get_extra_info("sockname")[1], Handset(), stack)
        await asyncio.sleep(2.2 * T1 + 1.0)
        invites = [data for _, data in deaf.got if data.startswith(b"INVITE")]
        assert len(invites) == 3  # at 0, T1 and 3 T1
        assert len(set(invites)) == 1
        assert not leg.ended.done()
        leg.hang_up()
        assert await leg.ended is End.LOST
