"""What leaves the host of :mod:`tests.appliance.test_1_setting_up`: calls by an encrypted trunk."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Any

import pytest

from tests.appliance import provider
from tests.appliance.conftest import Appliance
from tests.appliance.site import VARIABLES
from tests.support.certificates import Authority, Pair
from tests.support.fresh_host import HOST, PROVIDER, STRANGER, TRUNK
from tests.support.rtp import AUDIBLE
from tests.support.sip import SipPhone
from tests.support.waiting import until

pytestmark = [pytest.mark.appliance, pytest.mark.timeout(2400)]

TLS = 5061


def shown(address: str) -> str:
    """The certificate that somebody at *address* is shown; empty if nobody answers him."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection((HOST, TLS), timeout=5, source_address=(address, 0)) as line,
            context.wrap_socket(line) as secured,
        ):
            return ssl.DER_cert_to_PEM_cert(secured.getpeercert(binary_form=True) or b"")
    except OSError:
        return ""


def test_a_trunk_by_tls_and_its_certificate_is_renewed(appliance: Appliance) -> None:
    """Another operator's exchange, which takes nothing in clear."""
    host, authority = appliance.host, Authority()
    login = {"server": PROVIDER, "username": provider.USERNAME, "password": provider.PASSWORD}
    trunk = {"name": "second", "addresses": [PROVIDER], "registration": login, "tls": True}

    def site(pair: Pair) -> dict[str, Any]:
        return {
            "asterisk_trunks": [*VARIABLES["asterisk_trunks"], trunk],
            "host_rtp_from": [*VARIABLES["host_rtp_from"], f"{PROVIDER}/32"],
            "asterisk_tls_certificate": pair.certificate,
            "asterisk_tls_key": pair.key,
            "asterisk_tls_ca": authority.certificate,
        }

    async def called(exchange: provider.Provider) -> None:
        await until(lambda: exchange.registered() != "", 60, "the appliance registers")
        number = SipPhone("0677777777", address=TRUNK, server=(PROVIDER, provider.PORT))
        async with number as customer:
            call = await customer.dial(provider.USERNAME, within=15)
            await until(lambda: call.media.loudest() > AUDIBLE, 20, "the greeting")

    tags = ("--tags", "host_firewall,asterisk,verify")
    first, renewed = authority.sign(HOST), authority.sign(HOST)
    with host.outside_network():
        assert shown(TRUNK) == "", "no certificate, no port"
        exchange = provider.Provider(authority.sign(PROVIDER), authority.certificate)
        with exchange:
            run = appliance.play("site", *tags, **site(first))
            assert "TLS answers with a certificate that is good for 89 days" in run.output
            assert "the trunk `second` is registered" in run.output
            assert (shown(TRUNK), shown(STRANGER)) == (first.certificate, "")
            asyncio.run(called(exchange))
            runs = host.ssh("docker inspect -f '{{.State.StartedAt}}' asterisk")
            run = appliance.play("site", *tags, **site(renewed))
            assert shown(TRUNK) == renewed.certificate
            assert host.ssh("docker inspect -f '{{.State.StartedAt}}' asterisk") == runs
            asyncio.run(called(exchange))
        expired = appliance.play("site", *tags, ok=False, **site(authority.sign(HOST, days=-1)))
        assert "asterisk_tls_certificate: certificate has expired; renew it" in expired.output
        assert expired.changed == 0
        appliance.play("site", *tags)
        assert shown(TRUNK) == ""
    assert "tls" not in host.ssh("ls /etc/asterisk/voicebot.d")
