"""Whatever reaches the port: a line in the log, a counter, and a caller who notices nothing."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter

import pytest

from tests.support.scene import story
from tests.support.service import ServiceInstance
from tests.support.telephone import GAP_SECONDS, calling
from tests.support.waiting import until
from voicebot.audiosocket.frames import Kind, encode

pytestmark = pytest.mark.service

CONNECTIONS = 200
NO_UUID = "no call UUID within 5 s"
NOT_A_UUID = "first message must be a UUID"
UNWELCOME = (
    (b"", NO_UUID),
    (encode(Kind.UUID, uuid.uuid4().bytes)[:2], NO_UUID),  # half a header, and no more
    (b"GET / HTTP/1.1\r\n\r\n", NOT_A_UUID),
    (encode(Kind.SLIN8, bytes(65_535)), NOT_A_UUID),
    (encode(Kind.UUID, b""), NOT_A_UUID),
)
"""What strangers send, and how the log explains that they are sent away."""


@story
async def test_two_hundred_strangers_at_once_disturb_no_caller(service: ServiceInstance) -> None:
    refused = service.count("connections_refused_total", reason="protocol")
    faults = service.count("audiosocket_errors_total", fault="remote")
    known = len(service.logged("not an AudioSocket call"))
    async with calling(service) as caller:
        await caller.hears_speech()
        began = len(caller.line.received)
        farewells = await asyncio.gather(
            *(
                stranger(service.audiosocket_port, UNWELCOME[number % len(UNWELCOME)][0])
                for number in range(CONNECTIONS)
            )
        )
        heard = len(caller.line.received) - began

        await caller.press("1")
        await caller.event("state changed", state="identification")

    assert set(farewells) == {encode(Kind.HANGUP)}, "not one was cut off by a reset"
    assert caller.longest_gap() < GAP_SECONDS
    assert heard > 150, "the greeting went on while the service waited for a UUID"
    explained = service.logged("not an AudioSocket call")[known:]
    assert Counter(reason_of(line["reason"]) for line in explained) == {
        NO_UUID: 2 * CONNECTIONS // len(UNWELCOME),
        NOT_A_UUID: 3 * CONNECTIONS // len(UNWELCOME),
    }
    assert service.count("connections_refused_total", reason="protocol") == refused + CONNECTIONS
    assert service.count("audiosocket_errors_total", fault="remote") == faults + CONNECTIONS


async def stranger(port: int, data: bytes) -> bytes:
    """Send *data*, wait for the end; what the service had to say to that."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    try:
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


def reason_of(text: str) -> str:
    return next((known for known in (NO_UUID, NOT_A_UUID) if known in text), text)


@story
async def test_a_caller_of_whom_no_audio_comes_is_spoken_to_all_the_same(
    service: ServiceInstance,
) -> None:
    async with calling(service, silent=True) as caller:
        await caller.hears_speech()
        await asyncio.sleep(5)
        frames = len(caller.line.received)
        await caller.press("1")
        await caller.event("state changed", state="identification")

    assert frames == pytest.approx(5 * 50, abs=60)
    assert caller.longest_gap() < GAP_SECONDS


@story
async def test_oddities_inside_a_call_do_not_end_it(service: ServiceInstance) -> None:
    faults = service.count("audiosocket_errors_total", fault="remote")
    async with calling(service) as caller:
        await caller.hears_speech()
        caller.line.send(encode(Kind.SLIN8, b""))
        caller.line.send(encode(0x42, b"what?"))
        caller.line.send(encode(Kind.SLIN8, bytes(65_535)))  # 4 s of silence at once
        await caller.event("odd AudioSocket message")
        await caller.press("1")
        await caller.event("state changed", state="identification")

    await until(
        lambda: service.count("audiosocket_errors_total", fault="remote") >= faults + 2,
        5,
        "the oddities are counted",
    )
