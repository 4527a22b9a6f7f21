"""Say which ports, users and files that the appliance needs are somebody else's, a line each.

Reads from standard input `ports`, a list of `variable`, `port`, `kind` (tcp or udp), the `address`
it is for and who of the appliance has it once that runs, a `unit` of systemd or a `container`;
`users`, their ids by their names; and `files`, packages by the files that they bring and the
appliance replaces. Who has a port is asked of the kernel, so it does not matter whether the
appliance runs, or half of it, or on other ports than it will. Runs on the host as root, with the
Python that it comes with (3.10 on Ubuntu 22.04).
"""

import hashlib
import json
import pwd
import re
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

KINDS = {"tcp": (socket.SOCK_STREAM, "0A"), "udp": (socket.SOCK_DGRAM, "07")}
"""What to bind, and the state of a socket that waits, as /proc/net has it."""


def free(port: int, kind: str, address: str) -> bool:
    with socket.socket(socket.AF_INET, KINDS[kind][0]) as attempt:
        if kind == "tcp":  # what only lingers after a connection is in nobody's way
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind((address, port))
        except OSError:
            return False
    return True


def sockets(port: int, kind: str, address: str) -> set[str]:
    """Those (inodes) that wait at *port*, but for those at another address than *address*."""
    found = set()
    for table, everywhere in ((kind, "00000000"), (f"{kind}6", "0" * 32)):
        with suppress(OSError):  # no IPv6
            for line in Path("/proc/net", table).read_text().splitlines()[1:]:
                fields = line.split()
                at, _, number = fields[1].rpartition(":")
                ours = socket.inet_aton(address)[::-1].hex().upper()
                if fields[3] != KINDS[kind][1] or int(number, 16) != port:
                    continue
                if at == everywhere or address == "0.0.0.0" or at.endswith(ours):  # noqa: S104 -- compared
                    found.add(f"socket:[{fields[9]}]")
    return found


def processes(wanted: set[str]) -> list[Path]:
    """Those that have one of these sockets open, as their folders in /proc."""
    found = []
    for process in sorted(Path("/proc").glob("[0-9]*")):
        with suppress(OSError):  # it has ended meanwhile
            if any(str(open_file.readlink()) in wanted for open_file in (process / "fd").iterdir()):
                found.append(process)
    return found


def place(cgroup: str, containers: dict[str, str]) -> tuple[str, str]:
    """What a process belongs to, of its /proc/…/cgroup: `container` or `unit`, and its name."""
    inside = re.search(r"\b([0-9a-f]{64})\b", cgroup)
    if inside:
        return "container", containers.get(inside[1], inside[1][:12])
    units = re.findall(r"/([^/\n]+\.(?:service|scope))(?:/|$)", cgroup, flags=re.M)
    return ("unit", units[-1]) if units else ("", "")


def running_containers() -> dict[str, str]:
    """Their names by their ids; nothing where there is no Docker."""
    try:
        listed = subprocess.run(
            ["docker", "ps", "--no-trunc", "--format", "{{.ID}} {{.Names}}"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False, timeout=30,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return dict(line.split() for line in listed.stdout.splitlines())


def others(wanted: dict, containers: dict[str, str]) -> list[str]:
    """Programs of somebody else that have this port, each in a few words."""
    found = []
    holders = processes(sockets(wanted["port"], wanted["kind"], wanted["address"]))
    for process in holders:
        with suppress(OSError):
            what, name = place((process / "cgroup").read_text(), containers)
            if not (what and wanted.get(what) == name):
                where = f", {what} {name}" if name else ""
                found.append(
                    f"{(process / 'comm').read_text().strip()} (process {process.name}{where})"
                )
    if not holders:
        option = "-lntp" if wanted["kind"] == "tcp" else "-lnup"
        found.append(f"another program (ss {option} 'sport = :{wanted['port']}')")
    return found


def wrong_ports(ports: list[dict]) -> list[str]:
    """Of somebody else, of two of the appliance's own, or none at all."""
    found = []
    seen: dict[tuple[str, int], str] = {}
    containers = None
    for wanted in ports:
        variable, port, kind = wanted["variable"], int(wanted["port"]), wanted["kind"]
        if not 1 <= port <= 65535:
            found.append(f"{variable}: {port} is no port; they go from 1 to 65535")
            continue
        if (kind, port) in seen:
            found.append(f"{variable}: {port} is {seen[kind, port]} as well; choose another port")
            continue
        seen[kind, port] = variable
        if free(port, kind, wanted["address"]):
            continue
        containers = running_containers() if containers is None else containers
        found += [
            f"{variable}: port {port} ({kind.upper()}) is taken on this host by {other}; "
            "stop it, or choose another port"
            for other in others(wanted, containers)
        ]
    return found


def wrong_users(users: dict[str, int]) -> list[str]:
    """Those that were there before with another id than in the images, and ids of other users."""
    found = []
    for user in pwd.getpwall():
        name, uid = user.pw_name, users.get(user.pw_name)
        if uid is not None and user.pw_uid != uid:
            found.append(
                f"the user {name!r} has the id {user.pw_uid} on this host: another installation's, "
                "which cannot run beside this one. Take it off the host; what is to stay of it: "
                f"usermod -u {uid} {name}, groupmod -g {uid} {name}, and its files are to be its "
                "own again (chown)"
            )
        if uid is None and user.pw_uid in users.values():
            found.append(
                f"the user {name!r} of this host has the id {user.pw_uid}, which is that of a user "
                "in the images: give it another one (usermod -u)"
            )
    return found


OURS = re.compile(r"Ansible managed|; do not edit\.$", re.M)
"""What the roles write into such a file."""


def own_files(files: dict[str, str]) -> list[str]:
    """Those that somebody has written by hand: not as their package brought them, nor ours."""
    found = []
    for path, package in files.items():
        try:
            content = Path(path).read_bytes()
        except OSError:
            continue
        brought = subprocess.run(
            ["dpkg-query", "--show", "--showformat", "${Conffiles}", package],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False,
        ).stdout  # fmt: skip
        as_brought = f" {path} {hashlib.md5(content).hexdigest()}" in brought  # noqa: S324 -- dpkg's own
        if not as_brought and not OURS.search(content.decode(errors="replace")):
            found.append(
                f"{path} on this host is somebody's own, and the appliance's would take its place: "
                f"move it away if nobody needs it any more (mv {path} {path}.before), or give the "
                "appliance another host"
            )
    return found


if __name__ == "__main__":
    wanted = json.load(sys.stdin)
    found = wrong_users(wanted["users"]) + own_files(wanted["files"])
    print("\n".join(found + wrong_ports(wanted["ports"])))
