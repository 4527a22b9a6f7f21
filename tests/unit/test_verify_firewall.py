"""What `voicebot-verify` says of a firewall; a program prints what `nft` of a host would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

VERIFY = Path(__file__).parents[2] / "ansible/roles/verify/files/voicebot-verify"
OURS = {"family": "inet", "table": "voicebot", "name": "input", "hook": "input", "policy": "drop"}
ANOTHER = OURS | {"table": "filter"}
ROUTES = ANOTHER | {"hook": "forward"}
LETS_IN = ANOTHER | {"policy": "accept"}
IN_FORCE = "ok      the firewall's rules are in force"
NOT_IN_FORCE = "FAILED  the firewall's rules are not in force"
REMARK = "remark  another firewall decides as well (nft list table inet filter): "


def told(folder: Path, *chains: dict[str, str], on: bool = True) -> list[str]:
    (folder / "site.json").write_text(json.dumps({"firewall": on}))
    rules = {"nftables": [{"metainfo": {}}, *({"chain": chain} for chain in chains)]}
    (folder / "rules.json").write_text(json.dumps(rules))
    (folder / "nft").write_text(f"#!/bin/sh\ncat {folder}/rules.json\n")
    (folder / "nft").chmod(0o755)
    program = VERIFY.read_text().replace("/etc/voicebot-verify.json", f"{folder}/site.json")
    program = program.replace("sys.exit(main())", "firewall()")
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"},
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return [line for line in done.stdout.splitlines() if not line.startswith(" ")]


@pytest.mark.parametrize(
    ("chains", "first", "remarks"),
    [
        ((OURS,), IN_FORCE, 0),
        ((OURS, ROUTES, LETS_IN), IN_FORCE, 0),
        ((OURS, ANOTHER), IN_FORCE, 1),
        ((ANOTHER,), NOT_IN_FORCE, 1),
        ((), NOT_IN_FORCE, 0),
        ((OURS | {"policy": "accept"},), NOT_IN_FORCE, 0),
    ],
)
def test_it_says_whether_rules_are_in_force_and_who_else_decides(
    tmp_path: Path, chains: tuple[dict[str, str], ...], first: str, remarks: int
) -> None:
    says, *more = told(tmp_path, *chains)
    assert says == first
    assert len(more) == remarks
    assert all(line.startswith(REMARK) for line in more)


def test_one_that_is_switched_off_is_a_remark(tmp_path: Path) -> None:
    (line,) = told(tmp_path, on=False)
    assert line.startswith("remark  the firewall is switched off (host_firewall)")
