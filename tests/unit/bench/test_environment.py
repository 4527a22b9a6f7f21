"""What the measured service finds installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from bench.environment import linked


def test_it_has_what_an_installation_has_and_no_tools(tmp_path: Path) -> None:
    packages = linked(tmp_path / "packages")
    names = ("deepgram", "groq", "openai", "numpy", "structlog", "ctranslate2", "rich", "pytest")
    script = (
        "import sys, importlib.util as u\n"
        "print(*(name for name in sys.argv[1:] if u.find_spec(name)))"
    )
    found = subprocess.run(
        [sys.executable, "-S", "-c", script, *names],
        env={**os.environ, "PYTHONPATH": str(packages)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.split() == list(names[:6])
