"""What ``build_info`` and images say of where they came from."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from voicebot import service

ROOT = Path(__file__).parents[2]


def test_a_checkout_is_called_by_its_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VOICEBOT_REVISION", raising=False)
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    assert head.startswith(service.revision().removesuffix("-dirty"))
    assert service.revision() != "", "an empty name begins every commit"


def test_an_image_is_called_as_it_was_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICEBOT_REVISION", "of-the-image")
    assert service.revision() == "of-the-image"
