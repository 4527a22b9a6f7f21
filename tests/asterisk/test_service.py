"""The real service behind a real Asterisk: customers call 777 by SIP, and are helped in French."""

import asyncio
import re
import time
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.support.asterisk import CALLER_ADDRESS, LOOPBACK, AsteriskInstance
from tests.support.customers import WANTS_A_TECHNICIAN
from tests.support.rtp import AUDIBLE
from tests.support.scene import scene, story
from tests.support.service import ServiceInstance
from tests.support.sip import Manner, SipPhone
from tests.support.sip_customer import Conversation, attend, converse
from tests.support.waiting import until
from voicebot import config
from voicebot.simulator import scenario
from voicebot.simulator.lines import Line
from voicebot.simulator.synthesis import prepare_lines

pytestmark = [
    pytest.mark.asterisk,
    pytest.mark.service,
    pytest.mark.speech,
    pytest.mark.timeout(900),  # the first start on a machine renders the prompts
]

SCENARIOS = {name: scenario.load(name) for name in ("internet-resolved", "keypad")}
SCENARIOS["wants-a-technician"] = WANTS_A_TECHNICIAN
SCENARIOS["comes-back"] = scenario.parse(
    """
    title: the same person a moment later, whom no technician has answered
    rules:
      - when: "c'est bien ça"
        say: "Oui, c'est ça."
      - when: "vous rappelle"
        say: "Oui, rappelez-moi."
      - when: "numéro|clavier"
        keys: "0612345678#"
    expect: {outcome: callback, bot_says: ["re-bonjour", "06 12 34 56 78"]}
    """,
    "comes-back",
)
MAX_CALLS = 20


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceInstance]:
    with ServiceInstance(
        tmp_path_factory.mktemp("service"), MAX_CONCURRENT_CALLS=str(MAX_CALLS)
    ) as instance:
        yield instance


@pytest.fixture(scope="module")
def lines() -> Mapping[str, Line]:
    texts = [text for one in SCENARIOS.values() for text in one.lines()]
    settings = config.load({"VOICEBOT_ENV_FILE": "/dev/null"})
    return asyncio.run(prepare_lines(texts, settings, lambda message: None))


def phone(asterisk: AsteriskInstance, number: str) -> SipPhone:
    return SipPhone(number, address=CALLER_ADDRESS, server=(LOOPBACK, asterisk.sip_port))


def gauge(service: ServiceInstance, name: str) -> float:
    found = re.search(rf"^{name} (\S+)$", service.get("/metrics"), flags=re.MULTILINE)
    assert found, f"{name} is not in /metrics"
    return float(found[1])


@story
async def test_one_customer_is_helped_by_voice_and_another_by_keypad(
    asterisk: AsteriskInstance, service: ServiceInstance, lines: Mapping[str, Line]
) -> None:
    """At the same time: to see that neither disturbs the other, and to save some."""

    def play(telephone: SipPhone, name: str) -> Coroutine[None, None, Conversation]:
        return converse(asterisk, telephone, SCENARIOS[name], lines, service.control_port)

    async with scene(asterisk, service) as stage, phone(asterisk, "0698765432") as other:
        speaks, presses = await asyncio.gather(
            play(stage.caller, "internet-resolved"), play(other, "keypad")
        )
        await speaks.call.ended(5)
        await presses.call.ended(5)

    assert not speaks.failures, str(speaks)
    assert not presses.failures, str(presses)
    assert stage.technician.calls == []
    assert "next=hangup" in asterisk.call_log(speaks.call_id)[-1]


@story
async def test_a_customer_who_wants_a_technician_gets_one(
    asterisk: AsteriskInstance, service: ServiceInstance, lines: Mapping[str, Line]
) -> None:
    async with scene(asterisk, service) as stage:
        talk = await converse(
            asterisk, stage.caller, SCENARIOS["wants-a-technician"], lines, service.control_port
        )
        assert not talk.failures, str(talk)
        technician = await stage.technician.next_call(5)
        await technician.answered()
        await stage.talk(talk.call, technician)

    assert technician.invite.get("x-voicebot-call") == str(talk.call_id)


@story
async def test_a_customer_whom_no_technician_answers_is_offered_a_callback(
    asterisk: AsteriskInstance, service: ServiceInstance, lines: Mapping[str, Line]
) -> None:
    async with scene(asterisk, service, technician=Manner.RING) as stage:
        first = await converse(
            asterisk, stage.caller, SCENARIOS["wants-a-technician"], lines, service.control_port
        )
        assert not first.failures, str(first)
        await (await stage.technician.next_call(5)).ended(10)
        await until(lambda: gauge(service, "voicebot_calls_active") == 1, 5, "the bot has it back")
        second = await attend(
            first.call, first.call_id, SCENARIOS["comes-back"], lines, service.control_port
        )
        await second.call.ended(5)

    assert not second.failures, str(second)
    assert len(stage.technician.calls) == 1


@story
async def test_twenty_are_greeted_at_once_and_the_next_reaches_a_human(
    asterisk: AsteriskInstance, service: ServiceInstance
) -> None:
    async with scene(asterisk, service) as stage, AsyncExitStack() as street:
        phones = [
            await street.enter_async_context(phone(asterisk, f"06000000{number:02}"))
            for number in range(MAX_CALLS)
        ]
        calls = await asyncio.gather(*(one.dial("777", 10) for one in phones))
        await until(lambda: gauge(service, "voicebot_calls_active") == MAX_CALLS, 5, "all are in")
        late = await stage.caller.dial("777")
        technician = await stage.technician.next_call(5)
        await technician.answered()
        await stage.talk(late, technician)
        start = asyncio.get_running_loop().time()
        await asyncio.sleep(3)
        rates = [call.media.rate(start, start + 3) for call in calls]
        for call in calls:
            call.hang_up()

    assert rates == [pytest.approx(50, abs=3)] * MAX_CALLS
    assert len(stage.technician.calls) == 1
    assert all(call.media.loudest() > AUDIBLE for call in calls), "each of them hears speech"
    await until(lambda: gauge(service, "voicebot_calls_active") == 0, 5, "every call is let go")


@story
async def test_a_service_killed_in_mid_call_leaves_its_caller_to_a_technician(
    asterisk: AsteriskInstance, tmp_path: Path
) -> None:
    with ServiceInstance(tmp_path) as doomed:
        async with scene(asterisk, doomed) as stage:
            caller = await stage.caller.dial("777")
            await until(lambda: caller.media.loudest() > AUDIBLE, 5, "the greeting is heard")
            killed_at = time.monotonic()
            doomed.kill()
            technician = await stage.technician.next_call(5)
            await technician.answered()
            connected_after = time.monotonic() - killed_at
            await stage.talk(caller, technician)

    assert connected_after < 2
    kept = [file for file in doomed.recordings.rglob("*") if file.is_file()]
    assert kept, "what was said before is recorded"
    assert all(file.stat().st_size > 0 for file in kept)
