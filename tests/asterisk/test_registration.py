"""A trunk that wants a login, with what the role writes; the exchange is a real Asterisk, too."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from tests.support import role_files
from tests.support.asterisk import LOOPBACK, AsteriskInstance

pytestmark = pytest.mark.asterisk

USERNAME = "+33;9.1_2-3!~*'()&=$4"
"""All signs that may stand before an @; a ; begins a comment in Asterisk's files."""
LOGIN = "0912345678@isp.example;1"
PASSWORD = "a;-- password \\; of=the [trunk]"


def escaped(text: str) -> str:
    return text.replace(";", "\\;")


SUBSCRIBER = f"""
[{escaped(USERNAME)}](line)
context = nowhere
auth = subscriber
aors = {escaped(USERNAME)}
[subscriber]
type = auth
auth_type = digest
username = {escaped(LOGIN)}
password = {escaped(PASSWORD)}
[{escaped(USERNAME)}](phone-aor)
"""


def test_whatever_signs_a_login_has_the_operator_gets_them(tmp_path: Path) -> None:
    with AsteriskInstance(SUBSCRIBER) as exchange:
        login = {
            "server": f"{LOOPBACK}:{exchange.sip_port}",
            "username": USERNAME, "login": LOGIN, "password": PASSWORD,
        }  # fmt: skip
        trunk = {"name": "operator", "addresses": [LOOPBACK], "registration": login}
        role_files.render("asterisk", ["endpoints.conf"], {"asterisk_trunks": [trunk]}, tmp_path)
        with AsteriskInstance((tmp_path / "endpoints.conf").read_text()) as appliance:
            assert appliance.complaints() == []
            deadline = time.monotonic() + 30
            while not re.search(
                r"operator-registration/\S+ .* Registered",
                registrations := appliance.cli("pjsip show registrations"),
            ):
                assert time.monotonic() < deadline, registrations + appliance.log()
                time.sleep(0.1)
            endpoint = appliance.cli("pjsip show endpoint operator")
        contacts = exchange.cli("pjsip show contacts")
    assert USERNAME in contacts
    assert re.search(rf"from_user +: {re.escape(USERNAME)}$", endpoint, re.M)
