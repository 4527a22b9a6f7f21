"""Directing the emulator from outside: over HTTP, and by its command."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.cloud import groq_client, openai_client
from voicebot.emulator.faults import Service
from voicebot.emulator.latency import Distribution, Profile
from voicebot.emulator.server import Emulator, PortError

Run = Callable[..., None]
ASKED = [{"role": "user", "content": "Ma box ne marche plus."}]


async def chat(emulator: Emulator) -> str:
    async with groq_client(emulator) as client:
        whole = await client.chat.completions.create(model="openai/gpt-oss-20b", messages=ASKED)
    return str(whole.choices[0].message.content)


def test_faults_are_injected_shown_counted_and_mended(run: Run) -> None:
    async def story(emulator: Emulator) -> None:
        faults = f"{emulator.url()}/_emulator/faults"
        async with aiohttp.ClientSession() as http:
            fault = {"service": "chat", "kind": "rate_limited", "times": 2, "retry_after": 0}
            async with http.post(faults, json=fault) as answer:
                assert (await answer.json())["moment"] == "connect"
            async with groq_client(emulator) as client:
                with pytest.raises(Exception, match="Rate limit"):
                    await client.chat.completions.create(model="m", messages=ASKED)
            async with http.get(faults) as answer:
                shown = await answer.json()
            assert shown["struck"] == {"chat rate_limited": 1}
            assert [one["service"] for one in shown["faults"]] == ["chat"]
            async with http.delete(faults, params={"service": "chat"}) as answer:
                assert answer.status == 200
        assert await chat(emulator)

    run(story)


def test_a_refused_vendor_is_gone_and_comes_back_on_the_same_port(run: Run) -> None:
    async def story(emulator: Emulator) -> None:
        faults = f"{emulator.url()}/_emulator/faults"
        before = emulator.environment()
        async with aiohttp.ClientSession() as http:
            async with http.post(faults, json={"service": "chat", "kind": "refuse"}):
                pass
            with pytest.raises(Exception, match="Connection error"):
                await chat(emulator)
            async with (
                openai_client(emulator) as other,
                other.audio.speech.with_streaming_response.create(
                    model="gpt-4o-mini-tts", voice="marin", input="Oui.", response_format="pcm"
                ) as speech,
            ):
                assert await speech.read()
            async with http.delete(faults):
                pass
        assert emulator.environment() == before
        assert await chat(emulator)

    run(story)


def test_replies_are_scripted(run: Run) -> None:
    async def story(emulator: Emulator) -> None:
        replies = f"{emulator.url()}/_emulator/replies"
        async with aiohttp.ClientSession() as http:
            script = [{"pattern": "box", "content": "Ceci.", "times": 1}]
            async with http.post(replies, json=script) as answer:
                assert await answer.json() == {"replies": 1}
        assert await chat(emulator) == "Ceci."
        assert await chat(emulator) != "Ceci."

    run(story)


def test_it_becomes_slow_when_it_is_told_to(run: Run) -> None:
    async def story(emulator: Emulator) -> None:
        latency = f"{emulator.url()}/_emulator/latency"
        async with aiohttp.ClientSession() as http:
            async with http.post(latency, json={"chat_first_token": {"p50": 0.3}}) as answer:
                assert answer.status == 200
            async with http.post(latency, json={"chat_first_tokens": {}}) as answer:
                assert answer.status == 400
                assert "there are chat_first_token, " in (await answer.json())["error"]
        loop = asyncio.get_running_loop()
        began = loop.time()
        await chat(emulator)
        assert loop.time() - began >= 0.3

    run(story)


def test_delays_can_be_read_from_where_one_left_off(run: Run) -> None:
    async def story(emulator: Emulator) -> None:
        delays = f"{emulator.url()}/_emulator/delays"
        async with aiohttp.ClientSession() as http:
            await chat(emulator)
            async with http.get(delays) as answer:
                first = await answer.json()
            await chat(emulator)
            async with http.get(delays, params={"since": str(first["next"])}) as answer:
                second = await answer.json()
            async with http.get(delays, params={"step": "listen_final"}) as answer:
                assert (await answer.json())["delays"] == []
        assert [one["number"] for one in first["delays"] + second["delays"]] == [0, 1]
        [one] = second["delays"]
        assert one["seconds"] == pytest.approx(one["at"] - one["since"])
        assert one["seconds"] >= one["planned"] >= 0.05

    run(story, Profile(chat_first_token=Distribution(0.05), chat_tokens_per_second=10_000))


@pytest.mark.parametrize(
    ("path", "body", "complaint"),
    [
        ("faults", b"{", "not valid JSON"),
        ("faults", b'{"service":"chat","kind":"sulk"}', "'sulk' is no kind"),
        ("replies", b'[{"pattern":"("}]', "pattern '('"),
        ("replies", b'[{"text":"x"}]', "text"),
    ],
)
def test_what_cannot_be_done_is_explained(run: Run, path: str, body: bytes, complaint: str) -> None:
    async def story(emulator: Emulator) -> None:
        async with (
            aiohttp.ClientSession() as http,
            http.post(f"{emulator.url()}/_emulator/{path}", data=body) as answer,
        ):
            assert answer.status == 400
            assert complaint in (await answer.json())["error"]

    run(story)


def test_the_front_page_says_what_is_real_and_what_is_not(run: Run) -> None:
    async def story(emulator: Emulator) -> None:
        async with aiohttp.ClientSession() as http, http.get(emulator.url()) as answer:
            page = await answer.text()
        assert "Not the real services" in page
        assert "known recordings" in page
        assert "espeak-ng" in page
        assert "no model" in page

    run(story)


def test_a_port_in_use_is_named(run: Run, clips: Any, sentences: Any) -> None:
    async def story(emulator: Emulator) -> None:
        port = int(emulator.url().rsplit(":", 1)[1])
        other = Emulator(clips, sentences, emulator.latency, emulator.brain, port=port)
        with pytest.raises(PortError, match=f"port {port}"):
            await other.start()

    run(story)


@pytest.mark.service
def test_the_command_prints_settings_serves_and_stops(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "voicebot", "emulate", "--port", "0", "--voice", "espeak"]
    environment = {**os.environ, "VOICEBOT_ENV_FILE": os.devnull, "CACHE_DIR": str(tmp_path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            printed: dict[str, str] = {}
            for line in process.stdout:
                if line.startswith("# ready"):
                    break
                if not line.startswith("#"):
                    name, _, value = line.strip().partition("=")
                    printed[name] = value
            url = f"{printed['GROQ_BASE_URL']}/_emulator/open"
            with urllib.request.urlopen(url, timeout=5) as answer:
                assert json.load(answer) == {service.value: 0 for service in Service}
            assert printed["OPENAI_BASE_URL"].endswith("/v1")
            assert printed["DEEPGRAM_API_KEY"]
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0


@pytest.mark.parametrize(
    ("option", "complaint"),
    [
        (["--latency", "never.yaml"], "never.yaml: no such file"),
        (["--recognise", "never.yaml"], "never.yaml: cannot be read"),
        (["--rules", "never.yaml"], "never.yaml: cannot be read"),
    ],
)
def test_the_command_says_which_file_is_wrong(
    option: list[str],
    complaint: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from voicebot import cli

    monkeypatch.setenv("VOICEBOT_ENV_FILE", os.devnull)
    assert cli.main(["emulate", "--port", "0", "--voice", "espeak", *option]) == 1
    assert complaint in capsys.readouterr().err
