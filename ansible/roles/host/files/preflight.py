"""Say what is wrong with the firewall, the disk, and the way to packages, a line each.

Reads from standard input what the site says. Runs on the host, with the Python that it comes with
(3.10 on Ubuntu 22.04).
"""

import ipaddress
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path


def came_by() -> list[str]:
    """What SSH_CONNECTION says of who works here: whence, and by which port; nothing without SSH.

    sudo takes it out of the environment: then whoever started this has it, or who started them.
    """
    process = os.getpid()
    while process > 1:
        try:
            told = re.search(
                rb"(?:^|\0)SSH_CONNECTION=([^\0]*)", Path(f"/proc/{process}/environ").read_bytes()
            )
            if told:
                return told[1].decode().split()
            process = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended meanwhile, or is not to be looked at
            break
    return []


site = json.load(sys.stdin)
networks = {}
for variable, texts in site["networks"].items():
    for text in texts:
        try:
            networks[text] = ipaddress.ip_network(text)
        except ValueError as error:
            print(f"{variable}: {error}")

if site["firewall"]:
    operator = came_by()
    if operator:
        address = ipaddress.ip_address(operator[0].partition("%")[0])
        allowed = [networks.get(text) for text in site["networks"]["host_ssh_from"]]
        if not any(net and address.version == net.version and address in net for net in allowed):
            print(
                f"host_ssh_from: Ansible comes from {address}, which is in none of its networks; "
                "the firewall would lock you out"
            )
    if operator[3:] and operator[3] != str(site["ssh_port"]):
        print(
            f"host_ssh_port: Ansible came in by port {operator[3]}, and host_ssh_port is "
            f"{site['ssh_port']}; the firewall would lock you out"
        )
    if not site["sip_rate"]:
        print("host_sip_rate: 0 would let no call in; a trunk with 20 calls sends a few a second")

for name, value in site["sysctl"].items():
    if not re.fullmatch(r"[a-z0-9_*.:/-]+", name) or not str(value).isprintable():
        print(f"host_sysctl: {name}: {value}: must be a kernel parameter, its value on one line")
for package in site["packages"]:
    if not re.fullmatch(r"[a-z0-9][a-z0-9+.-]+(:[a-z0-9]+)?", package):
        print(f"host_packages: {package!r} is no name of a package")

free = shutil.disk_usage("/var/lib").free // 2**20
least = site["least_disk_mb"]
# At the first installation: the images of a release come one after the other.
if free < least and not Path("/etc/voicebot/deploy.env").exists():
    print(
        f"/var/lib has {free} MB free; host_least_disk_mb asks for {least}. Make room there, or "
        "mount a disk at /var/lib"
    )


def unreachable() -> str:
    """The first server of packages that apt has, if it cannot be reached; empty if all is well."""
    proxy = subprocess.run(
        ["apt-config", "dump", "Acquire::http::Proxy", "Acquire::https::Proxy"],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    ).stdout
    if re.search(r'"(https?:|socks)', proxy):
        return ""  # its business
    apt = Path("/etc/apt")
    files = [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*.*"))]
    listed = "\n".join(file.read_text(errors="replace") for file in files if file.is_file())
    found = re.search(r"^(?:deb|URIs:)\s.*?(https?)://([^/:\s]+)(?::(\d+))?", listed, flags=re.M)
    if not found:
        return ""
    host, port = found[2], int(found[3] or (443 if found[1] == "https" else 80))
    try:
        socket.create_connection((host, port), timeout=10).close()
    except OSError as error:
        return f"{host}, port {port} ({error})"
    return ""


# A host that has its packages, or is brought them, needs no network.
has_packages = shutil.which("dockerd") or site["packages_bundled"]
if not has_packages and (server := unreachable()):
    print(
        f"this host cannot reach the server of its packages: {server}. Mend its network or its "
        "name service (/etc/resolv.conf), name a mirror that it reaches (/etc/apt/sources.list) or "
        "bring the packages yourself (scripts/bundle-packages on the controller)"
    )
