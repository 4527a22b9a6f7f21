"""What a host's `voicebot-certificate` sees of the certificate shown, and leaves for alerts."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.certificates import DAY, Authority, showing
from tests.support.servers import free_port

PROGRAM = Path(__file__).parents[2] / "ansible/roles/asterisk/files/voicebot-certificate"
AUTHORITY = Authority()
END = "asterisk_tls_certificate_expiry_timestamp_seconds"
SUCCESS = "voicebot_task_last_success_timestamp_seconds"
RUN = "voicebot_task_last_run_timestamp_seconds"


def look(port: int, metrics: Path) -> tuple[int, str, dict[str, float]]:
    """Its exit status, what it prints, and what it has left."""
    done = subprocess.run(
        [sys.executable, PROGRAM, str(port), metrics],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.stderr == ""
    left = {
        sample.name: sample.value
        for family in text_string_to_metric_families(metrics.read_text())
        for sample in family.samples
        if sample.labels in ({}, {"task": "certificate"})
    }
    return done.returncode, done.stdout.strip(), left


def test_what_is_shown_is_told_with_its_end(tmp_path: Path) -> None:
    metrics, now = tmp_path / "it.prom", time.time()
    with showing(AUTHORITY.sign("192.0.2.1", days=20.5), tmp_path) as port:
        status, said, left = look(port, metrics)
    assert (status, said) == (0, "TLS answers with a certificate that is good for 20 days")
    assert left[END] == pytest.approx(now + 20.5 * DAY.total_seconds(), abs=60)
    assert left[SUCCESS] == left[RUN] == pytest.approx(now, abs=60)
    assert metrics.stat().st_mode & 0o777 == 0o644
    assert [file.name for file in tmp_path.glob("*it.prom*")] == ["it.prom"]


def test_one_that_has_expired_is_read_as_well(tmp_path: Path) -> None:
    metrics, now = tmp_path / "it.prom", time.time()
    with showing(AUTHORITY.sign("192.0.2.1", days=-1), tmp_path) as port:
        status, said, left = look(port, metrics)
    assert (status, said) == (1, "nobody can connect by TLS (certificate has expired)")
    assert left[END] == pytest.approx(now - DAY.total_seconds(), abs=60)
    assert left[SUCCESS] == pytest.approx(now, abs=60), "it was looked at, all the same"


def test_where_nobody_answers_the_last_success_grows_old(tmp_path: Path) -> None:
    metrics = tmp_path / "it.prom"
    with showing(AUTHORITY.sign("192.0.2.1"), tmp_path) as port:
        _, _, before = look(port, metrics)
    status, said, left = look(free_port(), metrics)
    assert status == 1
    assert said.startswith("nobody can connect by TLS (")
    assert "refused" in said
    assert (left[END], left[SUCCESS]) == (before[END], before[SUCCESS])
    assert left[RUN] > before[RUN]


def test_without_a_success_yet_there_is_none(tmp_path: Path) -> None:
    _, _, left = look(free_port(), tmp_path / "it.prom")
    assert left.keys() == {RUN}


def test_what_was_damaged_is_written_anew(tmp_path: Path) -> None:
    metrics = tmp_path / "it.prom"
    for damage in (b"\xff\xfe", f"{END} half\n".encode(), b"\0" * 200):
        metrics.write_bytes(damage)
        _, _, left = look(free_port(), metrics)
        assert left.keys() == {RUN}


VERIFY = Path(__file__).parents[2] / "ansible/roles/verify/files/voicebot-verify"


def self_check(port: int, metrics: Path, folder: Path) -> list[str]:
    """What `voicebot-verify` of a host prints of its TLS."""
    site = folder / "site.json"
    site.write_text(json.dumps({"sip_tls_port": port, "certificate_metrics": str(metrics)}))
    program = VERIFY.read_text().replace("/etc/voicebot-verify.json", str(site))
    program = program.replace("/usr/local/sbin/voicebot-certificate", str(PROGRAM))
    program = program.replace("sys.exit(main())", "encryption()")
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("days", "words"),
    [
        (40.5, "ok      TLS answers with a certificate that is good for 40 days"),
        (5.5, "remark  the certificate of TLS ends in 5 day(s): renew asterisk_tls_certificate"),
        (-1, "FAILED  nobody can connect by TLS (certificate has expired)"),
    ],
)
def test_the_self_check_says_what_is_seen_and_whether_alerts_know(
    tmp_path: Path, days: float, words: str
) -> None:
    with showing(AUTHORITY.sign("192.0.2.1", days=days), tmp_path) as port:
        known = self_check(port, tmp_path / "it.prom", tmp_path)
        unknown = self_check(port, tmp_path / "nowhere" / "it.prom", tmp_path)
    assert known[0] == unknown[0] == words
    assert not any("alerts" in line for line in known)
    *rest, last = unknown
    assert rest == known
    assert last.startswith("remark  and alerts on it know nothing of that: ")
    assert last.endswith("nowhere/it.prom: No such file or directory")


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, PROGRAM, str(free_port()), tmp_path / "nowhere" / "it.prom"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert "nowhere/it.prom: No such file or directory" in done.stderr
