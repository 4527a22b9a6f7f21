"""Who is taken, who is refused, and that the callers who talk already do not notice."""

from __future__ import annotations

import asyncio
import urllib.error

import pytest

from tests.service.conftest import MAX_CALLS
from tests.support.fake_asterisk import Outcome
from tests.support.scene import story
from tests.support.service import ServiceInstance
from tests.support.telephone import GAP_SECONDS, calling
from tests.support.waiting import until

pytestmark = pytest.mark.service


@story
async def test_the_caller_too_many_goes_to_a_person_and_the_others_talk_on(
    service: ServiceInstance,
) -> None:
    refused = service.count("connections_refused_total", reason="full")
    async with calling(service) as one, calling(service) as two:
        await one.hears_speech()
        await two.hears_speech()
        assert await asyncio.to_thread(readiness, service) == (503, f"full: {MAX_CALLS} calls\n")

        async with calling(service) as third:
            assert await third.line.finished() is Outcome.CONTINUES
            assert third.line.ended_by_server, "with the end message, not only a close"
            assert third.line.audio == b""
            assert await third.next_step() == "transfer"

        line = await third.event("call refused")
        heard = len(one.line.received)
        await one.line.heard(heard + 25)
        assert max(one.longest_gap(), two.longest_gap()) < GAP_SECONDS

    assert (line["reason"], line["active"], line["limit"]) == ("full", MAX_CALLS, MAX_CALLS)
    assert service.count("connections_refused_total", reason="full") == refused + 1
    await until(lambda: service.count("calls_active") == 0, 5, "the calls are over")
    assert readiness(service) == (200, "ready\n")


@story
async def test_a_call_id_that_is_in_use_is_refused_and_its_call_goes_on(
    service: ServiceInstance,
) -> None:
    refused = service.count("connections_refused_total", reason="duplicate")
    async with calling(service) as first:
        await first.hears_speech()
        async with calling(service, first.call_id) as second:
            assert await second.line.finished() is Outcome.CONTINUES
            assert second.line.audio == b""
        heard = len(first.line.received)
        await first.line.heard(heard + 25)
        await first.press("1")
        await first.event("state changed", state="identification")
        assert first.longest_gap() < GAP_SECONDS

    assert service.count("connections_refused_total", reason="duplicate") == refused + 1
    assert (await first.event("call ended"))["outcome"] == "caller_hangup"


def readiness(service: ServiceInstance) -> tuple[int, str]:
    try:
        return 200, service.get("/readyz")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
