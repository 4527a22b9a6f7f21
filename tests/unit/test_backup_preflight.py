"""The way to a backup by SSH is tried before the first night, against a real SSH server."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest

from tests.support import servers
from tests.support.preflight import REPOSITORY

PROGRAM = REPOSITORY / "ansible/roles/backup/files/preflight.py"


def told(target: str, key: str = "", host_key: str = "") -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.read_text()],
        input=json.dumps({"target": target, "key": key, "host_key": host_key}),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "PRIVATE" not in done.stdout
    return done.stdout


def new_key(folder: Path, passphrase: str = "") -> str:
    file = folder / f"another{len(passphrase)}"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", file], check=True)
    return file.read_text()


@pytest.fixture(params=["", 'command="echo rsync alone; exit 1",restrict'], ids=["any", "one"])
def machine(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[str, str, str]]:
    """As a target, the key that it lets in, and its line of known_hosts."""
    port = servers.free_port()
    with servers.ssh_server(tmp_path, request.param, port=port) as server:
        where, _, host_key = server.host_key.partition(" ")
        target = f"restic:sftp://{server.user}@{where}:{port}//srv/backups"
        yield target, server.key, f"[{where}]:{port} {host_key}"


def test_a_machine_that_lets_us_in_is_well(machine: tuple[str, str, str]) -> None:
    """One that then runs nothing but rsync for us, too."""
    assert told(*machine) == ""


def test_what_will_fail_each_night_is_a_fault(
    machine: tuple[str, str, str], tmp_path: Path
) -> None:
    target, key, host_key = machine
    refused = told(target, new_key(tmp_path), host_key)
    assert refused.startswith("backup_ssh_key: 127.0.0.1 does not let ")
    assert (tmp_path / "another0.pub").read_text().split()[1] in refused
    assert told(target, new_key(tmp_path, "secret"), host_key).startswith(
        "backup_ssh_key: has a passphrase"
    )
    assert told(target, key[:90], host_key).startswith("backup_ssh_key: is no private key")
    other = (tmp_path / "another0.pub").read_text().split()[1]
    changed = " ".join([*host_key.split()[:2], other])
    assert told(target, key, changed).startswith(
        "backup_ssh_host_key: is not the key that 127.0.0.1 shows: `ssh-keyscan -p "
    )
    nobody = host_key.replace("127.0.0.1", "vault.example")
    assert told(target, key, nobody).startswith(
        "backup_ssh_host_key: has no line of known_hosts for 127.0.0.1"
    )


def test_a_machine_that_is_down_is_a_warning(tmp_path: Path) -> None:
    target = f"restic:sftp://sav@127.0.0.1:{servers.free_port()}//srv"
    said = told(target, new_key(tmp_path), "127.0.0.1 ssh-ed25519 AAAA")
    assert said.startswith("WARNING: backup_target: 127.0.0.1 cannot be reached now (ssh: connect")
    assert "Connection refused" in said


def test_every_way_of_writing_a_target_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", StringIO('{"target": "", "key": "", "host_key": ""}'))
    place = runpy.run_path(str(PROGRAM))["place"]
    assert [
        place(target)
        for target in (
            "sav@vault.example:backups/sav", "vault:/srv/sav", "sav@vault:22/sav",
            "restic:sftp:sav@vault:backups", "restic:sftp:vault:/srv", "restic:sftp://vault//srv",
            "restic:sftp://sav@[2001:db8::7]:2222//srv", "sftp://", "restic:sftp:/srv",
        )
    ] == [
        ("sav", "vault.example", "22"), ("voicebot", "vault", "22"), ("sav", "vault", "22"),
        ("sav", "vault", "22"), ("voicebot", "vault", "22"), ("voicebot", "vault", "22"),
        ("sav", "2001:db8::7", "2222"), ("", "", ""), ("", "", ""),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["", "restic:"])
def test_a_folder_on_the_same_disk_is_a_warning(kind: str) -> None:
    """As it is where the other disk is not mounted."""
    said = told(f"{kind}/var/lib/a backup/sav")
    assert said.startswith("WARNING: backup_target: /var/lib/a backup/sav is on the disk that has")
    assert told(f"{kind}/dev/shm/sav") == ""
