"""A call by a trunk, as somebody sees it who listens on the wire; what he found, as JSON.

``python -m tests.support.encrypted_call tls`` or ``udp``: in a network of its own, in which it is
root.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Awaitable, Callable

from bench.wire import WireTap
from tests.support.certificates import Authority
from tests.support.scene import speech
from tests.support.scripted_bot import ScriptedBot
from tests.support.tls_site import Appliance, Ends, Exchange
from voicebot.audio import alaw
from voicebot.audio.pcm import silence
from voicebot.sip.rtp import RtpPacket

RTP = range(20_000, 21_000)
"""Ports of both Asterisks (voicebot.d/rtp.conf); telephones have others."""
SAMPLE = 80
"""Bytes of a packet that are looked for in what was said."""
ATTEMPTS = 5
Say = Callable[[bytes], Awaitable[None]]
Hears = Callable[[bytes, float], Awaitable[None]]


class Listener(WireTap):
    """Keeps what passes from one Asterisk to the other, whatever it is."""

    def __init__(self) -> None:
        super().__init__(RTP)
        self.payloads: list[bytes] = []

    def _note(self, datagram: bytes, notes: list[tuple[int, int, bytes]]) -> None:
        udp = datagram[4 * (datagram[0] & 0x0F) :]
        ports = int.from_bytes(udp[:2]), int.from_bytes(udp[2:4])
        with contextlib.suppress(ValueError):
            if all(port in RTP for port in ports):
                self.payloads.append(RtpPacket.decode(udp[8:]).payload)

    def understood(self, *said: bytes) -> int:
        """How many packets hold a piece of what was *said*."""
        words = [alaw.encode(pcm) for pcm in said]
        return sum(any(p[:SAMPLE] in w for w in words) for p in self.payloads)


async def said_until_heard(say: Say, pcm: bytes, hears: Hears) -> None:
    """What is said while the two Asterisks still join their legs, or learn from where the other's
    audio comes (strictrtp), is lost; and what is encrypted is the question here, not when.
    """
    for _ in range(ATTEMPTS):
        await say(silence(0.3) + pcm)
        with contextlib.suppress(TimeoutError):
            return await hears(pcm, 2)
    return await hears(pcm, 0)  # says what is missing


async def talk(appliance: Appliance, exchange: Exchange, listener: Listener) -> int:
    """Each says something that the other hears to the bit; how much of it the listener has."""
    question, answer = speech(1), speech(2)
    async with ScriptedBot() as bot, exchange.customer() as customer:
        appliance.serve(bot)
        caller = await customer.dial("777", within=15)
        call = await bot.next_call()
        await asyncio.gather(
            said_until_heard(call.say, question, caller.media.hears),
            said_until_heard(caller.media.say, answer, call.hears),
        )
        await call.end()
    return listener.understood(question, answer)


def main() -> None:
    sip, audio = ("tls", "sdes") if sys.argv[1] == "tls" else ("udp", "no")
    ends = Ends.of(Authority())
    with Appliance(ends, asterisk_trunks=[ends.trunk(tls=sip == "tls")]) as appliance:
        port = 0 if sip == "tls" else appliance.sip_port
        with Exchange(ends, sip=sip, audio=audio, port=port) as exchange, Listener() as listener:
            understood = asyncio.run(talk(appliance, exchange, listener))
    print(json.dumps({"passed": len(listener.payloads), "understood": understood}))


if __name__ == "__main__":
    main()
