"""The shipped configuration: it loads whole, in silence, and lets nobody in by mistake."""

import re
import urllib.request

import pytest

from tests.support.asterisk import (
    LOOPBACK,
    REPOSITORY,
    STRANGER_ADDRESS,
    AsteriskInstance,
)
from tests.support.scene import CALLER_NUMBER, no_voicebot, scene, story
from tests.support.sip import CallRefusedError, SipPhone

pytestmark = pytest.mark.asterisk


def test_it_boots_without_a_warning(asterisk: AsteriskInstance) -> None:
    assert asterisk.complaints() == []
    assert "Asterisk Ready." in asterisk.boot_output


def test_the_examples_for_a_site_are_right() -> None:
    """endpoints.conf as an operator would have it: every example uncommented and filled in."""
    shipped = (REPOSITORY / "asterisk/voicebot.d/endpoints.conf").read_text()
    lines = re.sub(r"^;(?! )", "", shipped, flags=re.MULTILINE)
    lines = lines.replace("192.0.2.10", "127.0.0.3").replace("<openssl rand -base64 18>", "Xk2bq9")
    with AsteriskInstance(lines) as configured:
        shown = configured.cli("pjsip show endpoints")
        complaints = configured.complaints()
        trunk = configured.cli("pjsip show endpoint pbx")

    assert complaints == []
    assert {"pbx", "technician1/601"} <= set(re.findall(r"^ Endpoint:  (\S+)", shown, re.MULTILINE))
    assert re.search(r"^ context +: from-trunk", trunk, re.MULTILINE)
    assert re.search(r"^ allow +: \(alaw\|ulaw\|g722\)", trunk, re.MULTILINE)


def test_nobody_is_let_in_until_a_site_says_so() -> None:
    shipped = (REPOSITORY / "asterisk/voicebot.d/endpoints.conf").read_text()
    with AsteriskInstance(shipped) as untouched:
        shown = untouched.cli("pjsip show endpoints")
        # Test calls of this host itself, which lead to the voicebot and nowhere else.
        assert set(re.findall(r"^ Endpoint:  (\w\S*)", shown, re.MULTILINE)) == {"probe"}
        assert re.search(r"Match: 127\.0\.0\.77/32", shown)
        assert "Dial(" not in untouched.cli("dialplan show from-probe")
        assert untouched.complaints() == []


def test_every_module_named_is_running(asterisk: AsteriskInstance) -> None:
    wanted = re.findall(
        r"^load = (\S+)", (REPOSITORY / "asterisk/modules.conf").read_text(), flags=re.MULTILINE
    )
    shown = asterisk.cli("module show")
    running = {line.split()[0] for line in shown.splitlines() if " Running " in line}
    assert set(wanted) - running == set()
    assert " Not Running " not in shown


@story
async def test_a_stranger_is_refused(asterisk: AsteriskInstance) -> None:
    server = (LOOPBACK, asterisk.sip_port)
    with no_voicebot() as bot:
        async with (
            scene(asterisk, bot) as stage,
            SipPhone("stranger", address=STRANGER_ADDRESS, server=server) as stranger,
        ):
            with pytest.raises(CallRefusedError, match="401"):
                await stranger.dial("777")
    assert stage.technician.calls == []


@story
async def test_a_trunk_caller_cannot_dial_out(asterisk: AsteriskInstance) -> None:
    """Whatever number the trunk delivers, it is the voicebot that answers."""
    with no_voicebot() as bot:
        async with scene(asterisk, bot) as stage:
            await stage.caller.dial("+33899123456")
            await (await stage.technician.next_call(2)).answered()
    assert [call.invite.start.split()[1] for call in stage.technician.calls] == [
        f"sip:technician@{stage.technician.address}:{stage.technician.port}"
    ]


def test_metrics_are_served(asterisk: AsteriskInstance) -> None:
    url = f"http://{LOOPBACK}:{asterisk.metrics_port}/metrics"
    with urllib.request.urlopen(url, timeout=5) as answer:
        text = answer.read().decode()
    assert "asterisk_calls_count" in text
    assert "asterisk_core_uptime_seconds" in text


def test_a_call_leaves_one_record_under_its_own_id(asterisk: AsteriskInstance) -> None:
    @story
    async def one_call() -> None:
        with no_voicebot() as bot:
            async with scene(asterisk, bot) as stage:
                await stage.caller.dial("777")
                await (await stage.technician.next_call(2)).answered()

    one_call()
    asterisk.cli("cdr submit")
    call_id = re.findall(r"voicebot call=(\S+) event=start", asterisk.log())[-1]
    records = [line for line in asterisk.cdr().splitlines() if call_id in line]
    assert len(records) == 1
    assert "PJSIP/technician" in records[0]
    assert CALLER_NUMBER in records[0]
