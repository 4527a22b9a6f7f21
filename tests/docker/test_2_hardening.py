"""What somebody who has got into a container cannot do.

First what Docker says of the running containers (the container checks of CIS Docker Benchmark),
then each way out tried from inside, under the very flags of production.
"""

from __future__ import annotations

import os
import re
from typing import Any

import pytest

from tests.docker.conftest import Appliance
from tests.support.containers import CLOUD, FULL, Hardened, docker, inspect

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

OURS = ("voicebot", "asterisk")
ALL = (*OURS, "prometheus", "alertmanager", "node-exporter")
PRIVILEGED = 1024
KEPT = {
    # Audio passes no translation, and each says itself what it listens on.
    "5.10 the host's network": ALL,
    # It counts what the host runs.
    "5.16 the host's processes": ("node-exporter",),
    # Images of others, who have none; Prometheus alerts when one does not answer.
    "5.27 health": ("prometheus", "alertmanager", "node-exporter"),
}
"""Checks that do not pass, of which container, and why that is meant."""


def faults(found: dict[str, Any], applies: str) -> set[str]:
    """What the benchmark has against a container; *applies*: the engine's own security options."""
    host: dict[str, Any] = found["HostConfig"]
    options = host["SecurityOpt"] or []
    ports = [port for bound in (found["NetworkSettings"]["Ports"] or {}).values() if bound
             for port in bound]  # fmt: skip
    mounts = found["Mounts"]
    checks = {
        "4.1 root": found["Config"]["User"] in ("", "0", "root"),
        "5.2 no AppArmor": "apparmor" in applies and found["AppArmorProfile"] in ("", "unconfined"),
        "5.3 no SELinux": "selinux" in applies and not any("label" in one for one in options),
        "5.4 capabilities": host["CapDrop"] != ["ALL"] or bool(host["CapAdd"]),
        "5.5 privileged": host["Privileged"],
        "5.6 sensitive directories": any(
            mount["RW"] and re.match(r"/($|(boot|dev|etc|lib|proc|sys|usr)(/|$))", mount["Source"])
            for mount in mounts
        ),
        "5.7 sshd": "sshd" in docker("top", found["Name"].lstrip("/"), "-eo", "pid,comm"),
        "5.8 privileged ports": any(int(port["HostPort"]) < PRIVILEGED for port in ports),
        "5.9 open ports": bool(ports),
        "5.10 the host's network": host["NetworkMode"] == "host",
        "5.11 memory": not host["Memory"],
        "5.12 share of cores": not (host["CpuShares"] or host["NanoCpus"]),
        "5.13 root file system": not host["ReadonlyRootfs"],
        "5.14 ports of every interface": any(port["HostIp"] == "0.0.0.0" for port in ports),
        "5.15 restarts": host["RestartPolicy"]["MaximumRetryCount"] > 5,
        "5.16 the host's processes": host["PidMode"] == "host",
        "5.17 the host's IPC": host["IpcMode"] == "host",
        "5.18 devices": bool(host["Devices"]),
        "5.19 more files than the service needs": any(
            limit["Name"] == "nofile" and limit["Hard"] > 16384 for limit in host["Ulimits"] or []
        ),
        "5.20 mounts propagate": any(
            mount.get("Propagation") in ("shared", "rshared") for mount in mounts
        ),
        "5.21 the host's UTS": host["UTSMode"] == "host",
        "5.22 no seccomp": "seccomp" not in applies or "seccomp=unconfined" in options,
        "5.25 cgroup": host["CgroupParent"] not in ("", f"/{os.environ['DOCKER_NETWORK']}"),
        "5.26 new privileges": not any("no-new-priv" in option for option in options),
        "5.27 health": "Health" not in found["State"],
        "5.29 processes": not host["PidsLimit"],
        "5.30 the default bridge": host["NetworkMode"] in ("default", "bridge"),
        "5.31 the host's users": host["UsernsMode"] == "host",
        "5.32 Docker's socket": any("docker.sock" in mount["Source"] for mount in mounts),
    }
    return {check for check, fault in checks.items() if fault}


@pytest.mark.parametrize("name", ALL)
def test_the_container_checks_of_the_benchmark(appliance: Appliance, name: str) -> None:
    """Section 5 of CIS Docker Benchmark 1.6, as docker-bench-security 1.6.0 counts, and 4.1. Its
    5.1 is the engine's, 5.23, 5.24 and 5.28 are about what people type."""
    applies = docker("info", "--format", "{{.SecurityOptions}}")
    meant = {check for check, containers in KEPT.items() if name in containers}
    assert faults(inspect(name), applies) == meant


@pytest.mark.parametrize("name", OURS)
def test_its_system_calls_are_those_of_our_own_list(appliance: Appliance, name: str) -> None:
    (profile,) = [one for one in inspect(name)["HostConfig"]["SecurityOpt"] if "SCMP_ACT" in one]
    assert "SCMP_ACT_ERRNO" in profile
    assert '"io_uring_setup"' not in profile


@pytest.mark.parametrize("name", OURS)
def test_its_processes_have_no_capability_and_a_filter(appliance: Appliance, name: str) -> None:
    script = "while read -r line; do [[ $line =~ ^(Cap|NoNew|Seccomp:|Uid) ]] && echo $line; done"
    status = docker("exec", name, "/bin/bash", "-c", f"{script} </proc/self/status; true")
    values = dict(line.split(":", 1) for line in status.splitlines())
    assert {values[key].strip() for key in values if key.startswith("Cap")} == {"0" * 16}
    assert values["NoNewPrivs"].strip() == "1"
    assert values["Seccomp"].strip() == "2"
    assert "0" not in values["Uid"].split()


TRY = """
import ctypes, errno, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(*arguments):
    if libc.syscall(*arguments) < 0:
        raise OSError(ctypes.get_errno(), "")
try:
    {attempt}
except OSError as error:
    print(errno.errorcode[error.errno])
else:
    print("it worked")
"""
ATTEMPTS = {
    "write to the root file system": ("open('/usr/bin/new', 'w')", "EROFS"),
    "write to its own program": ("open('/opt/voicebot/bin/voicebot', 'a')", "EACCES EROFS"),
    "write to its settings": ("open('/etc/voicebot/voicebot.env', 'a')", "EACCES EROFS"),
    "read another's password": ("open('/etc/shadow')", "ENOENT EACCES"),
    "run a program from /tmp": (
        "open('/tmp/x', 'w').write('#!/bin/bash\\n'); os.chmod('/tmp/x', 0o755);"
        " os.execv('/tmp/x', ['x'])", "EACCES"),
    "become root": ("os.setuid(0)", "EPERM"),
    "gain a capability": ("call(126, ctypes.create_string_buffer(0x20080522.to_bytes(8, 'little')),"
                          " ctypes.create_string_buffer(b'\\xff' * 24))", "EPERM"),
    "open a raw socket": ("socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)", "EPERM"),
    "open a packet socket": ("socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3)", "EPERM"),
    "listen to netlink": ("socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)", "EPERM"),
    "make a device": ("os.mknod('/tmp/sda', 0o60666, os.makedev(8, 0))", "EPERM"),
    "mount": ("call(165, b'none', b'/tmp', b'tmpfs', 0, None)", "EPERM"),
    "leave the root": ("os.chroot('/tmp')", "EPERM"),
    "make a user namespace": ("call(272, 0x10000000)", "EPERM"),
    "clone into a namespace": ("call(56, 0x10000000 | 17, 0, 0, 0, 0)", "EPERM"),
    "clone3": ("call(435, 0, 0)", "ENOSYS"),
    "trace another process": ("call(101, 16, 1, 0, 0)", "EPERM"),
    "load a program into the kernel": ("call(321, 0, 0, 0)", "EPERM"),
    "set up io_uring": ("call(425, 1, 0)", "EPERM"),
    "use the kernel's keys": ("call(248, b'user', b'x', b'x', 1, -3)", "EPERM"),
    "set the clock": ("call(227, 0, ctypes.create_string_buffer(16))", "EPERM"),
    "change the host's name": ("socket.sethostname('mine')", "EPERM"),
    "write a setting of the kernel": ("open('/proc/sys/kernel/core_pattern', 'w')", "EROFS EACCES"),
    "write to the control groups": ("os.mkdir('/sys/fs/cgroup/memory/x')",
                                    "EROFS EACCES ENOENT EPERM"),
}  # fmt: skip


def test_every_way_out_is_closed(hardened: Hardened) -> None:
    """All of them in one container; x86-64's numbers, so a call that we forbid cannot be named."""
    code = "import subprocess, sys\n" + "".join(
        f"subprocess.run([sys.executable, '-c', {TRY.format(attempt=attempt)!r}])\n"
        for attempt, _ in ATTEMPTS.values()
    )
    status, output = hardened.python(code)
    assert status == 0, output
    results = dict(zip(ATTEMPTS, output.split("\n"), strict=False))
    wrong = {
        what: result for what, result in results.items() if result not in ATTEMPTS[what][1].split()
    }
    assert wrong == {}


def test_a_fork_bomb_ends_at_its_limit_and_the_appliance_does_not_notice(
    appliance: Appliance, hardened: Hardened
) -> None:
    bomb = (
        "import os, time\nn = 0\ntry:\n"
        "    while n < 2000:\n"
        "        if os.fork() == 0: time.sleep(60); os._exit(0)\n"
        "        n += 1\n"
        "except OSError as error: print(n, type(error).__name__)\n"
    )
    status, output = hardened.python(bomb)
    count, error = output.split()
    assert (status, error) == (0, "BlockingIOError")
    assert 200 < int(count) < 256
    assert docker("exec", "voicebot", "/usr/bin/healthcheck") == ""


def test_one_that_fills_memory_is_killed_alone(appliance: Appliance, hardened: Hardened) -> None:
    """The limit is the test's, so that it needs no 4 GB; the flag is the one of production."""
    fill = "hold = []\nwhile True: hold.append(b'x' * 2**24)"
    status, _ = hardened.python(fill, memory="128m")
    assert status == 137, "killed by the kernel"
    assert docker("exec", "voicebot", "/usr/bin/healthcheck") == ""


def test_a_folder_in_memory_has_an_end(hardened: Hardened) -> None:
    fill = (
        "f = open('/tmp/x', 'wb')\ntry:\n    while True: f.write(b'x' * 2**20); f.flush()\n"
        "except OSError as error: print(error.errno, f.tell() >> 20)"
    )
    status, output = hardened.python(fill)
    errno, megabytes = map(int, output.split()[:2])
    assert (status, errno) == (0, 28)
    assert megabytes <= 64


@pytest.mark.parametrize("image", [CLOUD, FULL])
def test_it_starts_without_any_mount_at_all(image: str) -> None:
    """As somebody tries it: the image alone."""
    options = ("--rm", "--network=none", "--read-only", "--cap-drop=ALL")
    output = docker("run", *options, "--env=DEEPGRAM_API_KEY=none", image, "settings")
    assert "MAX_CONCURRENT_CALLS" in output
