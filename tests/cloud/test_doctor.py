"""``voicebot doctor --live`` against the emulator: with right keys, with a wrong one, and with a
cloud that hangs, refuses or fails."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import uvloop

from tests.cloud.conftest import Emulator
from tests.support.service import REPOSITORY
from voicebot import config
from voicebot.commands import doctor_cloud
from voicebot.commands.doctor_checks import Mark
from voicebot.commands.machine import Machine
from voicebot.emulator.engines import KnownClips
from voicebot.emulator.faults import Fault, Kind, Moment, Service

ASKED = {
    "speech to text: deepgram", "text to speech: deepgram", "language model: groq",
    "language model: groq_spare", "text to speech: openai", "text to speech: openai_realtime",
}  # fmt: skip
OF = {
    "DEEPGRAM_API_KEY": {"speech to text: deepgram", "text to speech: deepgram"},
    "GROQ_API_KEY": {"language model: groq", "language model: groq_spare"},
    "OPENAI_API_KEY": {"text to speech: openai", "text to speech: openai_realtime"},
}
SERVED_BY = {
    Service.LISTEN: {"speech to text: deepgram"},
    Service.SPEAK: {"text to speech: deepgram"},
    Service.CHAT: OF["GROQ_API_KEY"],
    Service.SPEECH: {"text to speech: openai"},
    Service.REALTIME: {"text to speech: openai_realtime"},
}


def play(story: Callable[[Emulator], Awaitable[None]]) -> None:
    async def main() -> None:
        async with Emulator.simple() as emulator:
            await story(emulator)
            assert not emulator.open_exchanges(), "nothing is left open"

    uvloop.run(main())


async def asked(emulator: Emulator, **env: str) -> dict[str, str]:
    """Whom the doctor asked, in order, and what is wrong: nothing, or text and remedy."""
    environ = {"VOICEBOT_ENV_FILE": "/dev/null", **emulator.environment(), "API_TIMEOUT": "1"}
    settings = config.load({**environ, **env})
    findings = await asyncio.to_thread(lambda: list(doctor_cloud.live(settings, Machine())))
    told = {}
    for finding in findings:
        who = next(name for name in sorted(ASKED, reverse=True) if f"{name} " in finding.text)
        told[who] = "" if finding.mark is Mark.GOOD else f"{finding.text} -> {finding.remedy}"
        assert (finding.mark is Mark.GOOD) == ("works" in finding.text.removeprefix(who)[:8])
    assert told.keys() == ASKED, "each once"
    return told


def wrong(told: dict[str, str]) -> set[str]:
    return {who for who, fault in told.items() if fault}


def test_the_command_with_right_keys_says_that_all_of_them_work(tmp_path: Path) -> None:
    async def story(emulator: Emulator) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "voicebot", "doctor", "--live",
            cwd=REPOSITORY,
            env={"PATH": os.environ["PATH"], "VOICEBOT_ENV_FILE": "/dev/null",
                 "CACHE_DIR": str(tmp_path), **emulator.environment()},
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, _ = await process.communicate()
        lines = out.decode().splitlines()
        assert {who for who in ASKED for line in lines if f"✓ {who} works, " in line} == ASKED
        assert not [line for line in lines if "does not work" in line]
        [heard] = [line for line in lines if "speech to text: deepgram works" in line]
        assert 's from a pause to the words: it heard "Bonjour, ma box ne marche plus."' in heard

    play(story)


@pytest.mark.parametrize("model", ["nova-3", "flux-general-multi"])
@pytest.mark.parametrize(
    ("kind", "moment", "says"),
    [
        (Kind.HANG, Moment.STREAM, "deepgram sent no words in 0.8 s"),
        (Kind.DROP, Moment.STREAM, "deepgram "),
        (Kind.SLOW, Moment.STREAM, "deepgram sent no words in 0.8 s"),
        (Kind.EMPTY, Moment.STREAM, "deepgram sent no words in 0.8 s"),
    ],
)
def test_a_recogniser_that_connects_and_does_not_listen_is_found(
    model: str, kind: Kind, moment: Moment, says: str
) -> None:
    async def story(emulator: Emulator) -> None:
        await emulator.inject(Fault(Service.LISTEN, kind, moment=moment))
        told = await asked(emulator, DEEPGRAM_MODEL=model)
        assert wrong(told) == {"speech to text: deepgram"}
        assert f"does not work: {says}" in told["speech to text: deepgram"]

    play(story)


def test_a_recogniser_that_understands_nothing_is_found() -> None:
    async def story(emulator: Emulator) -> None:
        emulator.recogniser = KnownClips({})
        told = await asked(emulator)
        assert wrong(told) == {"speech to text: deepgram"}
        assert "no words in a recorded sentence" in told["speech to text: deepgram"]

    play(story)


@pytest.mark.parametrize("path", [None, "", "/nowhere"])
def test_the_command_without_a_path_says_so_and_goes_on(tmp_path: Path, path: str | None) -> None:
    env = {"VOICEBOT_ENV_FILE": "/dev/null", "CACHE_DIR": str(tmp_path), "CONTROL_PORT": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "voicebot", "doctor"],
        cwd=REPOSITORY, env={**env, **({} if path is None else {"PATH": path})},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stderr == ""
    assert done.returncode == 1
    assert ("PATH is empty or not set" in done.stdout) == (not path)
    assert ("ffmpeg is missing" in done.stdout) == bool(path)
    assert "script SAV" in done.stdout, "the rest is looked at"


@pytest.mark.parametrize("key", OF)
def test_a_wrong_key_is_named_and_the_others_work(key: str) -> None:
    async def story(emulator: Emulator) -> None:
        told = await asked(emulator, **{key: "bad-s3cret"})
        assert wrong(told) == OF[key]
        for who in OF[key]:
            assert f"{key} was refused" in told[who]
            assert "s3cret" not in told[who]
            assert "_CHAIN" in told[who], "what to do"

    play(story)


@pytest.mark.parametrize("service", Service)
@pytest.mark.parametrize("kind", [Kind.HANG, Kind.REFUSE, Kind.SERVER_ERROR, Kind.RETIRED])
def test_a_cloud_that_does_not_answer_is_named_and_the_others_work(
    service: Service, kind: Kind
) -> None:
    async def story(emulator: Emulator) -> None:
        await emulator.inject(Fault(service, kind))
        # Those that listen are spoken to, which takes as long as it takes: two seconds.
        told = await asked(emulator, API_TIMEOUT="4" if kind is Kind.HANG else "1")
        broken = SERVED_BY[service]
        if kind is Kind.REFUSE:  # the port is the vendor's
            broken = next(all_of for all_of in OF.values() if broken & all_of)
        assert wrong(told) == broken
        if kind is Kind.HANG:
            assert set(list(told)[-len(broken) :]) == broken, "those that answer are told of first"

    play(story)


def test_clouds_that_hang_are_waited_for_together() -> None:
    async def story(emulator: Emulator) -> None:
        for service in Service:
            await emulator.inject(Fault(service, Kind.HANG))
        began = time.monotonic()
        assert wrong(await asked(emulator, API_TIMEOUT="5")) == ASKED
        assert time.monotonic() - began < 2 * 5 + 3, "each on its own would be 28 s"

    play(story)
