"""What leaves the host of :mod:`tests.appliance.test_1_setting_up`: calls by an encrypted trunk,
and backups.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.appliance import provider
from tests.appliance.conftest import Appliance
from tests.appliance.site import VARIABLES
from tests.support import servers
from tests.support.certificates import Authority, Pair
from tests.support.fresh_host import HOST, PROVIDER, STRANGER, TRUNK, FreshHost

pytestmark = [pytest.mark.appliance, pytest.mark.timeout(2400)]

TLS = 5061
METRICS = "/var/lib/prometheus/node-exporter"
WORD = "internet"
"""The customer who was helped has said it: it is in the journal."""


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
            "asterisk_tls_check_at": "* * * * *",
        }

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
            host.ssh(f"rm {METRICS}/voicebot-certificate.prom")
            asyncio.run(exchange.called())
            runs = host.ssh("docker inspect -f '{{.State.StartedAt}}' asterisk")
            appliance.play("site", "--tags", "asterisk", **site(renewed))
            assert shown(TRUNK) == renewed.certificate
            assert host.ssh("docker inspect -f '{{.State.StartedAt}}' asterisk") == runs
            asyncio.run(exchange.called())
            seen = f"grep -q ^asterisk_tls_certificate_expiry {METRICS}/voicebot-certificate.prom"
            host.wait_for(
                seen, 120, "cron has looked at it", "journalctl -t voicebot-certificate -n 9"
            )
        expired = appliance.play("site", *tags, ok=False, **site(authority.sign(HOST, days=-1)))
        assert "asterisk_tls_certificate: certificate has expired; renew it" in expired.output
        assert expired.changed == 0
        appliance.play("site", "--tags", "host_firewall,asterisk")
        assert shown(TRUNK) == ""
    assert "tls" not in host.ssh("ls /etc/asterisk/voicebot.d")
    assert "certificate" not in host.ssh(f"ls {METRICS} /etc/cron.d")
    site_has = host.ssh(f"cat {METRICS}/voicebot-site.prom")
    assert 'asterisk_trunk{resource="operator"} 1' in site_has
    assert "tls" not in site_has


@pytest.fixture
def machine(host: FreshHost, tmp_path: Path) -> Iterator[servers.SshServer]:
    """Another machine that keeps backups; an account of it is reached by SSH."""
    with (
        host.outside_network(),
        servers.ssh_server(tmp_path, address=PROVIDER, port=22) as server,
    ):
        yield server


def test_a_backup_that_is_encrypted_and_one_on_another_machine(
    appliance: Appliance, machine: servers.SshServer
) -> None:
    """They are made by what cron would start at night; what is destroyed afterwards comes back."""
    host = appliance.host

    def night(**variables: Any) -> None:
        appliance.play(
            "site", "--tags", "voicebot,backup",
            voicebot_secrets={"BACKUP_KEY": "a passphrase, not a password"}, **variables,
        )  # fmt: skip
        host.ssh("voicebot-backup", timeout=180)
        assert "every file matches its checksum" in host.ssh("voicebot-restore --check")

    night(backup_target="restic:/srv/the vault")
    assert host.ssh("ls '/srv/the vault/snapshots'")
    assert host.ssh(f"grep -rlaF {WORD} '/srv/the vault'", check=False) == ""
    assert host.ssh(f"grep -rlaF {WORD} /var/lib/voicebot/var"), "as here it can be read"

    night(
        backup_target=f"{machine.user}@{PROVIDER}:sav",
        backup_ssh_key=machine.key,
        backup_ssh_host_key=machine.host_key,
    )
    assert list((machine.home / "sav").glob("*/manifest.sha256"))
    calls = "voicebot calls --json --limit 1000 | grep -c started_at"
    recordings = "find /var/lib/voicebot/var/recordings -type f -size +1k | wc -l"
    before = host.ssh(calls), host.ssh(recordings)
    assert "the service is running" in host.ssh("voicebot-restore 2>&1", check=False)
    host.ssh("systemctl stop voicebot", timeout=300)
    host.ssh("rm -r /var/lib/voicebot/var/journal.db* /var/lib/voicebot/var/recordings/*")
    host.ssh("voicebot-restore")
    host.ssh("systemctl start voicebot", timeout=300)
    assert (host.ssh(calls), host.ssh(recordings)) == before
    appliance.play("site", "--tags", "voicebot,backup")
    assert host.ssh("ls /etc/voicebot/secrets") == ""
