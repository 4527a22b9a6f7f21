"""What every story about a telephone call needs: a caller, a technician, Asterisk between them.

``story`` lets an async function be a test. ``scene`` opens the two telephones, points Asterisk
at them and at this test's voicebot, and at the end waits until no channel is left, so that no
story can disturb the next.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import random
import socket
import struct
import wave
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import ParamSpec, Protocol

from tests.support.asterisk import (
    CALLER_ADDRESS,
    LOOPBACK,
    NOBODY,
    REPOSITORY,
    TECHNICIAN_ADDRESS,
    AsteriskInstance,
    Route,
    held_port,
)
from tests.support.sip import Manner, SipCall, SipPhone
from voicebot.audio import alaw
from voicebot.audio.pcm import SAMPLE_RATE, silence

P = ParamSpec("P")
LOUD = 8_000
CALLER_NUMBER = "0612345678"


def story(test: Callable[P, Awaitable[None]]) -> Callable[P, None]:
    """Run an async test in an event loop of its own; fixtures come as usual."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        async def play() -> None:
            await test(*args, **kwargs)

        asyncio.run(play())

    return run


def speech(seed: int, seconds: float = 0.5) -> bytes:
    """Slin that no other seed gives, and that an A-law line carries without a change."""
    source = random.Random(seed)
    samples = [source.randint(-LOUD, LOUD) for _ in range(round(seconds * SAMPLE_RATE))]
    return alaw.decode(alaw.encode(struct.pack(f"<{len(samples)}h", *samples)))


def announcement() -> bytes:
    """Slin of what a caller hears when neither technician nor voicebot is there.

    The file holds A-law's levels only, so that a line carries it exactly; but Asterisk's
    format_wav takes the header's size off the end.
    """
    with wave.open(str(REPOSITORY / "asterisk/sounds/nobody.wav")) as tape:
        return bytes(tape.readframes(tape.getnframes() - 22))


class Voicebot(Protocol):
    """Anything Asterisk can be pointed at."""

    audiosocket_port: int
    control_port: int


@dataclass(slots=True)
class Ports:
    audiosocket_port: int
    control_port: int


@contextlib.contextmanager
def no_voicebot() -> Iterator[Voicebot]:
    """Ports where every connection is refused, as with a service that is down."""
    with held_port(socket.SOCK_STREAM) as one, held_port(socket.SOCK_STREAM) as other:
        yield Ports(one, other)


@dataclass(frozen=True, slots=True)
class Scene:
    asterisk: AsteriskInstance
    caller: SipPhone
    technician: SipPhone

    async def talk(self, one: SipCall, other: SipCall) -> None:
        """Each says something of their own, at the same time, and the other hears it exactly."""
        hello, answer = speech(101), speech(102)
        # A 200 goes out before Asterisk has joined the two legs: the first word may be lost.
        one.media.play(silence(0.3) + hello)
        other.media.play(silence(0.3) + answer)
        await asyncio.gather(one.media.hears(answer, 5), other.media.hears(hello, 5))


@contextlib.asynccontextmanager
async def scene(
    asterisk: AsteriskInstance,
    bot: Voicebot,
    *,
    technician: Manner | None = Manner.ANSWER,
    limit: int = 660,
    nobody: str = NOBODY,
) -> AsyncIterator[Scene]:
    """*technician* None: no technician is configured. The other arguments are Route's."""
    async with (
        SipPhone(
            CALLER_NUMBER, address=CALLER_ADDRESS, server=(LOOPBACK, asterisk.sip_port)
        ) as caller,
        SipPhone(
            "technician", address=TECHNICIAN_ADDRESS, manner=technician or Manner.BUSY
        ) as technician_phone,
    ):
        asterisk.point_at(
            Route(
                audiosocket_port=bot.audiosocket_port,
                control_port=bot.control_port,
                technician_port=technician_phone.port if technician else None,
                limit=limit,
                nobody=nobody,
            )
        )
        yield Scene(asterisk, caller, technician_phone)
    await asyncio.to_thread(asterisk.wait_idle)
