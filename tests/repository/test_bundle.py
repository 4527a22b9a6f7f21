"""``scripts/bundle``: what a host gets is of this revision, whatever the engine still has.

The script itself, in a repository of its own; Docker and the build only note what they are told.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKER = """#!/bin/bash
case "$*" in
*.Id*) echo sha256:1 ;;
*revision*) cat {built} ;;
"image save"*) echo image ;;
esac
"""
BUILD = """#!/bin/bash
echo "$@" >>{asked}
scripts/revision >{built}
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    scripts = tmp_path / "checkout" / "scripts"
    scripts.mkdir(parents=True)
    (tmp_path / "docker").write_text(DOCKER.format(built=tmp_path / "built"))
    (scripts / "build-images").write_text(
        BUILD.format(asked=tmp_path / "asked", built=tmp_path / "built")
    )
    for script in ("bundle", "revision"):
        text = (ROOT / "scripts" / script).read_text()
        assert "/usr/bin/docker" in text
        (scripts / script).write_text(text.replace("/usr/bin/docker", str(tmp_path / "docker")))
    for file in (tmp_path / "docker", *scripts.iterdir()):
        file.chmod(0o755)
    (scripts.parent / "voicebot").mkdir()
    (scripts.parent / "voicebot" / "__init__.py").write_text('__version__ = "1.2.3"\n')
    (scripts.parent / ".gitignore").write_text("var\n")
    git(scripts.parent, "init", "--quiet")
    commit(scripts.parent)
    return scripts.parent


def git(checkout: Path, *arguments: str) -> None:
    who = ["-c", "user.name=of the test", "-c", "user.email=test@example.org"]
    subprocess.run(["git", *who, *arguments], cwd=checkout, check=True)


def commit(checkout: Path) -> None:
    git(checkout, "add", "--all")
    git(checkout, "commit", "--quiet", "--allow-empty", "--message", "a change")


def bundle(checkout: Path) -> list[str]:
    """What was built for it."""
    asked = checkout.parent / "asked"
    asked.unlink(missing_ok=True)
    subprocess.run(
        [checkout / "scripts" / "bundle"], check=True, capture_output=True,
        env={**os.environ, "BUNDLE_IMAGES": "full"},
    )  # fmt: skip
    return asked.read_text().split() if asked.exists() else []


def test_an_image_of_an_earlier_revision_is_built_anew(checkout: Path) -> None:
    (checkout.parent / "built").write_text("0123456\n")
    assert bundle(checkout) == ["full"]
    assert bundle(checkout) == [], "it is there"
    commit(checkout)
    assert bundle(checkout) == ["full"]


def test_so_is_one_of_files_that_nobody_committed(checkout: Path) -> None:
    (checkout / "voicebot" / "more.py").touch()
    git(checkout, "add", "--all")
    assert bundle(checkout) == ["full"]
    assert bundle(checkout) == ["full"], "they may have changed since"


def test_a_tag_does_not_change_what_a_revision_is_called(checkout: Path) -> None:
    assert bundle(checkout) == ["full"]
    git(checkout, "tag", "--annotate", "v1.2.3", "--message", "1.2.3")
    assert bundle(checkout) == []
