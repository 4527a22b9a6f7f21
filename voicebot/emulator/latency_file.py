"""Reads a table of latencies from disk; the checks are :mod:`voicebot.emulator.latency`'s."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import yaml

from voicebot.emulator.latency import LatencyError, Profile, parse

PUBLISHED: Final = Path(__file__).parent.parent / "data" / "emulator" / "latency.yaml"
"""What the vendors and independent benchmarks publish."""


def load(file: Path = PUBLISHED) -> Profile:
    """The profile in *file*. Raises LatencyError, which names the file and the entry."""
    try:
        return parse(yaml.safe_load(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise LatencyError(f"{file}: no such file (--latency)") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise LatencyError(f"{file}: cannot be read: {error}") from error
    except LatencyError as error:
        raise LatencyError(f"{file}: {error}") from None
