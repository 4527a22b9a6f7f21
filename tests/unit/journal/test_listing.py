"""``voicebot calls`` and ``voicebot callbacks``: what an operator reads of the journal."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType

import pytest

from voicebot.commands import callbacks, calls
from voicebot.journal import (
    CallbackRequest,
    CallEndRecord,
    CallStartRecord,
    Journal,
    TurnRecord,
    UseRecord,
)
from voicebot.telemetry.metrics import Metrics

CALL = "3f2a7f0e-8a4b-4a53-9a56-1f1d0a6ad777"
NOON = datetime(2026, 3, 14, 12, 0, 5, tzinfo=UTC)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JOURNAL_URL", f"sqlite:///{tmp_path}/journal.db")
    monkeypatch.setenv("TZ", "UTC")
    return tmp_path


@pytest.fixture
def journal(place: Path) -> None:
    journal = Journal(f"sqlite:///{place}/journal.db", Metrics())
    journal.call_started(CallStartRecord(call_id=CALL, started_at=NOON))
    journal.turn_ended(
        TurnRecord(
            call_id=CALL, number=0, started_at=NOON, state_from="init", state_to="welcome",
            outcome="interrupted", bot_text="Bonjour, bienvenue",
        )
    )  # fmt: skip
    journal.turn_ended(
        TurnRecord(
            call_id=CALL, number=1, started_at=NOON + timedelta(seconds=7), state_from="welcome",
            state_to="identification", outcome="answered", caller_text="Ma box ne marche plus.",
            bot_text="Votre nom ?", understood="internet", response_s=0.84, endpointing_s=0.5,
        )
    )  # fmt: skip
    journal.turn_ended(
        TurnRecord(
            call_id=CALL, number=2, started_at=NOON + timedelta(seconds=75), outcome="no_input",
            state_from="identification", state_to="identification",
        )
    )  # fmt: skip
    journal.call_ended(
        CallEndRecord(
            call_id=CALL, ended_at=NOON + timedelta(seconds=102), outcome="callback",
            ended_by="bot", caller_name="Zoé Lefèvre", caller_number="0612345678", turns=2,
            reason="internet", recording="var/recordings/1.wav",
            uses=(
                UseRecord(stage="stt", provider="deepgram", model="nova-3", unit="audio_seconds",
                          amount=31.5, cost=0.00404, currency="USD"),
            ),
        )
    )  # fmt: skip
    journal.callback_requested(
        CallbackRequest(call_id=CALL, requested_at=NOON, number="0612345678", name="Zoé")
    )
    assert journal.close()


def command(module: ModuleType, *words: str) -> int:
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    status = module.run(parser.parse_args(words))
    assert isinstance(status, int)
    return status


@pytest.mark.usefixtures("journal")
def test_probes_are_no_callers(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    probe = "0b6bd0de-0d55-8b0f-9a53-5a0c31f2a4d1"
    journal = Journal(f"sqlite:///{place}/journal.db", Metrics())
    journal.call_started(CallStartRecord(call_id=probe, started_at=NOON, traffic="probe"))
    assert journal.close()
    assert command(calls) == 0
    assert probe[:8] not in capsys.readouterr().out
    assert command(calls, "--probes") == 0
    assert probe[:8] in capsys.readouterr().out
    assert command(calls, probe) == 0


@pytest.mark.usefixtures("journal")
def test_calls_are_listed_in_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert command(calls) == 0
    heads, line = capsys.readouterr().out.splitlines()
    assert heads.split()[:4] == ["CALL", "STARTED", "LENGTH", "OUTCOME"]
    for part in (
        "3f2a7f0e",
        "1:42",
        "callback",
        "Zoé Lefèvre",
        "0612345678",
        "0.84 s",
        "0.0040 USD",
    ):
        assert part in line


@pytest.mark.usefixtures("journal")
def test_one_call_reads_like_the_conversation_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    assert command(calls, "3f2a") == 0
    shown = capsys.readouterr().out
    parts = [
        f"Call {CALL}", "callback, ended by bot", "Zoé Lefèvre, 0612345678, internet",
        "recording: var/recordings/1.wav", "cost: 0.0040 USD",
        "deepgram nova-3: 31.5 s of audio, 0.0040 USD", "init → welcome",
        "bot     Bonjour, bienvenue [cut off by the caller]", "0:07  welcome → identification",
        "caller  Ma box ne marche plus.  [internet]", "bot     Votre nom ?",
        "answered in 0.84 s: endpointing 0.50", "1:15  identification", "(no_input)",
    ]  # fmt: skip
    positions = [shown.index(part) for part in parts]
    assert positions == sorted(positions)


@pytest.mark.usefixtures("journal")
def test_json_is_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert command(calls, "--json", "--limit", "1") == 0
    assert command(calls, "--json", CALL) == 0
    listed, whole = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert listed["started_at"] == "2026-03-14T12:00:05+00:00"
    assert (listed["cost"], listed["currency"]) == (0.00404, "USD")
    assert whole["uses"][0]["unit"] == "audio_seconds"
    assert [turn["number"] for turn in whole["conversation"]] == [0, 1, 2]


@pytest.mark.usefixtures("journal")
def test_a_callback_is_listed_until_it_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    assert command(callbacks) == 0
    assert "0612345678  Zoé" in capsys.readouterr().out
    assert command(callbacks, "--done", "1") == 0
    assert command(callbacks) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "nobody is waiting to be called back"
    assert command(callbacks, "--all", "--json") == 0
    assert json.loads(capsys.readouterr().out)["done_by"]
    assert command(callbacks, "--done", "1") == 1
    assert "was marked done before" in capsys.readouterr().err


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("module", [calls, callbacks])
def test_without_a_journal_it_says_how_to_get_one(
    module: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(module) == 1
    assert "no journal yet" in capsys.readouterr().err


@pytest.mark.usefixtures("journal")
def test_a_call_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert command(calls, "ffff") == 1
    assert "no such call" in capsys.readouterr().err


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("url", ["nonsense", "postgresql+nodriver://u:geheim@db/x"])
def test_a_faulty_journal_setting_is_named_without_its_password(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JOURNAL_URL", url)
    assert command(calls) == 1
    told = capsys.readouterr().err
    assert told.startswith("JOURNAL_URL")
    assert "geheim" not in told


@pytest.mark.usefixtures("place")
def test_faulty_settings_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MAX_CONCURRENT_CALLS", "many")
    assert command(calls) == 2
    assert "MAX_CONCURRENT_CALLS" in capsys.readouterr().err


@pytest.mark.usefixtures("journal")
def test_a_reader_that_has_seen_enough_is_no_fault() -> None:
    """As in ``voicebot calls | head -1``: it is gone before anything is printed."""
    show = f"{sys.executable} -m voicebot calls {CALL}"
    shell = ["bash", "-c", f"(sleep 0.2; {show}; echo $? >&2) | true"]
    done = subprocess.run(shell, capture_output=True, text=True, check=False)
    assert done.stderr == "0\n"
