"""An image of the bundle comes to where Docker keeps images, as far as there is room for it.

A `docker` that notes what it was asked stands for the engine; the tasks are run by Ansible.
"""

from __future__ import annotations

import gzip
import os
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


IMAGE = bytes(10 * 2**20)
ROOM = (
    2 * 10 + 1
)  # MB: its 10 as they are unpacked and as layers, and its few KB as they are packed


def bring(folder: Path, root: Path, room: int) -> subprocess.CompletedProcess[str]:
    (folder / "voicebot_9.tar.gz").write_bytes(gzip.compress(IMAGE))
    program(folder / "docker", DOCKER.format(folder=folder, root=root))
    program(folder / "df", f'#!/bin/sh\necho "$@" >>{folder}/asked\nprintf "Avail\n %d\n" {room}\n')
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


def program(file: Path, text: str) -> None:
    file.write_text(text)
    file.chmod(0o755)


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
    done = bring(folder, root, ROOM)
    assert done.returncode == 0, done.stdout
    assert gzip.decompress((folder / "loaded").read_bytes()) == IMAGE
    asked = (folder / "asked").read_text()
    assert f"--output=avail {root}\n" in asked
    assert f"--input {root}/voicebot-image.tar.gz\n" in asked
    assert list(root.iterdir()) == []


@pytest.mark.timeout(300)
def test_one_that_would_fill_the_disk_is_not_begun(root: Path) -> None:
    """What counts is how large it is unpacked, which is most of it."""
    done = bring(root.parent, root, ROOM - 1)
    assert done.returncode != 0
    told = " ".join(done.stdout.split())
    assert f"{root} has {ROOM - 1} MB free, and the image voicebot:9 needs {ROOM} until" in told
    assert not (root.parent / "loaded").exists()
    assert list(root.iterdir()) == []
