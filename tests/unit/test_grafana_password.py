"""A new `grafana_admin_password` becomes Grafana's.

No Grafana can be had here: a server that wants this user and password stands for it, and a `docker`
that is told the new one. What is real are the tasks, run by Ansible.
"""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from tests.support.serving import serving

REPOSITORY = Path(__file__).parents[2]
TASKS = REPOSITORY / "ansible/roles/grafana/tasks/password.yml"
OLD, NEW = "the one before; long", "the new one; long enough"


class Grafana(ThreadingHTTPServer):
    password = OLD


class Answer(BaseHTTPRequestHandler):
    server: Grafana

    def do_GET(self) -> None:
        told = self.headers.get("Authorization", "").removeprefix("Basic ")
        good = base64.b64decode(told).decode() == f"admin:{self.server.password}"
        self.send_response(200 if good else 401)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def grafana() -> Iterator[Grafana]:
    with serving(Grafana(("127.0.0.1", 0), Answer)) as server:
        yield server


@pytest.mark.timeout(300)
def test_it_is_told_a_password_that_it_does_not_take(grafana: Grafana, tmp_path: Path) -> None:
    docker = tmp_path / "docker"
    docker.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/arguments; cat >{tmp_path}/stdin\n')
    docker.chmod(0o755)
    (tmp_path / "play.yml").write_text(yaml.safe_dump([{
        "hosts": "localhost",
        "gather_facts": False,
        "vars": {
            "grafana_admin_password": NEW,
            "__grafana_here": f"http://127.0.0.1:{grafana.server_port}",
            "ansible_python_interpreter": sys.executable,
        },
        "tasks": [{"ansible.builtin.include_tasks": str(TASKS)}],
    }]))  # fmt: skip

    def play() -> str:
        done = subprocess.run(
            [REPOSITORY / ".venv/bin/ansible-playbook", tmp_path / "play.yml",
             "-i", "localhost,", "-c", "local", "-vv"],
            env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        assert NEW not in done.stdout
        return done.stdout

    assert "changed=1" in play()
    assert (tmp_path / "stdin").read_text().rstrip("\n") == NEW
    told = (tmp_path / "arguments").read_text()
    assert told.startswith("exec --interactive voicebot-grafana grafana cli admin reset-admin")
    grafana.password = NEW
    assert "changed=0" in play()
    assert (tmp_path / "arguments").read_text() == told
