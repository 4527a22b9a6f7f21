"""``docs/how-to/release-images.md``: its commands sign a release, and find a change in one."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "release-images.md").read_text()


def commands(what: str) -> str:
    """The lines of the page's block in which *what* is, without their remarks."""
    blocks = re.findall(r"^ *```\n(.*?)^ *```", PAGE, re.M | re.S)
    (block,) = [one for one in blocks if what in one]
    return re.sub(r" +#.*", "", block)


def run(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euc", script], cwd=folder, capture_output=True, text=True, check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder)},
    )  # fmt: skip


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A release as the page signs it, with a stand-in for the images, and whom a host believes."""
    (tmp_path / ".ssh").mkdir(mode=0o700)
    key = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / ".ssh" / "release")]
    subprocess.run(key, check=True)
    (tmp_path / "var/docker/sbom").mkdir(parents=True)
    (tmp_path / "var/docker/sbom/voicebot.spdx.json").write_text("{}")
    (tmp_path / "voicebot-0.1.0.tar.gz").write_bytes(b"images")
    signing = re.sub(r"^ *docker save .*\n", "", commands("-Y sign"), flags=re.M)
    done = run(signing, tmp_path)
    assert done.returncode == 0, done.stderr
    (allowed,) = re.findall(r"`release.allowed` holds `(.+?) ssh-ed25519", PAGE)
    public = (tmp_path / ".ssh" / "release.pub").read_text()
    (tmp_path / "release.allowed").write_text(f"{allowed} {public}")
    return tmp_path


def test_a_release_that_was_signed_is_believed(release: Path) -> None:
    done = run(commands("-Y verify"), release)
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'Good "voicebot" signature for release@example.com' in done.stdout
    assert "voicebot-0.1.0.tar.gz: OK" in done.stdout


@pytest.mark.parametrize("changed", ["voicebot-0.1.0.tar.gz", "SHA256SUMS"])
def test_one_that_was_changed_on_its_way_is_not(release: Path, changed: str) -> None:
    with (release / changed).open("ab") as file:
        file.write(b"\n")
    assert run(commands("-Y verify"), release).returncode != 0
