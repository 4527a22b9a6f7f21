"""A house for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tests.support.archive import House


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    house = House(tmp_path)
    for name, value in house.environment.items():
        monkeypatch.setenv(name, value)
    for name in ("BACKUP_TARGET", "BACKUP_DAYS", "SCRIPT_FILE", "RSYNC_RSH"):
        monkeypatch.delenv(name, raising=False)
    yield house
    structlog.reset_defaults()
