"""Say what is wrong with the lines of a site and with the host's ports, a line each. No secret.

Runs on the host, with the Python that it comes with (3.10 on Ubuntu 22.04).
"""

import ipaddress
import json
import os
import pwd
import re
import socket
import subprocess

site = json.loads(os.environ["LINES"])
name = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")
# Sections of the files that are shipped, and the role's own.
taken = {"line", "trunk", "phone", "phone-auth", "phone-aor", "probe", "selfcheck"}
taken |= {"global", "system", "transport-udp", "transport-tls"}
trunks = {trunk["name"]: trunk for trunk in site["trunks"]}
phones = {phone["name"] for phone in site["phones"]}

if not trunks and not phones:
    print("asterisk_trunks: nobody could call; name the operator's trunk, or a telephone")
if len(trunks) + len(phones) < len(site["trunks"]) + len(site["phones"]):
    print("asterisk_trunks, asterisk_phones: each name may be used once")
for trunk in site["trunks"]:
    where = f"asterisk_trunks ({trunk['name']})"
    if not name.fullmatch(trunk["name"]):
        print(f"{where}: a name is a letter, then letters, digits, - and _")
    if trunk["name"] in taken:
        print(f"{where}: {trunk['name']!r} is a name of the appliance's own; choose another")
    if not trunk["addresses"]:
        print(f"{where}: addresses: from which address do its calls come?")
    for address in trunk["addresses"]:
        try:
            if ipaddress.ip_network(address).subnet_of(ipaddress.ip_network("192.0.2.0/24")):
                print(
                    f"{where}: addresses: {address} is the example's, and nobody's: put the "
                    "operator's there"
                )
        except TypeError:
            pass  # of version 6
        except ValueError:
            print(
                f"{where}: addresses: {address!r} is no address (192.0.2.10) or network "
                "(192.0.2.0/28); the firewall cannot work with names"
            )
    registration = trunk.get("registration") or {}
    if registration and not registration.get("password"):
        print(f"{where}: registration: the password is empty; is it in the vault?")
    elif registration and len(registration["password"]) < 12:
        print(
            f"{where}: registration: the password is shorter than 12 characters; Asterisk's image "
            "refuses that"
        )
    if trunk.get("tls") and not site["certificate"]:
        print(f"{where}: tls needs asterisk_tls_certificate and asterisk_tls_key")
    asked = re.search(r";transport=(\w+)", trunk.get("contact") or "")
    if trunk.get("tls") and asked and asked[1] != "tls":
        print(f"{where}: tls, but contact says transport={asked[1]}: leave one of them away")
numbers = [phone["number"] for phone in site["phones"]]
for phone in site["phones"]:
    where = f"asterisk_phones ({phone['name']})"
    if not name.fullmatch(phone["name"]):
        print(f"{where}: a name is a letter, then letters, digits, - and _")
    if phone["name"] in taken:
        print(f"{where}: {phone['name']!r} is a name of the appliance's own; choose another")
    if not re.fullmatch(r"\+?[0-9]+", phone["number"]):
        print(f"{where}: number: {phone['number']!r} is none: digits, with a + before them or not")
    elif numbers.count(phone["number"]) > 1:
        print(f"{where}: number: {phone['number']} is another telephone's as well")
    if len(phone["password"]) < 12:
        print(f"{where}: the password is empty or shorter than 12 characters")
    if phone.get("tls") and not site["certificate"]:
        print(f"{where}: tls needs asterisk_tls_certificate and asterisk_tls_key")
for technician in site["technicians"]:
    number, _, trunk = technician.partition("@")
    if trunk:
        if trunk not in trunks:
            print(f"asterisk_technicians: {technician}: there is no trunk {trunk!r}")
        if not re.fullmatch(r"\+?[0-9*#]+|[A-Za-z0-9._-]+", number):
            print(f"asterisk_technicians: {technician}: {number!r} cannot be dialled")
    elif number not in phones:
        print(f"asterisk_technicians: {technician}: neither NUMBER@TRUNK nor one of the telephones")

for where, text in [
    *(
        (f"asterisk_trunks ({t['name']}): registration", t.get("registration"))
        for t in site["trunks"]
    ),
    *((f"asterisk_phones ({p['name']})", p) for p in site["phones"]),
]:
    for key in ("username", "password"):
        value = (text or {}).get(key, "")
        if value != value.strip() or not value.isprintable():
            print(
                f"{where}: {key}: has spaces at its ends, or more than one line; is it all of it?"
            )

if site["address"] not in ("0.0.0.0", "::"):  # noqa: S104 -- what the operator wrote
    print(
        f"asterisk_address: {site['address']}: test calls and the self-check call 127.0.0.1: leave "
        "it at 0.0.0.0, as the firewall lets in only those whom you list"
    )
if site["external"] and not site["networks"]:
    print(
        "asterisk_local_networks: empty, but there is asterisk_external_address: name the networks "
        "on this side of the NAT, or nobody inside hears anything"
    )
for network in site["networks"]:
    try:
        ipaddress.ip_network(network)
    except ValueError as error:
        print(f"asterisk_local_networks: {error}")
first, last = site["rtp_ports"] if len(site["rtp_ports"]) == 2 else (0, 0)
if not 1024 <= first < last <= 65535:
    print("asterisk_rtp_ports: must be the first and the last port, from 1024 to 65535")
elif last - first + 1 < 4 * site["calls"]:
    print(
        f"asterisk_rtp_ports: {first} to {last} are {last - first + 1} ports; "
        f"{site['calls']} calls need {4 * site['calls']}, two a leg, and a transfer has two legs"
    )
elif first <= site["sip_port"] <= last:
    print(f"asterisk_rtp_ports: asterisk_sip_port, {site['sip_port']}, is among {first} to {last}")

for user in pwd.getpwall():
    if user.pw_uid == site["uid"] and user.pw_name != "asterisk":
        print(f"asterisk_uid: {site['uid']} is {user.pw_name!r} on this host already")


def held(port: int, kind: socket.SocketKind) -> bool:
    with socket.socket(socket.AF_INET, kind) as attempt:
        if kind == socket.SOCK_STREAM:
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind(("0.0.0.0", port))  # noqa: S104 -- to see whether it is free
        except OSError:
            return True
    return False


state = subprocess.run(
    ["systemctl", "show", "-p", "ActiveState", "--value", "asterisk.service"],
    stdout=subprocess.PIPE,
    text=True,
    check=False,
).stdout.strip()
# Ours is not there, nor about to be (a unit that fails again and again is `activating`): whoever
# has its ports is somebody else.
if state in ("inactive", "failed", ""):
    for variable, port, kind in (
        ("asterisk_sip_port", site["sip_port"], socket.SOCK_DGRAM),
        ("asterisk_metrics_port", site["metrics_port"], socket.SOCK_STREAM),
        ("asterisk_tls_port", site["tls_port"], socket.SOCK_STREAM),
    ):
        if port and held(port, kind):
            option = "-lnup" if kind == socket.SOCK_DGRAM else "-lntp"
            print(
                f"{variable}: port {port} is taken on this host by another program "
                f"(ss {option} 'sport = :{port}'); stop it, or choose another port"
            )
