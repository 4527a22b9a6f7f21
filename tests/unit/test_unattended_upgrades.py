"""`host_unattended_upgrades: false` switches off what an earlier run has switched on, no more."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support import role_files
from tests.support.role_files import ANSIBLE, REPOSITORY


@pytest.mark.parametrize(("on", "value"), [(True, "1"), (False, "0")])
def test_the_file_says_whether_they_come_in(on: bool, value: str, tmp_path: Path) -> None:
    role_files.render("host", ["unattended-upgrades"], {"host_unattended_upgrades": on}, tmp_path)
    text = (tmp_path / "unattended-upgrades").read_text()
    assert f'APT::Periodic::Unattended-Upgrade "{value}";' in text


@pytest.mark.parametrize(
    ("on", "before", "written"),
    [(True, False, True), (False, True, True), (False, False, False)],
)
def test_a_site_that_sees_to_them_itself_is_left_alone(
    on: bool, before: bool, written: bool, tmp_path: Path
) -> None:
    variables = yaml.safe_load((ANSIBLE / "roles/host/vars/main.yml").read_text())
    (tmp_path / "play.yml").write_text(yaml.safe_dump([{
        "hosts": "localhost",
        "gather_facts": False,
        "vars": {
            **variables,
            "host_unattended_upgrades": on,
            "__host_upgraded": {"stat": {"exists": before}},
            "ansible_python_interpreter": sys.executable,
        },
        "tasks": [{"ansible.builtin.copy": {
            "content": "{{ __host_upgrades_wanted | map(attribute='path') | to_json }}",
            "dest": f"{tmp_path}/wanted.json",
            "mode": "0640",
        }}],
    }]))  # fmt: skip
    subprocess.run(
        [REPOSITORY / ".venv/bin/ansible-playbook", tmp_path / "play.yml",
         "-i", "localhost,", "-c", "local"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    wanted = json.loads((tmp_path / "wanted.json").read_text())
    assert ("/etc/apt/apt.conf.d/60voicebot-upgrades" in wanted) == written
