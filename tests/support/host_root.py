"""What a fresh host starts from: the root of each release that the playbook takes.

mmdebstrap makes it from the mirror that this machine's own apt uses; Ubuntu's releases come from
the same machine, beside Debian's, where it has them. Every root is made of packages that are
checked against their distribution's signature. Needs root, and takes about a minute, once.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

_DEBIAN_KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_UBUNTU_KEYS = Path("usr/share/keyrings/ubuntu-archive-keyring.gpg")
_PACKAGES = (
    "systemd,systemd-sysv,dbus,udev,openssh-server,python3,sudo,ca-certificates,iproute2,netbase,"
    "procps,ifupdown,openssh-sftp-server"
)


class HostError(Exception):
    """The host could not be made or did not boot, or a command on it failed."""


@dataclass(frozen=True, slots=True)
class Release:
    """A release of a distribution that hosts may have."""

    suite: str
    distribution: str = "debian"
    #: How its installer writes where packages come from: lines, or paragraphs (deb822).
    paragraphs: bool = False
    #: For process 1. systemd 256 and 257 boot on a machine with control groups of version 1 only
    #: when they are told to.
    arguments: tuple[str, ...] = ()

    @property
    def packages(self) -> list[tuple[str, str, str]]:
        """Where its packages come from: address, suites, components."""
        mirror = debian_mirror()
        if self.distribution == "ubuntu":
            ubuntu = re.sub(r"/debian$", "/ubuntu", mirror)
            suites = " ".join(f"{self.suite}{part}" for part in ("", "-updates", "-security"))
            return [(ubuntu, suites, "main universe")]
        return [
            (mirror, f"{self.suite} {self.suite}-updates", "main"),
            (re.sub(r"/debian$", "/debian-security", mirror), f"{self.suite}-security", "main"),
        ]

    def sources(self) -> str:
        """The same as apt reads it."""
        if self.paragraphs:
            return "\n".join(
                f"Types: deb\nURIs: {uri}\nSuites: {suites}\nComponents: {components}\n"
                for uri, suites, components in self.packages
            )
        return "".join(
            f"deb {uri} {suite} {components}\n"
            for uri, suites, components in self.packages
            for suite in suites.split()
        )


RELEASES = {
    release.suite: release
    for release in (
        Release("bookworm"),
        Release("trixie", paragraphs=True, arguments=("SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1",)),
        Release("jammy", "ubuntu"),
        Release("noble", "ubuntu", paragraphs=True),
    )
}


def run(*command: str | Path, check: bool = True, **options: object) -> str:
    """What *command* prints. Raises HostError when it fails."""
    done = subprocess.run(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        **options,  # type: ignore[call-overload]
    )
    if check and done.returncode:
        raise HostError(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout}")
    return done.stdout


def debian_mirror() -> str:
    """Where this machine's own apt has Debian from."""
    listed = run(
        "apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"
    ).split()  # fmt: skip
    for uri in listed:
        if re.search(r"/debian/?$", uri):
            return uri.rstrip("/")
    raise HostError("apt on this machine has no Debian mirror")


def keyring(release: Release, folder: Path) -> Path:
    """The keys that sign *release*; Ubuntu's are a package of Debian's, fetched into *folder*."""
    if release.distribution == "debian":
        return _DEBIAN_KEYS
    found = folder / "ubuntu-archive-keyring.gpg"
    if not found.exists():
        with tempfile.TemporaryDirectory() as name:
            place = Path(name)
            for part in ("lists/partial", "cache/archives/partial"):
                (place / part).mkdir(parents=True)
            (place / "status").touch()
            (place / "sources.list").write_text(
                f"deb [signed-by={_DEBIAN_KEYS}] {debian_mirror()} trixie main\n"
            )
            settings = {
                "Dir::State::Lists": place / "lists",
                "Dir::State::Status": place / "status",
                "Dir::Cache": place / "cache",
                "Dir::Etc::SourceList": place / "sources.list",
                "Dir::Etc::SourceParts": "/dev/null",
                "APT::Sandbox::User": "root",
            }
            apt = ["apt-get", "-qq", *(f"-o{key}={value}" for key, value in settings.items())]
            run(*apt, "update")
            run(*apt, "download", "ubuntu-keyring", cwd=place)
            (package,) = place.glob("*.deb")
            run("dpkg-deb", "-x", package, place / "unpacked")
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(place / "unpacked" / _UBUNTU_KEYS, found)
    return found


def build(release: Release, root: Path, key: Path) -> None:
    """Make *root*, in which *key* (its ``.pub``) opens the account of root."""
    certificates = sorted(Path("/usr/local/share/ca-certificates").glob("*.crt"))
    part = root.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    hooks = [
        'echo fresh >"$1/etc/hostname"',
        'printf "127.0.0.1 localhost fresh\\n" >"$1/etc/hosts"',
        'mkdir -p -m 700 "$1/root/.ssh"',
        f'cp {key}.pub "$1/root/.ssh/authorized_keys"',
        *(f'cp {c} "$1/usr/local/share/ca-certificates/"' for c in certificates),
        'chroot "$1" update-ca-certificates >/dev/null',
        # A machine id of its own at the first boot.
        'rm -f "$1/etc/machine-id" && : >"$1/etc/machine-id"',
    ]
    run(
        "mmdebstrap",
        "--variant=minbase",
        f"--include={_PACKAGES}",
        f"--keyring={keyring(release, root.parent)}",
        "--aptopt=Acquire::Languages none",
        "--dpkgopt=path-exclude=/usr/share/man/*",
        "--dpkgopt=path-exclude=/usr/share/doc/*",
        *(f"--customize-hook={hook}" for hook in hooks),
        release.suite,
        part,
        "-",
        input=release.sources(),
    )
    part.rename(root)
