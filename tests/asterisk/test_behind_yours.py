"""The page on an Asterisk that somebody has already, followed: its dialplan, our blocks."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.asterisk import REPOSITORY, AsteriskInstance
from tests.support.scene import no_voicebot, scene, story

pytestmark = pytest.mark.asterisk

PAGE = "docs/how-to/run-behind-your-asterisk.md"
PROBE = "docs/how-to/probe-the-line.md"


def block(page: str, words: str) -> str:
    """The block of *page* in which those words are, as somebody types it."""
    blocks = re.findall(r"^( *)```\n(.*?)^ *```", (REPOSITORY / page).read_text(), re.M | re.S)
    (found,) = [text for _, text in blocks if words in text]
    return textwrap.dedent(found)


def as_somebody_has_it(etc: Path) -> None:
    """An Asterisk with lines, and with nothing of the voicebot's."""
    for ours in ("voicebot.conf", "probe.conf", "voicebot.d/globals.conf", "sounds/nobody.wav"):
        (etc / ours).unlink()
    (etc / "extensions.conf").write_text("[general]\nstatic = yes\n")
    lines = (etc / "pjsip.conf").read_text().replace("from-trunk", "from-your-lines")
    (etc / "pjsip.conf").write_text(lines.replace('#include "probe.conf"\n', ""))


@pytest.fixture(scope="module")
def yours() -> Iterator[AsteriskInstance]:
    with AsteriskInstance(change=as_somebody_has_it) as asterisk:
        asterisk.shell(block(PAGE, "cp asterisk/voicebot.conf"))
        with (asterisk.etc / "extensions.conf").open("a") as dialplan:
            dialplan.write(block(PAGE, "[from-your-lines]"))
        asterisk.shell("asterisk -rx 'dialplan reload'")
        yield asterisk


@story
async def test_a_call_comes_in_and_reaches_a_human(yours: AsteriskInstance) -> None:
    """With nobody at the voicebot's port: the dialplan is whole when the technician rings."""
    with no_voicebot() as bot:
        async with scene(yours, bot) as stage:
            await stage.caller.dial("777")
            await (await stage.technician.next_call(5)).answered()
            assert stage.technician.calls[0].invite.get("x-voicebot-call")


def test_a_module_that_is_missing_is_named(yours: AsteriskInstance) -> None:
    look = block(PAGE, "module show like")
    assert yours.shell(look) == ""
    yours.cli("module unload func_uuid.so")
    try:
        assert yours.shell(look) == "missing: func_uuid\n"
    finally:
        yours.cli("module load func_uuid.so")


def test_every_module_that_the_dialplan_names_is_looked_for() -> None:
    """What voicebot.conf calls, by the module that Asterisk's own list has it in."""
    dialplan = (REPOSITORY / "asterisk/voicebot.conf").read_text()
    look = block(PAGE, "module show like")
    for module, word in (
        ("app_audiosocket", "AudioSocket("), ("app_exec", "TryExec("), ("func_curl", "CURL("),
        ("func_uuid", "UUID("), ("app_dial", "Dial("), ("app_stack", "Return("),
        ("app_playback", "Playback("), ("app_playtones", "PlayTones("), ("app_verbose", "Log("),
        ("func_callerid", "CALLERID("), ("func_cdr", "CDR("), ("func_channel", "CHANNEL("),
        ("func_logic", "IF("), ("func_strings", "FILTER("), ("func_timeout", "TIMEOUT("),
    ):  # fmt: skip
        assert word in dialplan
        assert re.search(rf"\b{module}\b", look), module


def test_the_probe_has_a_line(yours: AsteriskInstance) -> None:
    yours.shell(block(PROBE, "cp asterisk/probe.conf"))
    shown = yours.cli("pjsip show endpoint probe")
    assert re.search(r"^ context +: from-probe", shown, re.M)
    assert "127.0.0.77/32" in shown
