"""Grafana's published types as JSON Schemas, made once; the dashboards as they are checked in."""

from __future__ import annotations

import fcntl
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
DASHBOARDS = sorted((ROOT / "grafana/dashboards").glob("*.json"))


def pages() -> dict[str, dict[str, Any]]:
    """The dashboards by name."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in DASHBOARDS}


@pytest.fixture(scope="session")
def schemas() -> Path:
    """The file for ``validate.mjs``; packages and schemas are made when their versions change."""
    lock = (HERE / "package-lock.json").read_text() + (HERE / "schemas.mjs").read_text()
    made, marker = HERE / "node_modules/.schemas.json", HERE / "node_modules/.made-from"
    with (HERE / "package-lock.json").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not marker.exists() or marker.read_text() != lock:
            command = ["npm", "ci", "--no-progress", "--loglevel=error"]
            subprocess.run(command, cwd=HERE, check=True, timeout=300)
            done = subprocess.run(
                ["node", "schemas.mjs"], cwd=HERE, check=True, timeout=120, stdout=subprocess.PIPE
            )
            made.write_bytes(done.stdout)
            marker.write_text(lock)
    return made
