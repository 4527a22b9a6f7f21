"""The files an operator installs agree with the settings of the code."""

from __future__ import annotations

import configparser
import os
from pathlib import Path

import pytest
import yaml

from voicebot.config import Settings

ROOT = Path(__file__).parents[2]


class _Unit(configparser.RawConfigParser):
    """A unit file: keys may come twice, and their case matters."""

    optionxform = staticmethod(str)  # type: ignore[assignment]


@pytest.fixture(scope="module")
def unit() -> configparser.RawConfigParser:
    parser = _Unit(strict=False)
    parser.read(ROOT / "systemd" / "voicebot.service")
    return parser


def test_systemd_waits_for_running_calls_longer_than_the_service_does(
    unit: configparser.RawConfigParser,
) -> None:
    settings = Settings()
    assert settings.drain_timeout > settings.max_call_duration
    assert unit.getint("Service", "TimeoutStopSec") > settings.drain_timeout


def test_the_unit_writes_only_below_its_state_directory(
    unit: configparser.RawConfigParser,
) -> None:
    assert unit["Service"]["ProtectSystem"] == "strict"
    assert unit["Service"]["WorkingDirectory"] == f"/var/lib/{unit['Service']['StateDirectory']}"
    settings = Settings()
    for path in (settings.models_dir, settings.cache_dir, settings.recordings_dir):
        assert not path.is_absolute()


def targets(job: str) -> list[str]:
    """Where the job's one target file sends Prometheus."""
    config = yaml.safe_load((ROOT / "prometheus/prometheus.yml").read_text())
    (found,) = (c for c in config["scrape_configs"] if c["job_name"] == job)
    (files,) = found["file_sd_configs"]
    assert files["files"] == [f"targets/{job}.yml"]
    (entry,) = yaml.safe_load((ROOT / f"prometheus/targets/{job}.yml").read_text())
    assert entry["labels"] == {"instance": "voicebot"}, "or the cores are not marked"
    hosts: list[str] = entry["targets"]
    return hosts


def test_prometheus_asks_where_the_service_answers() -> None:
    settings = Settings()
    assert targets("voicebot") == [f"{settings.control_host}:{settings.control_port}"]
    taken = {settings.audiosocket_port, settings.control_port}
    others = {
        int(targets(job)[0].rpartition(":")[2])
        for job in ("node", "asterisk", "alertmanager", "prometheus")
    }
    assert len(others) == 4
    assert not taken & others


def test_scripts_can_be_run() -> None:
    scripts = [*(ROOT / "scripts").iterdir(), ROOT / ".ci" / "run"]
    assert [s.name for s in scripts if s.is_file() and not os.access(s, os.X_OK)] == []
