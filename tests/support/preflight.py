"""The preflight of the playbook for a site, run by Ansible itself against this machine.

It looks and changes nothing. What it finds wrong with this machine (memory, a port in use) depends
on the machine; what it says of the variables does not.
"""

from __future__ import annotations

import re
import subprocess
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLE = REPOSITORY / "ansible" / "inventory" / "example" / "group_vars" / "appliance" / "vars.yml"
OF_THE_MACHINE = ("this host ", "is taken on this host", "/var/lib has", "on this host already")


def problems(
    folder: Path,
    site: str | Mapping[str, Any],
    *arguments: str,
    hidden: str = "",
    machine: bool = False,
) -> list[str]:
    """What it says of the operator's file *site*, text or variables; if *machine*, of that as well.

    The file stands in an inventory in *folder*, where an operator has it; *arguments* are for
    Ansible. Raises AssertionError with what that printed when it ended otherwise than by telling
    what is wrong, or by all being well, or when *hidden* is in it.
    """
    variables = folder / "group_vars" / "appliance"
    variables.mkdir(parents=True, exist_ok=True)
    (folder / "hosts.yml").write_text(
        "appliance: {hosts: {here: {ansible_connection: local, ansible_become: false}}}\n"
    )
    text = site if isinstance(site, str) else yaml.safe_dump(dict(site))
    (variables / "vars.yml").write_text(text)
    done = subprocess.run(
        [REPOSITORY / ".venv/bin/ansible-playbook", "-i", folder, "site.yml", "--tags", "always",
         "-e", "ansible_python_interpreter=/usr/bin/python3", *arguments],
        cwd=REPOSITORY / "ansible", capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    output = done.stdout + done.stderr
    assert "changed=0" in output, output
    seen = [line[:400] for line in output.splitlines() if hidden and hidden in line]
    assert seen == []
    told = re.search(r"thing\(s\) must be put right.*?\n(.*?)Each variable is", output, re.S)
    assert told or done.returncode == 0, output
    lines = textwrap.dedent(told[1]).splitlines() if told else []
    found = [re.sub(r"^\d+\. ", "", line.strip()) for line in lines if line.strip()]
    return [line for line in found if machine or not any(part in line for part in OF_THE_MACHINE)]
