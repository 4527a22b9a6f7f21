"""Say what is wrong with the networks that the firewall is to know, a line each.

Runs on the host, with the Python that it comes with (3.10 on Ubuntu 22.04).
"""

import ipaddress
import os

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
