"""An image of the bundle comes to where Docker keeps images, as far as there is room for it.

A `docker` that notes what it was asked stands for the engine; the tasks are run by Ansible.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
ROLE = REPOSITORY / "ansible/roles/docker"
DOCKER = """#!/bin/sh
echo "$@" >>{folder}/asked
case "$1 $2" in
"image inspect") exit 1 ;;
"info --format") echo {root} ;;
"image load") cat "$5" >{folder}/loaded ;;
esac
"""


def bring(folder: Path, root: Path) -> subprocess.CompletedProcess[str]:
    docker = folder / "docker"
    docker.write_text(DOCKER.format(folder=folder, root=root))
    docker.chmod(0o755)
    (folder / "play.yml").write_text(yaml.safe_dump([{
        "hosts": "localhost",
        "gather_facts": False,
        "vars": {
            **yaml.safe_load((ROLE / "vars/main.yml").read_text()),
            "docker_bundle": str(folder),
            "docker_image": "voicebot:9",
            "ansible_python_interpreter": sys.executable,
        },
        "tasks": [{"ansible.builtin.include_tasks": str(ROLE / "tasks/image.yml")}],
    }]))  # fmt: skip
    return subprocess.run(
        [REPOSITORY / ".venv/bin/ansible-playbook", folder / "play.yml",
         "-i", "localhost,", "-c", "local"],
        env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"},
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Of a Docker that somebody has moved to another disk (data-root)."""
    (tmp_path / "voicebot_9.id").write_text("sha256:9\n")
    folder = tmp_path / "another disk"
    folder.mkdir()
    return folder


@pytest.mark.timeout(300)
def test_it_is_copied_there_loaded_and_leaves_nothing(root: Path) -> None:
    folder = root.parent
    (folder / "voicebot_9.tar.gz").write_text("an image")
    done = bring(folder, root)
    assert done.returncode == 0, done.stdout
    assert (folder / "loaded").read_text() == "an image"
    assert f"--input {root}/voicebot-image.tar.gz" in (folder / "asked").read_text()
    assert list(root.iterdir()) == []


@pytest.mark.timeout(300)
def test_one_that_would_fill_the_disk_is_not_begun(root: Path) -> None:
    with (root.parent / "voicebot_9.tar.gz").open("wb") as image:
        image.truncate(10**13)
    done = bring(root.parent, root)
    assert done.returncode != 0
    told = " ".join(done.stdout.split())
    assert re.search(rf"{root} has \d+ MB free, and the image voicebot:9 needs \d+ ", told), told
    assert not (root.parent / "loaded").exists()
    assert list(root.iterdir()) == []
