"""Servers that backups go to: an SSH server (dropbear) and an S3 object store (moto), on loopback.

Both are the real thing as far as their client can tell: dropbear logs real keys in, and restic's S3
client signs its requests, lists, puts, gets and deletes. moto keeps everything in memory and checks
no signature; a vendor's own store is not tried here.
"""

from __future__ import annotations

import os
import pwd
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

LOOPBACK = "127.0.0.1"


def free_port(address: str = LOOPBACK) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


def wait_for(port: int, process: subprocess.Popen[bytes], address: str = LOOPBACK) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, f"{process.args!r} ended"
        with socket.socket() as probe:
            if probe.connect_ex((address, port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError(f"{process.args!r} does not listen")


@contextmanager
def running(command: list[str], port: int, log: Path, address: str = LOOPBACK) -> Iterator[None]:
    with (
        log.open("wb") as said,
        subprocess.Popen(command, stdout=said, stderr=said, cwd=log.parent) as process,
    ):
        try:
            wait_for(port, process, address)
            yield
        finally:
            process.kill()


@contextmanager
def object_store(folder: Path) -> Iterator[str]:
    """An S3 server; its URL."""
    port = free_port()
    server = str(Path(sys.executable).with_name("moto_server"))
    command = [server, "-H", "127.0.0.1", "-p", str(port)]
    with running(command, port, folder / "s3.log"):
        yield f"http://127.0.0.1:{port}"


@dataclass(frozen=True, slots=True)
class SshServer:
    user: str
    rsh: str
    """For RSYNC_RSH."""
    key: str
    """Private, of whom it lets in."""
    host_key: str
    """Its own, as a line of known_hosts."""
    home: Path


@contextmanager
def ssh_server(
    folder: Path, options: str = "", *, address: str = LOOPBACK, port: int = 0
) -> Iterator[SshServer]:
    """An SSH server that lets this user in with a key of its own; *options* stand before the key
    in ``authorized_keys``. It listens at *address*, on a free port unless it is told which.

    The server has a home directory of its own in place of the user's, in a mount namespace: no
    real ``authorized_keys`` is touched.
    """
    home, host_key, key = folder / "home", folder / "host-key", folder / "key"
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    home.chmod(0o700)
    quiet = {"check": True, "capture_output": True}
    subprocess.run(["dropbearkey", "-t", "ed25519", "-f", str(host_key)], **quiet)  # type: ignore[call-overload]
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], **quiet)  # type: ignore[call-overload]
    public = key.with_suffix(".pub").read_text()
    (home / ".ssh" / "authorized_keys").write_text(f"{options} {public}".lstrip())
    (home / ".ssh" / "authorized_keys").chmod(0o600)

    port = port or free_port(address)
    me = pwd.getpwuid(os.geteuid())
    # Who is not root may mount in a user namespace, and keeps the right to over exec.
    user = [] if os.geteuid() == 0 else ["--user", "--map-current-user", "--keep-caps"]
    server = f"dropbear -F -E -s -r {shlex.quote(str(host_key))} -p {address}:{port}"
    command = f"mount --bind {shlex.quote(str(home))} {shlex.quote(me.pw_dir)} && exec {server}"
    path = f"{os.environ['PATH']}:/usr/sbin"
    started = ["unshare", *user, "--mount", "env", f"PATH={path}", "sh", "-c", command]
    rsh = (
        f"ssh -F none -p {port} -i {key} -o IdentitiesOnly=yes -o BatchMode=yes "
        "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
    )
    shown = subprocess.run(["dropbearkey", "-y", "-f", str(host_key)], **quiet, text=True)  # type: ignore[call-overload]
    kind, public = shown.stdout.partition("ssh-")[2].split()[:2]
    with running(started, port, folder / "ssh.log", address):
        yield SshServer(me.pw_name, rsh, key.read_text(), f"{address} ssh-{kind} {public}", home)
