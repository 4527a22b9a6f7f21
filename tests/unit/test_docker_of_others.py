"""A Docker that is somebody else's, too: what the appliance's settings would take from it is told.

A `docker` and a `python3` that say what they would there stand for it; the role is run by Ansible.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
RUNS = "voicebot host\ndatabase bridge\nshop shop_default\njob none\nsidecar "


def problems(folder: Path, runs: str, daemon: str) -> list[str]:
    (folder / "runs").write_text(runs)
    (folder / "daemon.json").write_text(daemon)
    missing = "echo 'No such file or directory' >&2; exit 1"
    for program, does in (
        ("docker", f"cat {folder}/runs"),
        ("python3", f"[ -s {folder}/daemon.json ] || {{ {missing}; }}; cat {folder}/daemon.json"),
    ):
        (folder / program).write_text(f"#!/bin/sh\n{does}\n")
        (folder / program).chmod(0o755)
    (folder / "play.yml").write_text(yaml.safe_dump([{
        "hosts": "localhost",
        "gather_facts": False,
        "vars": {"docker_packages": [], "ansible_python_interpreter": sys.executable},
        "tasks": [
            {"ansible.builtin.set_fact": {"preflight_problems": []}},
            {"ansible.builtin.include_role": {
                "name": "docker", "tasks_from": "preflight", "rolespec_validate": False,
            }},
            {"ansible.builtin.copy": {
                "content": "{{ preflight_problems | to_json }}", "dest": f"{folder}/found.json",
                "mode": "0640",
            }},
        ],
    }]))  # fmt: skip
    done = subprocess.run(
        [REPOSITORY / ".venv/bin/ansible-playbook", folder / "play.yml",
         "-i", "localhost,", "-c", "local"],
        env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}",
             "ANSIBLE_ROLES_PATH": str(REPOSITORY / "ansible/roles")},
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return list(json.loads((folder / "found.json").read_text()))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("daemon", ["", '{"bridge": "none"}'])
def test_containers_that_would_lose_their_network_are_named(daemon: str, tmp_path: Path) -> None:
    (found,) = problems(tmp_path, RUNS, daemon)
    assert found.startswith("docker_daemon: database, shop on this host")


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("runs", "daemon"),
    [
        ("voicebot host\nasterisk host\n", ""),
        (RUNS, '{"bridge": "", "iptables": true}'),
    ],
)
def test_nobody_is_told_of_what_stays_as_it_is(runs: str, daemon: str, tmp_path: Path) -> None:
    assert problems(tmp_path, runs, daemon) == []
