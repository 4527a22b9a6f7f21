"""What the playbook says of a certificate before it changes anything, on the host it is for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.certificates import Authority, Pair

PROGRAM = Path(__file__).parents[2] / "ansible/roles/asterisk/files/preflight_tls.py"
AUTHORITY = Authority()
GOOD = AUTHORITY.sign("192.0.2.1")


def said(pair: Pair, ca: str = "") -> str:
    """What it prints; nothing else may happen, and nothing secret is in it."""
    site = {"certificate": pair.certificate, "key": pair.key, "ca": ca}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.read_text()],
        input=json.dumps(site), capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert not any(line and line in done.stdout for line in pair.key.splitlines()[1:-1])
    return done.stdout


def test_a_good_one_passes_alone_and_with_those_who_signed_it() -> None:
    assert said(GOOD) == ""
    assert said(Pair(GOOD.certificate + AUTHORITY.certificate, GOOD.key), GOOD.certificate) == ""


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        (Pair(GOOD.certificate, ""), "asterisk_tls_key is empty: is it in the vault?"),
        (Pair("", GOOD.key), "asterisk_tls_certificate is not"),
        (Pair("/etc/ssl/host.crt", GOOD.key), "asterisk_tls_certificate: is no certificate"),
        (Pair(GOOD.certificate[:200], GOOD.key), "asterisk_tls_certificate: is no certificate"),
        (Pair(GOOD.certificate, "/etc/ssl/host.key"), "asterisk_tls_key: is no key in PEM"),
        (Pair(GOOD.certificate, GOOD.key[:60]), "asterisk_tls_key: is no key in PEM"),
        (Pair(GOOD.certificate, AUTHORITY.sign("192.0.2.1").key), "does not belong to"),
        (Pair(AUTHORITY.certificate + GOOD.certificate, GOOD.key), "must be this host's own"),
        (AUTHORITY.sign("192.0.2.1", passphrase="a word"), "has a passphrase"),
        (AUTHORITY.sign("192.0.2.1", days=-1), "certificate has expired; renew it"),
    ],
)  # fmt: skip
def test_a_bad_one_is_named_with_what_to_do(pair: Pair, words: str) -> None:
    (line,) = said(pair).splitlines()
    assert words in line


def test_so_is_an_authority_that_is_none() -> None:
    assert "asterisk_tls_ca: is no certificate" in said(GOOD, "internal-ca.pem")
