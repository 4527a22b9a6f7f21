"""A fresh host with a real systemd, at native speed, in about a second.

systemd-nspawn boots the root of a release (:mod:`tests.support.host_root`), Debian 12 if nothing
else is said. The host has its own network namespace (slirp4netns is its uplink, so that nothing of
this machine's network changes), its own control groups (limits of units hold), a disk that is
thrown away, and Docker can run in it. ``systemctl reboot`` reboots it. A second namespace, joined
to it by a cable, is the outside: the operator's desk, the trunk, a technician, a stranger, each
with an address of its own.

What is not as on a real machine: the kernel is this one's, so kernel and vm sysctls, the clock
and real-time priority cannot be set from inside.

Needs root and the Debian packages of ``scripts/setup appliance``. Everything it makes is called
``vba-…`` and is removed by ``stop``; leftovers of a run that was killed are removed by ``start``.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from tests.support import host_root
from tests.support.host_root import RELEASES, HostError, run

REPOSITORY = Path(__file__).resolve().parents[2]
HOME = REPOSITORY / "var" / "appliance"
ANSIBLE = REPOSITORY / "ansible"

HOST = "10.99.0.2"  #: the host, seen from outside
ADMIN = "10.99.0.5"  #: the operator's desk: Ansible runs here
TRUNK = "10.99.0.1"  #: the telephone operator's exchange: callers come from here
TECHNICIAN = "10.99.0.9"  #: a technician's telephone
STRANGER = "10.99.0.66"  #: somebody of whom the host knows nothing
PROVIDER = "10.99.0.20"  #: another operator's exchange, which wants a registration
OUTSIDE = (TRUNK, ADMIN, TECHNICIAN, STRANGER, PROVIDER)

BOOT_SECONDS = 180.0
_REBOOT = 133  # nspawn's exit status when the machine inside asked for a reboot
_CONTROLLERS = ("cpu", "cpuacct", "cpuset", "memory", "pids", "devices", "freezer", "blkio")
_CLONE_NEWNET = 0x40000000
_WRITABLE_CGROUPS = f"""[Unit]
DefaultDependencies=no
Before=sysinit.target
[Service]
Type=oneshot
ExecStart=-/bin/sh -c 'cd /sys/fs/cgroup; for c in {" ".join(_CONTROLLERS)}; \
    do mount -o remount,bind,rw $$c; done'
"""


class FreshHost:
    """Context manager: the host is up inside, gone without a trace after.

    *release* is the suite of its distribution, one of ``RELEASES``. Raises HostError. What is kept
    in ``var/appliance`` between runs: the root, the downloaded packages, the key.
    """

    def __init__(self, name: str = "vba-host", release: str = "bookworm") -> None:
        if release not in RELEASES:
            raise HostError(f"RELEASE={release} is none of {', '.join(RELEASES)}")
        self.name = name
        self.release = RELEASES[release]
        self.archives = HOME / f"archives-{release}"
        self.outside = f"{name}-out"
        self.directory = HOME / name
        self.key = HOME / "id_ed25519"
        self._slirp: subprocess.Popen[bytes] | None = None
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._keeper: threading.Thread | None = None
        self._stopping = False
        self._cgroups: list[Path] = []
        self._lock: TextIO | None = None

    def __enter__(self) -> Self:
        self._lock = Path(f"/run/lock/{self.name}").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise HostError(f"another run has the host {self.name}; wait for it") from error
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        if self._lock is not None:
            self._lock.close()

    # -- from outside

    def ssh(self, command: str, *, check: bool = True, timeout: float = 120.0) -> str:
        """What *command* prints on the host. Raises HostError when it fails."""
        return run(*self.in_outside(*self.ssh_command(), command), check=check, timeout=timeout)

    def wait_for(self, command: str, within: float, what: str, log: str) -> None:
        """Until *command* succeeds on the host; *log* shows why it does not."""
        deadline = time.monotonic() + within
        while self.ssh(f"{command} >/dev/null 2>&1 && echo yes", check=False).strip() != "yes":
            assert time.monotonic() < deadline, f"not within {within:g} s: {what}\n{self.ssh(log)}"
            time.sleep(1)

    def ssh_command(self, *options: str) -> list[str]:
        """How the operator reaches the host."""
        return [
            "ssh", "-i", str(self.key), "-b", ADMIN, "-o", "StrictHostKeyChecking=no",
            "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
            "-o", "ConnectTimeout=5", *options, f"root@{HOST}",
        ]  # fmt: skip

    def in_outside(self, *command: str) -> list[str]:
        """*command*, run in the outside network."""
        return ["nsenter", f"--net=/run/netns/{self.outside}", *command]

    @contextlib.contextmanager
    def outside_network(self) -> Iterator[None]:
        """Sockets that this thread opens inside belong to the outside network."""
        libc = ctypes.CDLL(None, use_errno=True)

        def enter(path: str) -> None:
            with open(path, "rb") as file:  # noqa: PTH123 -- a file descriptor is wanted
                if libc.setns(file.fileno(), _CLONE_NEWNET):
                    raise HostError(f"setns {path}: {os.strerror(ctypes.get_errno())}")

        with open("/proc/thread-self/ns/net", "rb") as home:  # noqa: PTH123
            enter(f"/run/netns/{self.outside}")
            try:
                yield
            finally:
                if libc.setns(home.fileno(), _CLONE_NEWNET):
                    raise HostError("cannot return to this machine's own network")

    def reboot(self) -> None:
        """Ask the host to reboot, and wait until it is up again."""
        before = self._leader()
        self.ssh("systemctl reboot", check=False)
        deadline = time.monotonic() + BOOT_SECONDS
        while self._leader() in (before, None):
            if time.monotonic() > deadline:
                raise HostError(f"no reboot:\n{self.console()}")
            time.sleep(0.1)
        self._wait_booted()

    def console(self) -> str:
        """The end of what the host wrote on its console."""
        file = self.directory / "console.log"
        return file.read_text(errors="replace")[-4000:] if file.exists() else ""

    def disconnect(self) -> None:
        """Take the uplink away: the host reaches nobody but the outside network."""
        run("ip", "-n", self.name, "link", "set", "tap0", "down")

    def reconnect(self) -> None:
        """Give the uplink back."""
        run("ip", "-n", self.name, "link", "set", "tap0", "up")
        run("ip", "-n", self.name, "route", "replace", "default", "via", "10.0.2.2")

    # -- life

    def start(self) -> None:
        """Make and boot the host."""
        if os.geteuid():
            raise HostError(
                "root is needed: mounts, network namespaces and control groups are made"
            )
        missing = [
            p for p in ("mmdebstrap", "systemd-nspawn", "slirp4netns", "ssh") if not shutil.which(p)
        ]
        if missing:
            raise HostError(f"not installed: {', '.join(missing)}; run: scripts/setup appliance")
        HOME.mkdir(parents=True, exist_ok=True)
        self.stop()
        if not self.key.exists():
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.key)
        root = HOME / f"root-{self.release.suite}"
        if not root.exists():
            host_root.build(self.release, root, self.key)
        self._make_disk(root)
        self._make_networks()
        self._make_cgroups()
        self._stopping = False
        self._keeper = threading.Thread(target=self._keep, name=self.name, daemon=True)
        self._keeper.start()
        self._wait_booted()

    def stop(self) -> None:
        """Take everything down that ``start`` made, also by a run that was killed."""
        self._stopping = True
        leader = self._leader()
        if leader is not None:
            os.kill(leader, signal.SIGRTMIN + 4)  # systemd: poweroff.target
        if self._keeper is not None:
            self._keeper.join(20)
        if self._nspawn is not None and self._nspawn.poll() is None:
            if (leader := self._leader()) is not None:
                os.kill(leader, signal.SIGKILL)
            self._nspawn.wait(10)
        self._keeper = self._nspawn = None
        self._end_leftovers()
        for namespace in (self.outside, self.name):
            if Path(f"/run/netns/{namespace}").exists():
                run("ip", "netns", "del", namespace)
        if self._slirp is not None:
            self._slirp.terminate()
            self._slirp.wait(5)
            self._slirp = None
        for group in self._own_cgroups():
            for path in sorted(group.rglob("*/"), key=lambda p: -len(p.parts)):
                with contextlib.suppress(OSError):
                    path.rmdir()
            with contextlib.suppress(OSError):
                group.rmdir()
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for mount in sorted(mounts, key=len, reverse=True):
            if mount.startswith(f"{self.directory}/"):
                run("umount", "-l", mount)
        shutil.rmtree(self.directory, ignore_errors=True)

    # -- parts

    def _make_disk(self, root: Path) -> None:
        for name in ("root", "upper", "work", "docker"):
            (self.directory / name).mkdir(parents=True)
        (self.archives / "partial").mkdir(parents=True, exist_ok=True)
        merged = self.directory / "root"
        layers = f"lowerdir={root},upperdir={self.directory}/upper,workdir={self.directory}/work"
        run("mount", "-t", "overlay", "overlay", "-o", layers, merged)
        resolver = merged / "etc/resolv.conf"
        resolver.unlink(missing_ok=True)
        resolver.write_text(Path("/etc/resolv.conf").read_text())
        for unit in ("systemd-networkd", "systemd-resolved", "systemd-udevd", "networking"):
            (merged / f"etc/systemd/system/{unit}.service").symlink_to("/dev/null")
        # nspawn mounts the v1 controllers read-only: no container would start with the host.
        file = merged / "etc/systemd/system/vba-cgroups.service"
        file.write_text(_WRITABLE_CGROUPS)
        wanted = file.parent / "sysinit.target.wants"
        wanted.mkdir(exist_ok=True)
        (wanted / file.name).symlink_to(f"../{file.name}")

    def _make_networks(self) -> None:
        for namespace in (self.name, self.outside):
            run("ip", "netns", "add", namespace)
            run("ip", "-n", namespace, "link", "set", "lo", "up")
        self._slirp = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", "slirp4netns", "--configure", "--mtu=1400",
             "--disable-host-loopback", "--netns-type=path", f"/run/netns/{self.name}", "tap0"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        for _ in range(100):
            if "inet" in run("ip", "-n", self.name, "-4", "addr", "show", "tap0", check=False):
                break
            time.sleep(0.05)
        else:
            raise HostError("slirp4netns gave the host no uplink within 5 s")
        run("ip", "link", "add", "lan0", "netns", self.name, "type", "veth",
             "peer", "name", "cable0", "netns", self.outside)  # fmt: skip
        run("ip", "-n", self.name, "addr", "add", f"{HOST}/24", "dev", "lan0")
        for address in OUTSIDE:
            run("ip", "-n", self.outside, "addr", "add", f"{address}/24", "dev", "cable0")
        run("ip", "-n", self.name, "link", "set", "lan0", "up")
        run("ip", "-n", self.outside, "link", "set", "cable0", "up")

    def _own_cgroups(self) -> list[Path]:
        """The groups of this host, one in each hierarchy of this machine."""
        found = []
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controller, path = line.split(":", 2)
            mount = Path("/sys/fs/cgroup") / (controller.removeprefix("name=") or "unified")
            if mount.is_dir():
                found.append(mount / path.strip("/") / self.name)
        return found

    def _make_cgroups(self) -> None:
        self._cgroups = self._own_cgroups()
        for group in self._cgroups:
            group.mkdir(exist_ok=True)
            if (group / "cpuset.cpus").exists():
                for name in ("cpuset.cpus", "cpuset.mems"):
                    (group / name).write_text((group.parent / name).read_text())
                (group / "cgroup.clone_children").write_text("1")

    def _keep(self) -> None:
        """Run nspawn, and again when the host asked for a reboot."""
        enter = "".join(f"echo $$ >{group}/cgroup.procs; " for group in self._cgroups)
        command = [
            "systemd-nspawn", "-q", "--boot", "--register=no", "--keep-unit", "-M", self.name,
            "-D", str(self.directory / "root"),
            f"--network-namespace-path=/run/netns/{self.name}",
            "--capability=all", "--drop-capability=CAP_SYS_TIME,CAP_SYS_MODULE",
            "--system-call-filter=add_key keyctl bpf",
            f"--bind={self.directory}/docker:/var/lib/docker",
            f"--bind={self.archives}:/var/cache/apt/archives",
            "--link-journal=no", "--resolv-conf=off", "--timezone=off", "--console=pipe",
            *self.release.arguments,
        ]  # fmt: skip
        while not self._stopping:
            with (self.directory / "console.log").open("ab") as console:
                self._nspawn = subprocess.Popen(
                    ["setpriv", "--pdeathsig", "TERM", "bash", "-c", f'{enter} exec "$@"', "-",
                     *command],
                    stdin=subprocess.DEVNULL,
                    stdout=console,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network"},
                )  # fmt: skip
            if self._nspawn.wait() != _REBOOT:
                return

    def _leader(self) -> int | None:
        """The host's process 1, as this machine numbers it."""
        if self._nspawn is None or self._nspawn.poll() is not None:
            return None
        children = run("pgrep", "-P", str(self._nspawn.pid), check=False).split()
        return int(children[0]) if children else None

    def _wait_booted(self) -> None:
        """Until systemd is done; then let it write to its control groups."""
        deadline = time.monotonic() + BOOT_SECONDS
        while time.monotonic() < deadline:
            leader = self._leader()
            if leader is None:
                time.sleep(0.1)
                continue
            inside = ("nsenter", "-t", str(leader), "-a")
            state = run(*inside, "systemctl", "is-system-running", check=False).strip()
            if state in ("running", "degraded"):
                # nspawn mounts the v1 controllers read-only: limits would silently not hold.
                for name in _CONTROLLERS:
                    run("nsenter", "-t", str(leader), "-m", "mount", "-o", "remount,bind,rw",
                         f"/sys/fs/cgroup/{name}", check=False)  # fmt: skip
                run(*inside, "systemctl", "daemon-reexec")
                if self.ssh("true", check=False) == "":
                    return
            time.sleep(0.1)
        raise HostError(f"the host did not boot within {BOOT_SECONDS:g} s:\n{self.console()}")

    def _end_leftovers(self) -> None:
        """End what is still in this host's control groups, of a run that was killed."""
        for group in self._own_cgroups():
            for file in group.rglob("cgroup.procs"):
                with contextlib.suppress(OSError):
                    for pid in file.read_text().split():
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(int(pid), signal.SIGKILL)


def ansible_command(host: FreshHost, *arguments: str) -> list[str]:
    """ansible-playbook at the operator's desk; it is to be run in ``ANSIBLE``."""
    return host.in_outside(str(REPOSITORY / ".venv" / "bin" / "ansible-playbook"), *arguments)


def ansible(host: FreshHost, *arguments: str, check: bool = True, timeout: float = 1200.0) -> str:
    """Run ansible-playbook at the operator's desk; what it printed."""
    command = ansible_command(host, *arguments)
    return run(*command, check=check, timeout=timeout, cwd=ANSIBLE)
