"""Say what is wrong with the firewall's networks, the disk, and the way to packages.

Runs on the host, with the Python that it comes with (3.10 on Ubuntu 22.04).
"""

import ipaddress
import os
import re
import shutil
import socket
import subprocess
from pathlib import Path

networks = {}
for text in os.environ["NETWORKS"].split():
    try:
        networks[text] = ipaddress.ip_network(text)
    except ValueError as error:
        print(f"host_ssh_from, host_sip_from, host_rtp_from or a trunk's addresses: {error}")

operator = os.environ.get("SSH_CONNECTION", "").split()
if operator:
    address = ipaddress.ip_address(operator[0].partition("%")[0])
    allowed = [networks.get(text) for text in os.environ["SSH_FROM"].split()]
    if not any(net and address.version == net.version and address in net for net in allowed):
        print(
            f"host_ssh_from: Ansible comes from {address}, which is in none of its networks; "
            "the firewall would lock you out"
        )

    if os.environ["SSH_PORT"] and operator[3:] and operator[3] != os.environ["SSH_PORT"]:
        print(
            f"host_ssh_port: Ansible came in by port {operator[3]}, and host_ssh_port is "
            f"{os.environ['SSH_PORT']}; the firewall would lock you out"
        )

free = shutil.disk_usage("/var/lib").free // 2**20
least = int(os.environ["LEAST_DISK_MB"])
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
has_packages = shutil.which("dockerd") or os.environ["PACKAGES_BUNDLED"]
if not has_packages and (server := unreachable()):
    print(
        f"this host cannot reach the server of its packages: {server}. Mend its network or its "
        "name service (/etc/resolv.conf), name a mirror that it reaches (/etc/apt/sources.list) or "
        "bring the packages yourself (scripts/bundle-packages on the controller)"
    )
