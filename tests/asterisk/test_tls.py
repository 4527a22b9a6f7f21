"""SIP by TLS and audio by SRTP, with what the role writes: an operator's exchange is at the other
end, a real Asterisk as well, with a certificate of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support import tls_site
from tests.support.asterisk import REPOSITORY
from tests.support.certificates import Authority
from tests.support.scene import no_voicebot, speech, story
from tests.support.scripted_bot import ScriptedBot
from tests.support.sip import CallRefusedError, SipCall
from tests.support.tls_site import LOOPBACK, NUMBER, PASSWORD, Appliance, Ends, Exchange
from tests.support.waiting import until
from voicebot.audio.pcm import silence

pytestmark = pytest.mark.asterisk


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def ends(authority: Authority) -> Ends:
    return Ends.of(authority)


@pytest.fixture(scope="module")
def appliance(ends: Ends) -> Iterator[Appliance]:
    login = {"server": f"{tls_site.EXCHANGE}:{ends.exchange_port}"}
    login |= {"username": NUMBER, "password": PASSWORD}
    telephone = {"name": "technician1", "number": "601", "password": PASSWORD, "tls": True}
    with Appliance(
        ends, asterisk_trunks=[ends.trunk(registration=login)], asterisk_phones=[telephone]
    ) as instance:
        yield instance


@pytest.fixture
def exchange(appliance: Appliance, ends: Ends) -> Iterator[Exchange]:
    with Exchange(ends) as instance:
        yield instance


async def both_hear(one: SipCall, other: SipCall) -> None:
    hello, answer = speech(101), speech(102)
    one.media.play(silence(0.3) + hello)
    other.media.play(silence(0.3) + answer)
    await asyncio.gather(one.media.hears(answer), other.media.hears(hello))


@pytest.mark.parametrize(("how", "noise"), [("tls", True), ("udp", False)])
def test_who_listens_on_the_wire_understands_nothing(how: str, noise: bool) -> None:
    """And without encryption he would: the same call, by the same two."""
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    own = ["unshare", *user, "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    done = subprocess.run(
        [*own, sys.executable, "-m", "tests.support.encrypted_call", how],
        capture_output=True, text=True, check=False, timeout=120, cwd=REPOSITORY,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["passed"] > 50, "half a second of speech each way, and silence around it"
    assert found["understood"] == 0 if noise else found["understood"] > 40


def test_it_boots_without_a_warning(appliance: Appliance) -> None:
    assert appliance.complaints() == []


@story
async def test_a_technician_behind_the_trunk_takes_over(
    appliance: Appliance, exchange: Exchange
) -> None:
    appliance.cli("pjsip qualify operator")
    await until(lambda: appliance.reachable("operator"), 60, "the exchange answers by TLS")
    async with (
        ScriptedBot("transfer") as bot,
        exchange.customer() as customer,
        tls_site.technician() as technician,
    ):
        appliance.serve(bot, "PJSIP/600@operator")
        caller = await customer.dial("777", within=15)
        call = await bot.next_call()
        await call.end()
        passed_on = await technician.next_call()
        await passed_on.answered()
        await both_hear(caller, passed_on)
    await asyncio.to_thread(appliance.wait_idle)


@story
async def test_a_telephone_registers_and_rings(appliance: Appliance, ends: Ends) -> None:
    with Exchange(ends, login="technician1") as desk:
        await until(lambda: appliance.reachable("technician1"), 60, "the telephone registers")
        async with (
            ScriptedBot("transfer") as bot,
            desk.customer() as customer,
            tls_site.technician() as technician,
        ):
            appliance.serve(bot, "PJSIP/technician1")
            caller = await customer.dial("777", within=15)
            await (await bot.next_call()).end()
            passed_on = await technician.next_call()
            await passed_on.answered()
            await both_hear(caller, passed_on)
        await asyncio.to_thread(appliance.wait_idle)


@story
async def test_the_appliance_logs_in_at_the_exchange(
    appliance: Appliance, exchange: Exchange
) -> None:
    appliance.cli("pjsip send register *all")
    await until(
        lambda: "Registered" in appliance.cli("pjsip show registrations"), 60, "it is registered"
    )
    assert "transport=TLS" in exchange.cli("pjsip show contacts").replace("tls", "TLS")


@story
async def test_audio_in_clear_is_refused(appliance: Appliance, ends: Ends) -> None:
    with Exchange(ends, audio="no") as careless, no_voicebot() as bot:
        appliance.serve(bot)
        async with careless.customer() as customer:
            with pytest.raises(CallRefusedError):
                await customer.dial("777", within=15)
    assert appliance.channels() == 0


@story
async def test_an_exchange_that_nobody_vouches_for_is_not_spoken_to(authority: Authority) -> None:
    stranger = Authority("a stranger")
    ends = Ends.of(authority, exchange=stranger.sign(tls_site.EXCHANGE))
    with (
        Appliance(ends, asterisk_trunks=[ends.trunk()]) as careful,
        Exchange(ends) as exchange,
    ):
        careful.cli("pjsip qualify operator")
        await until(
            lambda: "certificate" in careful.log().lower(), 60, "the log names the certificate"
        )
        assert not careful.reachable("operator")
        assert exchange.channels() == 0


@story
async def test_a_new_certificate_is_taken_while_somebody_speaks(
    appliance: Appliance, exchange: Exchange, authority: Authority
) -> None:
    async with ScriptedBot() as bot, exchange.customer() as customer:
        appliance.serve(bot)
        caller = await customer.dial("777", within=15)
        call = await bot.next_call()
        renewed = authority.sign(LOOPBACK)
        assert await asyncio.to_thread(appliance.shown) != renewed.certificate
        await asyncio.to_thread(appliance.renew, renewed)
        assert await asyncio.to_thread(appliance.shown) == renewed.certificate
        question = speech(3)
        await call.say(silence(0.3) + question)
        await caller.media.hears(question)
        await call.end()
        again = await customer.dial("777", within=15)
        await (await bot.next_call()).end()
        await again.ended()
    await asyncio.to_thread(appliance.wait_idle)
