"""Say what is wrong with the certificate and the key of TLS, a line each. No secret.

Reads them from standard input. Runs on the host, with the Python that it comes with (3.10 on Ubuntu
22.04): what counts is whether *its* OpenSSL takes them, and by its clock.
"""

import json
import re
import ssl
import sys
import tempfile
from pathlib import Path

PEM = "-----BEGIN CERTIFICATE-----"
IS_PEM = f"is no certificate in PEM, which begins with {PEM}; of a .pfx: openssl pkcs12 -in FILE"


class PassphraseError(Exception):
    """OpenSSL asked for one."""


def no_passphrase() -> str:
    raise PassphraseError


def unreadable(certificates: str) -> bool:
    try:
        ssl.create_default_context(cadata=certificates)
    except (ssl.SSLError, ValueError):
        return True
    return False


def presented_to_a_caller(server: ssl.SSLContext, certificate: str) -> None:
    """A handshake in memory with somebody who trusts *certificate* alone. Raises ssl.SSLError."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(cadata=certificate)
    here, there = ssl.MemoryBIO(), ssl.MemoryBIO()
    waiting = [
        client.wrap_bio(here, there, server_side=False),
        server.wrap_bio(there, here, server_side=True),
    ]
    while waiting:
        for side in waiting[:]:
            try:
                side.do_handshake()
                waiting.remove(side)
            except ssl.SSLWantReadError:
                pass


def problem(certificates: str, key: str) -> str:
    """What is wrong with this host's own; empty if nothing is."""
    if not certificates:
        return "asterisk_tls_key is given, and asterisk_tls_certificate is not"
    if not key:
        return "asterisk_tls_key is empty: is it in the vault?"
    if unreadable(certificates):
        return f"asterisk_tls_certificate: {IS_PEM}"
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder, "certificate"), Path(folder, "key")
        files[0].write_text(certificates)
        files[1].write_text(key)
        try:
            server.load_cert_chain(*files, password=no_passphrase)
        except PassphraseError:
            return (
                "asterisk_tls_key: has a passphrase, and nobody is there to type it when Asterisk "
                "starts. Take it off (openssl pkey -in KEY), the vault protects it"
            )
        except ssl.SSLError as error:
            if error.reason and "MISMATCH" in error.reason:
                return (
                    "asterisk_tls_key does not belong to asterisk_tls_certificate, whose first "
                    "certificate must be this host's own; those that signed it follow"
                )
            return (
                "asterisk_tls_key: is no key in PEM, which begins with -----BEGIN PRIVATE KEY-----"
            )
    own = re.search(f"{PEM}.*?-----END CERTIFICATE-----", certificates, re.S)
    try:
        presented_to_a_caller(server, own[0] if own else certificates)
    except ssl.SSLCertVerificationError as error:
        return (
            f"asterisk_tls_certificate: {error.verify_message}; renew it (and is the clock right?)"
        )
    except ssl.SSLError as error:
        return f"asterisk_tls_certificate: {error.reason}: nobody could connect with it"
    return ""


site = json.load(sys.stdin)
found = problem(site["certificate"], site["key"]) if site["certificate"] or site["key"] else ""
if found:
    print(found)
if site["ca"] and unreadable(site["ca"]):
    print(f"asterisk_tls_ca: {IS_PEM}")
