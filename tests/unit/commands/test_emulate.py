"""``voicebot emulate`` where it is not installed, as in the images."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from bench.environment import linked


def test_it_names_what_is_missing_and_how_to_get_it(tmp_path: Path) -> None:
    packages = linked(tmp_path / "packages")
    done = subprocess.run(
        [sys.executable, "-S", "-m", "voicebot", "emulate", "--port", "0"],
        env={**os.environ, "PYTHONPATH": f"{packages}:{Path.cwd()}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "aiohttp" in done.stderr
    assert "scripts/setup emulator" in done.stderr
    assert "Traceback" not in done.stderr
