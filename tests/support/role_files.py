"""What a role would write on a host, rendered by Ansible itself."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
ANSIBLE = REPOSITORY / "ansible"


def render(role: str, names: Sequence[str], variables: Mapping[str, Any], folder: Path) -> None:
    """Write *names* (templates of *role*, without ``.j2``) into *folder*.

    *variables* are a site's; the others have the role's defaults. Raises AssertionError with what
    Ansible said.
    """
    home = ANSIBLE / "roles" / role
    defaults = yaml.safe_load((home / "defaults" / "main.yml").read_text())
    write = {
        "content": "{{ lookup('ansible.builtin.template', item ~ '.j2') }}",
        "dest": f"{folder}/{{{{ item }}}}",
        "mode": "0640",
    }
    play = {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "vars": {**defaults, **variables, "ansible_python_interpreter": sys.executable},
        "tasks": [{"ansible.builtin.copy": write, "loop": list(names)}],
    }
    # Templates are looked for beside the playbook.
    playbook = folder / "render.yml"
    playbook.write_text(yaml.safe_dump([play]))
    (folder / "templates").symlink_to(home / "templates")
    command = REPOSITORY / ".venv" / "bin" / "ansible-playbook"
    done = subprocess.run(
        [command, "-i", "localhost,", playbook],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        cwd=folder,
    )
    playbook.unlink()
    (folder / "templates").unlink()
    assert done.returncode == 0, done.stdout
