"""What the playbook says of a host on which somebody else has what it needs."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PROGRAM = Path(__file__).parents[2] / "ansible/roles/preflight/files/taken.py"
HERE = "127.0.0.1"
ANYWHERE = "0.0.0.0"
ID = "0f" * 32


@pytest.fixture(scope="module")
def taken() -> ModuleType:
    spec = importlib.util.spec_from_file_location("taken", PROGRAM)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def wanted(port: int, kind: str = "tcp", address: str = HERE, **more: str) -> dict[str, Any]:
    who = {} if more else {"unit": "ours.service"}
    return {"variable": "some_port", "port": port, "kind": kind, "address": address, **who, **more}


@pytest.fixture(params=["tcp", "udp"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def held(kind: str) -> Iterator[int]:
    """A port that this process has, at 127.0.0.1 alone."""
    how = socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, how) as holder:
        holder.bind((HERE, 0))
        if kind == "tcp":
            holder.listen()
        yield holder.getsockname()[1]


def test_a_port_of_another_program_is_told_with_its_name(kind: str, held: int) -> None:
    """Run as the playbook runs it."""
    site = {"ports": [wanted(held, kind, ANYWHERE)], "users": {}, "files": {}}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.read_text()],
        input=json.dumps(site), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert f"some_port: port {held} ({kind.upper()}) is taken on this host by " in done.stdout
    assert f"(process {os.getpid()}" in done.stdout


@pytest.mark.parametrize("who", [("unit", "ours.service"), ("container", "asterisk")])
def test_a_port_of_the_appliances_own_is_no_matter(
    taken: ModuleType, monkeypatch: pytest.MonkeyPatch, kind: str, held: int, who: tuple[str, str]
) -> None:
    monkeypatch.setattr(taken, "place", lambda cgroup, containers: who)
    what, name = who
    assert taken.wrong_ports([wanted(held, kind, **{what: name})]) == []
    (told,) = taken.wrong_ports([wanted(held, kind, **{what: f"another-{name}"})])
    assert f"{what} {name})" in told


def test_a_port_at_another_address_is_no_matter(taken: ModuleType, kind: str, held: int) -> None:
    assert taken.wrong_ports([wanted(held, kind, "127.0.0.2")]) == []
    assert len(taken.wrong_ports([wanted(held, kind, ANYWHERE)])) == 1


@pytest.mark.skipif(
    not Path("/proc/net/if_inet6").exists(),
    reason="this kernel runs without IPv6, so no port can be held by it",
)
def test_a_port_held_by_ipv6_is_found(taken: ModuleType) -> None:
    with socket.socket(socket.AF_INET6) as holder:
        holder.bind(("::", 0))
        holder.listen()
        (told,) = taken.wrong_ports([wanted(holder.getsockname()[1])])
    assert f"(process {os.getpid()}" in told


def test_one_port_for_two_and_what_is_none_are_told(taken: ModuleType) -> None:
    first, second = wanted(9), {**wanted(9), "variable": "another_port"}
    assert taken.wrong_ports([{**first, "kind": "udp"}, second]) == []
    (told,) = taken.wrong_ports([first, second])
    assert told.startswith("another_port: 9 is some_port as well")
    for port in (0, 65536):
        (told,) = taken.wrong_ports([wanted(port)])
        assert told.startswith(f"some_port: {port} is no port")


@pytest.mark.parametrize(
    ("cgroup", "where"),
    [
        ("0::/system.slice/prometheus.service\n", ("unit", "prometheus.service")),
        (f"0::/system.slice/docker-{ID}.scope\n", ("container", "asterisk")),
        (f"12:pids:/docker/{ID}\n1:name=systemd:/docker/{ID}\n", ("container", "asterisk")),
        (f"0::/system.slice/docker-{'a1' * 32}.scope\n", ("container", "a1a1a1a1a1a1")),
        ("1:name=systemd:/host/system.slice/cron.service\n", ("unit", "cron.service")),
        ("0::/system.slice/one.service/its-part\n", ("unit", "one.service")),
        ("0::/user.slice/user-0.slice/session-4.scope\n", ("unit", "session-4.scope")),
        ("0::/\n", ("", "")),
    ],
)  # fmt: skip
def test_whose_a_process_is_is_read_of_its_group(
    taken: ModuleType, cgroup: str, where: tuple[str, str]
) -> None:
    assert taken.place(cgroup, {ID: "asterisk"}) == where


def test_a_user_of_another_installation_is_told(taken: ModuleType) -> None:
    assert taken.wrong_users({"root": 0, "voicebot-that-is-not-here": 64999}) == []
    (told,) = taken.wrong_users({"root": 10778})
    assert told.startswith("the user 'root' has the id 0 on this host")
    (told,) = taken.wrong_users({"voicebot-that-is-not-here": 0})
    assert told.startswith("the user 'root' of this host has the id 0, which is that of")


def test_a_file_that_somebody_wrote_is_told_and_stays(taken: ModuleType, tmp_path: Path) -> None:
    file = tmp_path / "prometheus.yml"
    assert taken.own_files({str(file): "prometheus"}) == []
    file.write_text("scrape_configs: []\n")
    (told,) = taken.own_files({str(file): "prometheus"})
    assert told.startswith(f"{file} on this host is somebody's own")
    for ours in (
        "# Ansible managed\n",
        "# Made from prometheus/alertmanager.yml.j2; do not edit.\n",
    ):
        file.write_text(f"{ours}scrape_configs: []\n")
        assert taken.own_files({str(file): "prometheus"}) == []


def test_a_file_as_its_package_brought_it_is_nobodys(taken: ModuleType) -> None:
    assert taken.own_files({"/etc/debconf.conf": "debconf"}) == []
    assert len(taken.own_files({"/etc/debconf.conf": "dpkg"})) == 1
