"""Whole simulated calls, over real sockets, to a bot that speaks in tones.

These take as long as the calls: each is kept to a second or two.
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.support.stage import lines_of
from tests.support.talking_bot import (
    LOOPBACK,
    Act,
    Dialled,
    End,
    Enter,
    Hear,
    Reset,
    Say,
    Send,
    TalkingBot,
)
from voicebot.simulator import leg, report
from voicebot.simulator.feed import EventFeed, FeedError
from voicebot.simulator.recording import write_mp3, write_wav
from voicebot.simulator.runner import CallResult, Target, run_call, run_calls
from voicebot.simulator.scenario import Scenario, parse
from voicebot.simulator.tape import Tape
from voicebot.simulator.transcript import Entry, Who

HURRIED = "caller: {politeness: 0.1, reaction: 0.05}\n"


def call(acts: Sequence[Act], scenario: str, *, with_feed: bool = True) -> CallResult:
    """Hold one call with a bot that performs *acts*."""

    async def hold() -> CallResult:
        async with TalkingBot(acts) as bot:
            one = parse(HURRIED + scenario, "test")
            feed = EventFeed(LOOPBACK, bot.control_port) if with_feed else None
            return await run_call(one, Target(LOOPBACK, bot.port, feed), lines_of(one, 0.2))

    return asyncio.run(hold())


CONVERSATION: list[Act] = [
    Enter("welcome"),
    Say("Bonjour, votre nom ?"),
    Hear("Pierre Dupont.", pause=0.4),
    Enter("verification"),
    Say("Ça marche ?"),
    Hear("Oui.", pause=0.25),
    Say("Au revoir !"),
    End("completed"),
]
CUSTOMER = """
rules:
  - {when: "votre nom", say: "Pierre Dupont."}
  - {when: "marche", say: "Oui."}
expect:
  outcome: completed
  ended_by: bot
  states: [welcome, verification]
  bot_says: ["votre nom", "au revoir"]
  bot_never_says: "technicien"
  bot_hears: "dupont"
"""


@pytest.fixture(scope="module")
def conversation() -> tuple[CallResult, list[Entry]]:
    """A call that went well, and what was shown of it meanwhile."""
    shown: list[Entry] = []

    async def hold() -> CallResult:
        async with TalkingBot(CONVERSATION) as bot:
            one = parse(HURRIED + CUSTOMER, "test")
            target = Target(LOOPBACK, bot.port, EventFeed(LOOPBACK, bot.control_port))
            return await run_call(one, target, lines_of(one, 0.2), show=shown.append)

    return asyncio.run(hold()), shown


def test_a_conversation_is_held_written_down_and_measured(
    conversation: tuple[CallResult, list[Entry]],
) -> None:
    result, _ = conversation
    assert result.ok, result.failures
    assert result.outcome == "completed"
    assert result.end is leg.End.BOT
    spoken = [entry.text for entry in result.entries if entry.who in (Who.BOT, Who.CALLER)]
    assert spoken == [
        "Bonjour, votre nom ?", "Pierre Dupont.", "Ça marche ?", "Oui.", "Au revoir !",
    ]  # fmt: skip
    # The bot waits 0.4 and 0.25 s; a busy machine may make it later, never earlier.
    first, second = result.measures.latencies
    assert 0.36 < first < 2.0
    assert 0.21 < second < 2.0
    live = [entry.latency for entry in result.entries if entry.latency is not None]
    assert live == pytest.approx([first, second], abs=0.1)
    assert result.pacing.frames > 50
    assert len(result.send_lateness) == pytest.approx(result.measures.duration / 0.02, abs=10)


def test_keys_travel_and_are_a_turn_of_their_own() -> None:
    async def hold() -> tuple[CallResult, list[str]]:
        acts: list[Act] = [Say("Tapez."), Dialled(3), Say("Merci."), End()]
        async with TalkingBot(acts) as bot:
            one = parse(HURRIED + 'rules:\n  - {when: "tapez", keys: "12#"}', "test")
            target = Target(LOOPBACK, bot.port, EventFeed(LOOPBACK, bot.control_port))
            return await run_call(one, target, {}), bot.keys

    result, keys = asyncio.run(hold())
    assert keys == ["12#"]
    (turn,) = result.measures.turns
    assert turn.said == "12#"
    assert turn.latency is not None
    assert result.measures.latencies == []  # nothing was spoken


def test_an_interruption_is_measured() -> None:
    result = call(
        [Say("Débranchez votre box.", 3.0, yields=True), Hear(), Say("Oui ?"), End()],
        'rules:\n  - {when: "box", interrupt_after: 0.5, say: "Attendez !"}\n'
        "expect: {barge_ins: 1}",
    )
    assert result.ok, result.failures
    (silent_after,) = result.measures.barge_ins
    assert 0.0 < silent_after < 1.0
    assert [entry.text for entry in result.entries if entry.who is Who.CUT]


def test_a_call_that_is_not_as_promised_says_how() -> None:
    result = call(
        [Say("Voulez-vous un technicien ?"), End("transferred")],
        """
rules:
  - {when: "box", say: "Oui."}
expect:
  outcome: completed
  ended_by: caller
  states: [goodbye]
  bot_says: ["au revoir"]
  bot_never_says: "technicien"
  bot_hears: "oui"
  barge_ins: 1
""",
    )
    faults = "\n".join(result.failures)
    assert len(result.failures) == 7, faults
    for part in (
        "outcome transferred, expected completed",
        "ended by bot, expected caller",
        "state goodbye was not visited",
        "never said 'au revoir'",
        "the bot said what it must not: 'Voulez-vous un technicien ?'",
        "the bot never understood 'oui'; it understood: nothing",
        "the bot yielded to the customer 0 times",
    ):
        assert part in faults


def test_steps_need_no_event_feed() -> None:
    result = call(
        [Say("?"), Hear(), Say("?"), Hear(), End()],
        "steps:\n  - say: Un.\n  - say: Deux.\nexpect: {ended_by: bot}",
        with_feed=False,
    )
    assert result.ok, result.failures
    assert [turn.said for turn in result.measures.turns] == ["Un.", "Deux."]


def test_a_customer_who_hangs_up_closes_the_line() -> None:
    result = call(
        [Say("Puis-je avoir votre nom ?", 5.0), End()],
        'rules:\n  - {when: "nom", interrupt_after: 0.3, hangup: true}\n'
        "expect: {outcome: caller_hangup, ended_by: caller, max_duration: 4}",
    )
    assert result.ok, result.failures


def test_a_service_that_refuses_is_told_apart_from_one_that_breaks() -> None:
    refused = call([End("rejected")], "rules: []\nexpect: {outcome: completed}")
    assert refused.end is leg.End.BOT
    assert refused.failures[0] == "outcome rejected, expected completed"

    broken = call([Say("Bonjour."), Reset()], "rules: []", with_feed=False)
    assert broken.end is leg.End.LOST
    assert "the connection was reset" in broken.failures[0]


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"\x7f" * 320, "broke the protocol"),  # bare audio without frames
        (b"\x01\x00\x10" + bytes(16), "broke the protocol"),
        (b"\x12\x00\x04" + bytes(4), "16000 Hz"),
    ],
)
def test_a_service_that_does_not_speak_audiosocket_is_hung_up_on(data: bytes, fault: str) -> None:
    result = call([Say("Bonjour."), Send(data), Hear()], "rules: []", with_feed=False)
    assert result.end is leg.End.LOST
    assert fault in result.failures[0]


def test_gives_up_at_the_limit_of_the_scenario() -> None:
    result = call([Say("Bonjour."), Hear()], "rules: []\nlimit: 1", with_feed=False)
    assert result.end is leg.End.LIMIT
    assert result.failures == ("the call was not over after 1 s",)


def test_many_calls_at_once_are_all_measured() -> None:
    finished: list[Scenario] = []

    async def hold() -> list[CallResult]:
        async with TalkingBot([Say("Votre nom ?"), Hear(), Say("Merci."), End()]) as bot:
            one = parse(HURRIED + 'rules:\n  - {when: "nom", say: "Pierre."}', "test")
            target = Target(LOOPBACK, bot.port, EventFeed(LOOPBACK, bot.control_port))
            return await run_calls(
                [one], target, lines_of(one, 0.2), count=6, stagger=0.05, ended=finished.append
            )

    results = asyncio.run(hold())
    assert len(results) == len(finished) == 6
    assert all(result.ok and len(result.measures.latencies) == 1 for result in results)
    assert len({result.call_id for result in results}) == 6


def test_the_transcript_is_shown_while_the_call_goes_on(
    conversation: tuple[CallResult, list[Entry]],
) -> None:
    result, shown = conversation
    assert tuple(shown) == result.entries
    assert [entry.who for entry in shown if entry.latency is not None] == [Who.BOT, Who.BOT]


def test_nobody_at_the_control_port_is_a_clear_error() -> None:
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))  # bound, not listening: connections are refused
        port = taken.getsockname()[1]
        with pytest.raises(FeedError, match="start the service, or give its address"):
            asyncio.run(EventFeed(LOOPBACK, port).check())


def test_the_recording_has_the_customer_left_and_the_bot_right(
    conversation: tuple[CallResult, list[Entry]], tmp_path: Path
) -> None:
    tape = conversation[0].tape
    file = tmp_path / "calls" / "one.wav"
    write_wav(tape, file)
    with wave.open(str(file)) as stereo:
        assert (stereo.getnchannels(), stereo.getframerate(), stereo.getsampwidth()) == (2, 8000, 2)
        samples = np.frombuffer(stereo.readframes(stereo.getnframes()), "<i2").reshape(-1, 2)
    assert np.array_equal(samples[:, 0], tape.caller())
    assert np.array_equal(samples[:, 1], tape.bot())


def test_the_mp3_is_as_long_as_the_call(
    conversation: tuple[CallResult, list[Entry]], tmp_path: Path
) -> None:
    tape = conversation[0].tape
    file = tmp_path / "one.mp3"
    assert write_mp3(tape, file)
    probe = ["ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", file]
    length = float(subprocess.run(probe, capture_output=True, text=True, check=True).stdout)
    assert length == pytest.approx(tape.duration, abs=0.3)


def test_without_ffmpeg_there_is_no_mp3_and_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not write_mp3(Tape(0.0), tmp_path / "one.mp3")


def test_the_measures_are_plain_data(conversation: tuple[CallResult, list[Entry]]) -> None:
    result, _ = conversation
    data = json.loads(json.dumps(report.as_dict(result)))
    assert data["ok"] is True
    assert [turn["said"] for turn in data["turns"]] == ["Pierre Dupont.", "Oui."]


def test_the_report_is_for_a_person(conversation: tuple[CallResult, list[Entry]]) -> None:
    result, _ = conversation
    plain = report.Style(colour=False, width=100)
    text = report.call_report(result, plain)
    assert "voice to voice over 2 spoken turns: p50" in text
    assert "as expected" in text
    assert "\033[" not in text
    assert "1 of 1 as expected" in report.summary_table([result], plain)
    assert "\033[" in report.summary_table([result], report.Style(colour=True, width=100))
    lines = "\n".join(report.transcript_line(entry, plain) for entry in result.entries)
    assert "bot        Bonjour, votre nom ?" in lines
    assert "understood Pierre Dupont." in lines
