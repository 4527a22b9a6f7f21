"""``voicebot call`` as it is typed."""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.talking_bot import LOOPBACK, End, Hear, Say, TalkingBot
from voicebot.commands import call

SCENARIO = """
title: a short call
caller: {politeness: 0.1, reaction: 0.05}
rules:
  - {when: "nom", hangup: true}
expect: {ended_by: caller}
"""


@pytest.fixture(autouse=True)
def empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's settings and files."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def scenario(tmp_path: Path) -> str:
    file = tmp_path / "short.yaml"
    file.write_text(SCENARIO, encoding="utf-8")
    return str(file)


@contextmanager
def a_bot() -> Iterator[TalkingBot]:
    """A talking bot on a thread of its own, since the command has a loop of its own."""
    ready, stop = threading.Event(), asyncio.Event()
    bot = TalkingBot([Say("Votre nom ?"), Hear(), End()])
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        async with bot:
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert ready.wait(10)
        yield bot
    finally:
        loops[0].call_soon_threadsafe(stop.set)
        thread.join()


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    call.add_arguments(parser)
    return call.run(parser.parse_args(words))


def at(bot: TalkingBot, tmp_path: Path) -> list[str]:
    return [
        "--host", LOOPBACK, "--port", str(bot.port), "--control", f"{LOOPBACK}:{bot.control_port}",
        "--out", str(tmp_path / "out"),
    ]  # fmt: skip


def test_shows_the_call_and_says_where_its_recording_is(
    scenario: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with a_bot() as bot:
        assert run(scenario, *at(bot, tmp_path)) == 0
    shown = capsys.readouterr().out
    assert "short: a short call" in shown
    assert "bot        Votre nom ?" in shown
    assert "the customer hung up" in shown
    (wav,) = (tmp_path / "out").glob("short-*.wav")
    assert str(wav) in shown


def test_measures_can_be_had_as_json_of_many_calls(
    scenario: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with a_bot() as bot:
        assert run(scenario, "--calls", "2", "--json", *at(bot, tmp_path)) == 0
    calls = json.loads(capsys.readouterr().out)
    assert [one["ended_by"] for one in calls] == ["caller", "caller"]
    assert len(list((tmp_path / "out").glob("*.wav"))) == 2


def test_a_failed_expectation_is_the_exit_status_and_stops_the_rest(
    scenario: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failing = tmp_path / "failing.yaml"
    failing.write_text(SCENARIO.replace("ended_by: caller", "ended_by: bot"), encoding="utf-8")
    with a_bot() as bot:
        assert run(str(failing), scenario, *at(bot, tmp_path)) == 1
        stopped = capsys.readouterr().out
        assert run(str(failing), scenario, "--keep-going", *at(bot, tmp_path)) == 1
        went_on = capsys.readouterr().out
    assert "FAILED: ended by caller, expected bot" in stopped
    assert "short: a short call" not in stopped
    assert "1 of 2 as expected" in went_on


def test_lists_the_scenarios(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--list") == 0
    listed = capsys.readouterr().out
    assert "internet-resolved" in listed
    assert "TECHNICIANS=never" in listed


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["intrenet"], "intrenet: no such scenario; there are"),
        (["silent", "--control", "here"], "--control here: must be PORT, HOST:PORT or none"),
        (["silent", "--control", "none"], "needs the control API"),
    ],
)
def test_says_why_no_call_can_be_placed(
    words: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*words) == 2
    assert reason in capsys.readouterr().err


def test_says_that_no_service_is_running(
    scenario: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as nobody:
        nobody.bind((LOOPBACK, 0))  # bound, not listening: connections are refused
        port = str(nobody.getsockname()[1])
        assert run(scenario, "--host", LOOPBACK, "--control", f"{LOOPBACK}:{port}") == 2
        assert "start the service" in capsys.readouterr().err
        with a_bot() as bot:
            assert run(scenario, *at(bot, tmp_path), "--port", port) == 2
        assert "is the service running?" in capsys.readouterr().err
