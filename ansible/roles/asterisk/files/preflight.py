"""Say what is wrong with the lines of a site, a line each. No secret.

Reads them from standard input. Runs on the host, with the Python that it comes with (3.10 on Ubuntu
22.04).
"""

import ipaddress
import json
import re
import sys

site = json.load(sys.stdin)
name = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")
host = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
server = re.compile(host.pattern + r"(:[0-9]{1,5})?")
# What may stand before the @ of an address of SIP as it is (RFC 3261, user), and in from_user.
user = re.compile(r"[A-Za-z0-9._!~*'()&=+$;-]+")
uri = re.compile(r"sips?:[^\s<>\"]+")
# Sections of the files that are shipped, and the role's own.
taken = {"line", "trunk", "phone", "phone-auth", "phone-aor", "probe", "selfcheck"}
taken |= {"global", "system", "transport-udp", "transport-tls"}
trunks = {trunk["name"]: trunk for trunk in site["trunks"]}
taken |= {f"{trunk}-{part}" for trunk in trunks for part in ("auth", "registration")}
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
            if ipaddress.IPv4Network(address).subnet_of(ipaddress.IPv4Network("192.0.2.0/24")):
                print(
                    f"{where}: addresses: {address} is the example's, and nobody's: put the "
                    "operator's there"
                )
        except ValueError:
            print(
                f"{where}: addresses: {address!r} is no address (192.0.2.10) or network "
                "(192.0.2.0/28); the firewall cannot work with names, nor Asterisk here with IPv6"
            )
    registration = trunk.get("registration") or {}
    if registration and not registration.get("password"):
        print(f"{where}: registration: the password is empty; is it in the vault?")
    elif registration and len(registration["password"]) < 12:
        print(
            f"{where}: registration: the password is shorter than 12 characters; Asterisk's image "
            "refuses that"
        )
    if registration and not server.fullmatch(registration["server"]):
        print(
            f"{where}: registration: server: {registration['server']!r} is no name or address with "
            "a port or without (sip.operator.example, 198.51.100.7:5080); no sip: before it"
        )
    if registration and not user.fullmatch(registration["username"]):
        print(
            f"{where}: registration: username: {registration['username']!r} cannot stand in an "
            "address of SIP. A name with an @ that the password belongs to is `login`; `username` "
            "is the number"
        )
    if trunk.get("contact") and not uri.fullmatch(trunk["contact"]):
        print(
            f"{where}: contact: {trunk['contact']!r} is no address of SIP, such as "
            "sip:sip.operator.example"
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

if site["address"] != "0.0.0.0":  # noqa: S104 -- what the operator wrote
    print(
        f"asterisk_address: {site['address']}: test calls and the self-check call 127.0.0.1: leave "
        "it at 0.0.0.0, as the firewall lets in only those whom you list"
    )
if site["external"] and not host.fullmatch(site["external"]):
    print(
        f"asterisk_external_address: {site['external']!r} is no address (198.51.100.7) or name, "
        "without a port"
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
