"""The doctor looks at machines of every kind: each fault is named, with what to do."""

from __future__ import annotations

import errno
import io
import json
import socket
import sqlite3
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from voicebot import models
from voicebot.commands import doctor, doctor_checks, doctor_cloud, machine
from voicebot.commands.doctor_checks import Finding, Mark
from voicebot.commands.machine import Machine
from voicebot.config import Settings
from voicebot.prompts.cache import PromptCache

RESTIC = {"backup_target": "restic:rest:https://me:s3cret@vault/", "backup_key": "s3cret"}
SOON = str(date.today() + timedelta(days=20))


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., Settings]:
    """Settings whose files are all below the test's own directory."""

    def make(**changes: Any) -> Settings:
        files = {
            "models_dir": tmp_path / "models",
            "cache_dir": tmp_path / "cache",
            "recordings_dir": tmp_path / "recordings",
            "journal_url": f"sqlite:///{tmp_path / 'journal.db'}",
        }
        return Settings(**{**files, **changes})

    return make


def healthy(**changes: Any) -> Machine:
    """A machine with nothing wrong, but for *changes*."""
    facts: dict[str, Any] = {
        "python": (3, 11, 2),
        "import_module": lambda name: None,
        "search_path": lambda: "/usr/bin:/bin",
        "find_program": lambda name: f"/usr/bin/{name}",
        "cores": lambda: {0, 1, 2, 3},
        "memory_available": lambda: 8_000_000_000,
        "free_bytes": lambda path: 100_000_000_000,
        "write_error": lambda path: None,
        "bind_error": lambda host, port: 0,
        "fetch": lambda url: None,
        "clock_synchronised": lambda: True,
    }
    return Machine(**{**facts, **changes})


def marks(findings: Iterator[Finding]) -> str:
    return "".join(finding.mark.value for finding in findings)


PLAIN_CHECKS = (
    doctor_checks.python, doctor_checks.modules, doctor_checks.programs, doctor_checks.cores,
    doctor_checks.memory, doctor_checks.directories, doctor_checks.disk, doctor_checks.script,
    doctor_cloud.speech, doctor_checks.journal, doctor_checks.ports, doctor_checks.clock,
)  # fmt: skip


@pytest.mark.parametrize("check", PLAIN_CHECKS, ids=lambda check: check.__name__)
def test_a_healthy_machine_is_found_healthy(
    check: doctor_checks.Check, settings: Callable[..., Settings]
) -> None:
    assert set(marks(check(settings(), healthy()))) == {Mark.GOOD.value}


def refuse(name: str) -> None:
    if name in ("ctranslate2", "deepgram"):
        raise ImportError("libgomp.so.1: cannot open shared object file")


@pytest.mark.parametrize(
    ("check", "facts", "changes", "expected", "says"),
    [
        (doctor_checks.python, {"python": (3, 10, 9)}, {}, "✗", "3.10.9"),
        (doctor_checks.python, {"python": (3, 14, 0)}, {}, "✗", "3.14.0"),
        (doctor_checks.modules, {"import_module": refuse}, {}, "✓✗", "libgomp.so.1"),
        (doctor_checks.programs, {"find_program": lambda n: None}, {}, "✗✗", "install ffmpeg"),
        (doctor_checks.backups, {}, {}, "!", "BACKUP_TARGET is not set"),
        (doctor_checks.backups, {}, {"backup_target": "vault:b"}, "✓", "go to vault:b"),
        (
            doctor_checks.backups,
            {"find_program": lambda n: None},
            {"backup_target": "vault:b"},
            "✗",
            "install rsync",
        ),
        (doctor_checks.backups, {}, RESTIC, "✓", "go to restic:rest:https://vault/, with restic"),
        (doctor_checks.backups, {"find_program": lambda n: None}, RESTIC, "✗", "install restic"),
        (doctor_checks.backups, {}, {**RESTIC, "backup_key": ""}, "✗", "set BACKUP_KEY"),
        (
            doctor_checks.backups,
            {},
            {"backup_target": "s3:https://a:s3cret@vault/b"},
            "✗",
            "or restic:s3:https://vault/b",
        ),
        (
            doctor_checks.programs,
            {"find_program": lambda n: None},
            {"recordings_key": "age1…"},
            "✗✗✗",
            "install age",
        ),
        (doctor_checks.cores, {"cores": lambda: {0}}, {}, "!", "one core"),
        (doctor_checks.cores, {"cores": lambda: {0, 1}}, {}, "!", "few for 20 calls"),
        (doctor_checks.cores, {"cores": lambda: {0, 1}}, {"max_calls": 5}, "✓", "2 cores"),
        (doctor_checks.cores, {"cores": lambda: {4, 5}}, {"loop_core": 0}, "✗", "LOOP_CORE=0"),
        (doctor_checks.cores, {}, {"worker_cores": (2, 8)}, "✗", "WORKER_CORES=2,8"),
        (doctor_checks.memory, {"memory_available": lambda: 10**9}, {}, "!", "3 workers"),
        (doctor_checks.directories, {"write_error": lambda p: "No"}, {}, "✗✗✗", "CACHE_DIR"),
        (doctor_checks.directories, {}, {"record_calls": False}, "✓✓", "MODELS_DIR"),
        (doctor_checks.disk, {"free_bytes": lambda p: 5 * 10**9}, {}, "!", "5 GB"),
        (doctor_checks.disk, {"free_bytes": lambda p: 5 * 10**8}, {}, "✗", "RECORDINGS_DIR"),
        (
            doctor_cloud.speech,
            {},
            {"groq_api_key": "s3cret", "llm_chain": ("rules",)},
            "✓✓!",
            "LLM_CHAIN=auto",
        ),
        (doctor_cloud.speech, {}, {"stt_chain": ("deepgram",)}, "!✓✓", "STT_CHAIN"),
        (
            doctor_cloud.kits,
            {"import_module": refuse},
            {"deepgram_api_key": "s3cret"},
            "✗",
            "scripts/setup cloud",
        ),
        (
            doctor_cloud.sunsets,
            {},
            {"openai_api_key": "s3cret", "model_sunsets": ("gpt-4o-mini-tts=2020-01-01",)},
            "!✓",
            "skipped",
        ),
        (
            doctor_cloud.sunsets,
            {},
            {"openai_api_key": "s3cret", "model_sunsets": (f"gpt-4o-mini-tts={SOON}",)},
            "!✓",
            SOON,
        ),
        (doctor_checks.ports, {"bind_error": lambda h, p: errno.EADDRINUSE}, {}, "✗✗", "9090"),
        (doctor_checks.ports, {"bind_error": lambda h, p: errno.EACCES}, {}, "✗✗", "denied"),
        (doctor_checks.clock, {"clock_synchronised": lambda: False}, {}, "!", "timesyncd"),
        (doctor_checks.clock, {"clock_synchronised": lambda: None}, {}, "!", "cannot tell here"),
    ],
)
def test_what_is_wrong_is_named_with_what_to_do(
    settings: Callable[..., Settings],
    check: doctor_checks.Check,
    facts: dict[str, Any],
    changes: dict[str, Any],
    expected: str,
    says: str,
) -> None:
    findings = list(check(settings(**changes), healthy(**facts)))
    assert marks(iter(findings)) == expected
    assert says in " ".join(f"{f.text} {f.remedy}" for f in findings)
    assert "s3cret" not in str(findings)
    assert all(f.remedy for f in findings if f.mark is not Mark.GOOD)


def test_our_own_service_on_the_ports_is_no_fault(settings: Callable[..., Settings]) -> None:
    asked = []

    def fetch(url: str) -> bytes:
        asked.append(url)
        return json.dumps({"calls": [{"call_id": "a"}, {"call_id": "b"}]}).encode()

    busy = healthy(bind_error=lambda host, port: errno.EADDRINUSE, fetch=fetch)
    findings = list(doctor_checks.ports(settings(), busy))

    assert marks(iter(findings)) == "✓✓"
    assert "the voicebot is running, 2 calls" in findings[0].text
    assert set(asked) == {"http://127.0.0.1:9080/v1/calls"}


@pytest.mark.parametrize("answer", [b"<html>hello</html>", b"[]", b'{"status": "up"}'])
def test_a_foreign_web_server_on_the_control_port_is_not_taken_for_ours(
    settings: Callable[..., Settings], answer: bytes
) -> None:
    stranger = healthy(bind_error=lambda host, port: errno.EADDRINUSE, fetch=lambda url: answer)
    assert marks(doctor_checks.ports(settings(), stranger)) == "✗✗"


def test_a_broken_script_is_reported_fault_by_fault(
    settings: Callable[..., Settings], tmp_path: Path
) -> None:
    file = tmp_path / "script.yaml"
    file.write_text("name: [unclosed")
    findings = list(doctor_checks.script(settings(script_file=file), healthy()))
    assert marks(iter(findings)) == "✗"
    assert str(file) in findings[0].text


def test_a_missing_model_is_a_fault_and_a_missing_prompt_a_warning(
    settings: Callable[..., Settings],
) -> None:
    assert set(marks(doctor_checks.model_files(settings(), healthy()))) == {"✗"}
    findings = list(doctor_checks.prompts(settings(), healthy()))
    assert marks(iter(findings)) == "!"
    assert "voicebot prompts" in findings[0].remedy


def test_models_and_prompts_that_are_there_are_found(
    settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "check", lambda directory, *, embedded, turns: [])
    monkeypatch.setattr(PromptCache, "load", lambda self, texts: [])
    assert marks(doctor_checks.model_files(settings(), healthy())) == "✓"
    assert marks(doctor_checks.prompts(settings(), healthy())) == "✓"


@pytest.mark.parametrize(
    ("changes", "missed"),
    [
        ({"deepgram_api_key": "s3cret"}, True),
        ({"deepgram_api_key": "s3cret", "embedded_engine": False}, True),
        ({"listen_for_turn_end": "always"}, True),
        ({"deepgram_api_key": "s3cret", "listen_for_turn_end": "never"}, False),
        ({}, False),  # the embedded engine recognises: the service starts without
    ],
)
def test_the_model_for_the_ends_of_turns_is_missed_where_the_service_needs_it(
    settings: Callable[..., Settings], tmp_path: Path, changes: dict[str, Any], missed: bool
) -> None:
    def found() -> list[Finding]:
        findings = doctor_checks.model_files(settings(**changes), healthy())
        return [finding for finding in findings if models.TURN_MODEL in finding.text]

    file = tmp_path / "models" / models.TURN_MODEL
    remedy = "run voicebot models"
    missing = Finding(Mark.FAULT, f"{file}: missing", remedy)
    assert found() == ([missing] if missed else [])

    file.parent.mkdir()
    file.write_bytes(b"half of it")
    for finding in found():
        assert finding.text.startswith(f"{file}: damaged (SHA-256 ")
        assert (finding.mark, finding.remedy) == (Mark.FAULT, remedy)
    assert len(found()) == missed


def test_the_journal_is_opened_but_never_made(
    settings: Callable[..., Settings], tmp_path: Path
) -> None:
    file = tmp_path / "journal.db"
    assert marks(doctor_checks.journal(settings(), healthy())) == "✓"
    assert not file.exists()

    sqlite3.connect(file).close()
    file.write_bytes(b"not a database, whatever its name says" * 100)
    findings = list(doctor_checks.journal(settings(), healthy()))
    assert marks(iter(findings)) == "✗"
    assert "not a database" in findings[0].text


@pytest.mark.parametrize("url", ["nonsense", "mysql+nodriver://u:s3cret@db/x"])
def test_a_journal_that_cannot_be_reached_is_a_fault(
    settings: Callable[..., Settings], url: str
) -> None:
    findings = list(doctor_checks.journal(settings(journal_url=url), healthy()))
    assert marks(iter(findings)) == "✗"
    assert "s3cret" not in str(findings)


def test_clouds_are_named_in_the_order_in_which_they_are_asked(
    settings: Callable[..., Settings],
) -> None:
    keys = {
        "deepgram_api_key": "s3cret",
        "groq_api_key": "s3cret",
        "openai_api_key": "s3cret",
    }
    findings = list(doctor_cloud.speech(settings(**keys), healthy()))
    assert [finding.text for finding in findings] == [
        "speech to text: deepgram, then local",
        "text to speech: openai, then openai_realtime, then deepgram, then local",
        "language model: groq, then groq_spare, then rules",
    ]
    never = ("gpt-4o-mini-tts=never",)
    found = doctor_cloud.sunsets(settings(**keys, model_sunsets=never), healthy())
    assert marks(found) == "✓✓✓✓✓✓"
    assert marks(doctor_cloud.kits(settings(**keys), healthy())) == "✓✓✓✓✓"


def test_without_clouds_none_is_asked(settings: Callable[..., Settings]) -> None:
    findings = list(doctor_cloud.live(settings(), healthy()))
    assert [finding.text for finding in findings] == ["no cloud is in use, so none was tested"]


def test_faulty_settings_come_first_and_the_rest_is_still_checked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MAX_CONCURRENT_CALLS", "many")
    findings = list(doctor.examine(healthy(), [doctor_checks.python]))
    assert marks(iter(findings)) == "✗✓"
    assert "MAX_CONCURRENT_CALLS='many'" in findings[0].text


def test_a_check_that_lacks_a_package_does_not_end_the_report(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)

    def script(settings: Settings, machine: Machine) -> Iterator[Finding]:
        raise ImportError("No module named 'yaml'")
        yield

    findings = list(doctor.examine(healthy(), [script, doctor_checks.python]))
    assert marks(iter(findings)) == "✓✗✓"


@pytest.mark.parametrize(
    ("found", "status", "last"),
    [
        ([Mark.GOOD], 0, "ready to take calls"),
        ([Mark.GOOD, Mark.WARNING], 0, "ready to take calls, 1 warning"),
        ([Mark.FAULT, Mark.GOOD, Mark.FAULT], 1, "not ready: 2 faults, 0 warnings"),
    ],
)
def test_the_exit_status_follows_the_faults(found: list[Mark], status: int, last: str) -> None:
    out = io.StringIO()
    findings = (
        Finding(mark, "something", "" if mark is Mark.GOOD else "do this") for mark in found
    )
    assert doctor.report(findings, out) == status
    assert out.getvalue().splitlines()[-1] == last


def test_what_is_mended_in_the_same_way_is_told_how_once() -> None:
    out = io.StringIO()
    findings = [
        *(Finding(Mark.FAULT, f"line {n} is wrong", "mend the script") for n in (1, 2)),
        Finding(Mark.GOOD, "fine"),
        Finding(Mark.FAULT, "line 3 is wrong", "mend the script"),
        Finding(Mark.WARNING, "little memory", "buy more"),
    ]
    doctor.report(iter(findings), out)
    assert out.getvalue().splitlines()[:-2] == [
        "✗ line 1 is wrong",
        "✗ line 2 is wrong",
        "    → mend the script",
        "✓ fine",
        "✗ line 3 is wrong",
        "    → mend the script",
        "! little memory",
        "    → buy more",
    ]


def test_quiet_says_nothing_when_nothing_is_wrong() -> None:
    out = io.StringIO()
    assert doctor.report(iter([Finding(Mark.GOOD, "fine")]), out, quiet=True) == 0
    assert out.getvalue() == ""


class TestThisMachine:
    """The questions themselves, asked of the machine that runs the test."""

    def test_a_port_is_free_taken_or_not_ours_to_have(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as holder:
            port = holder.getsockname()[1]
            assert machine._bind_error("127.0.0.1", port) == errno.EADDRINUSE
        assert machine._bind_error("127.0.0.1", port) == 0
        assert machine._bind_error("192.0.2.1", port) == errno.EADDRNOTAVAIL
        assert machine._bind_error("no such host", port) == errno.EADDRNOTAVAIL

    def test_a_directory_that_is_not_there_yet_is_judged_by_the_one_above(
        self, tmp_path: Path
    ) -> None:
        assert machine._write_error(tmp_path / "deep" / "below") is None
        assert list(tmp_path.iterdir()) == []
        file = tmp_path / "file"
        file.touch()
        assert machine._write_error(file / "below") == "Not a directory"

    def test_memory_is_known_on_linux(self) -> None:
        available = machine._memory_available()
        assert available is not None
        assert available > 1_000_000
