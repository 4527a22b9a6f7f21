"""The demonstration: a service started for it, and stopped whatever happens."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from voicebot.commands import demo

READY = '{"event": "service ready", "audiosocket_port": 40001, "control_port": 40002}'

GOOD_SERVICE = f"""
import signal, sys
print("a warning of some library", file=sys.stderr)
print('{READY}', file=sys.stderr, flush=True)
signal.sigwait([signal.SIGTERM])
print("stopped as asked", file=sys.stderr)
"""

BROKEN_SERVICE = """
import sys
sys.exit("CONTROL_PORT='x' (environment): must be a whole number")
"""


def service(program: str, log: Path) -> demo.Service:
    # the signal is blocked before the program says that it is ready, or it would be lost
    block = "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])\n"
    return demo.Service({"PATH": ""}, log, (sys.executable, "-c", block + program))


def test_the_ports_come_from_the_log_which_is_kept(tmp_path: Path) -> None:
    log = tmp_path / "service.log"
    with service(GOOD_SERVICE, log) as running:
        assert (running.audiosocket_port, running.control_port) == (40001, 40002)
    assert log.read_text().splitlines() == ["a warning of some library", READY, "stopped as asked"]


def test_a_service_that_ends_at_once_is_not_waited_for(tmp_path: Path) -> None:
    log = tmp_path / "service.log"
    with (
        pytest.raises(demo.ServiceFailedError, match=r"service\.log"),
        service(BROKEN_SERVICE, log),
    ):
        pytest.fail("it never became ready")
    assert "CONTROL_PORT" in log.read_text()


def test_a_service_that_does_not_stop_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "STOP_TIMEOUT", 0.2)
    stubborn = GOOD_SERVICE.replace("signal.sigwait([signal.SIGTERM])", "signal.pause()")
    with service(stubborn, tmp_path / "service.log") as running:
        process = running._process
    assert process.returncode == -9


def test_every_scenario_of_the_demonstration_is_shipped() -> None:
    scenarios = Path(demo.__file__).parents[1] / "data" / "scenarios"
    for act in demo.ACTS:
        for name in act.scenarios:
            assert (scenarios / f"{name}.yaml").is_file()
