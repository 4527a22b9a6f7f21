"""An appliance and an operator's exchange that speak SIP by TLS: two Asterisks, each with its own
certificate. The appliance has what the role of the playbook writes for such a site.
"""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.support import role_files
from tests.support.asterisk import LOOPBACK, AsteriskInstance, Route
from tests.support.certificates import Authority, Pair
from tests.support.scene import Voicebot
from tests.support.servers import free_port
from tests.support.sip import SipPhone

EXCHANGE = "127.0.0.30"
OFFICE = "127.0.0.33"
CUSTOMER = "127.0.0.31"
TECHNICIAN, TECHNICIAN_PORT = "127.0.0.32", 5060
NUMBER = "0912345678"
PASSWORD = "a-password; of-the-trunk"
"""With a sign that begins a comment in Asterisk's files."""


# Whose calls the exchange passes on to the technician: of a subscriber who has registered with it,
_SUBSCRIBER = f"""
[{NUMBER}](line)
context = from-appliance
aors = {NUMBER}
auth = {NUMBER}
{{line}}
[{NUMBER}](phone-auth)
username = {NUMBER}
password = {PASSWORD.replace(";", chr(92) + ";")}
[{NUMBER}](phone-aor)
"""
# or of the one with whom it has registered itself.
_OFFICE = f"""
[appliance]
type = identify
endpoint = appliance
match = {LOOPBACK}
[login]
type = registration
transport = transport-tls
outbound_auth = appliance
server_uri = {{appliance}}
client_uri = sip:{{login}}@{LOOPBACK}
contact_user = 600
"""


@dataclass(frozen=True, slots=True)
class Ends:
    """Who shows which certificate and trusts whom, and on which ports they listen."""

    appliance: Pair
    exchange: Pair
    appliance_trusts: str
    exchange_trusts: str
    appliance_port: int = field(default_factory=free_port)
    exchange_port: int = field(default_factory=free_port)

    @classmethod
    def of(cls, authority: Authority, **other: Any) -> Self:
        """Both are vouched for by *authority*, but for what *other* says."""
        pair = {"appliance": authority.sign(LOOPBACK), "exchange": authority.sign(EXCHANGE)}
        trusts = dict.fromkeys(("appliance_trusts", "exchange_trusts"), authority.certificate)
        return cls(**{**pair, **trusts, **other})

    def trunk(self, *, tls: bool = True, **more: Any) -> dict[str, Any]:
        """The exchange, as a site writes it into asterisk_trunks."""
        contact = f"sip:{EXCHANGE}:{self.exchange_port}"
        return {"name": "operator", "addresses": [EXCHANGE], "contact": contact, "tls": tls, **more}


class Appliance(AsteriskInstance):
    """Context manager: Asterisk with the files of the role for *variables*."""

    def __init__(self, ends: Ends, **variables: Any) -> None:
        super().__init__("")
        self._ends = ends
        self._variables = variables

    @property
    def _site(self) -> Path:
        return self._directory / "etc" / "voicebot.d"

    def _render(self) -> None:
        super()._render()
        variables = {
            "asterisk_address": LOOPBACK,
            "asterisk_sip_port": self.sip_port,
            "asterisk_tls_port": self._ends.appliance_port,
            "asterisk_tls_certificate": self._ends.appliance.certificate,
            **self._variables,
        }
        role_files.render("asterisk", ["transport.conf", "endpoints.conf"], variables, self._site)
        transport = self._site / "transport.conf"
        here = transport.read_text().replace("/etc/asterisk/voicebot.d", str(self._site))
        transport.write_text(here)
        (self._site / "tls-ca.crt").write_text(self._ends.appliance_trusts)
        self._write(self._ends.appliance)

    def _write(self, pair: Pair) -> None:
        (self._site / "tls.crt").write_text(pair.certificate)
        (self._site / "tls.key").write_text(pair.key)

    def renew(self, pair: Pair) -> None:
        """What the role does with a new certificate: it reloads, and restarts nothing."""
        self._write(pair)
        self.cli("module reload res_pjsip.so")

    def shown(self) -> str:
        """The certificate that whoever connects is shown."""
        return ssl.get_server_certificate((LOOPBACK, self._ends.appliance_port), timeout=10)

    def serve(self, bot: Voicebot, technicians: str = "") -> None:
        """Hand calls to *bot*, and whom it passes on to *technicians*, as the role writes them."""
        route = Route(audiosocket_port=bot.audiosocket_port, control_port=bot.control_port, ring=10)
        text = route.render().replace(
            "VOICEBOT_TECHNICIAN = ", f"VOICEBOT_TECHNICIAN = {technicians}"
        )
        (self._site / "globals.conf").write_text(text)
        self.cli("dialplan reload")

    def reachable(self, line: str) -> bool:
        """Has *line* answered, when Asterisk asked whether it is there?"""
        contacts = self.cli("pjsip show contacts")
        return re.search(rf"Contact: +{line}/\S+ +\S+ +Avail", contacts) is not None


class Exchange(AsteriskInstance):
    """Context manager: the operator's. It calls the appliance, by TLS with SRTP unless *sip* or
    *audio* is said to be in clear; customers call it, and the appliance calls a technician by it.

    The appliance may register. With *login* it is the other way round: this is the exchange of an
    office, which registers at the appliance as a telephone of that name.
    """

    def __init__(
        self, ends: Ends, *, sip: str = "tls", audio: str = "sdes", port: int = 0, login: str = ""
    ) -> None:
        self.address = OFFICE if login else EXCHANGE
        appliance = f"sip:{LOOPBACK}:{port or ends.appliance_port}\\;transport={sip}"
        line = f"transport = transport-{sip}\nmedia_encryption = {audio}\n"
        super().__init__(f"""
[appliance](line)
context = from-appliance
aors = appliance
outbound_auth = appliance
{f"from_user = {login}" if login else ""}
{line}
[appliance]
type = aor
contact = {appliance}
[appliance]
type = auth
auth_type = digest
username = {login or "nobody"}
password = {PASSWORD.replace(";", chr(92) + ";")}

[customers](line)
context = customers
[customers]
type = identify
endpoint = customers
match = {CUSTOMER}

[technician](line)
{_OFFICE.format(login=login, appliance=appliance) if login else _SUBSCRIBER.format(line=line)}
""")
        self._ends = ends

    def _render(self) -> None:
        super()._render()
        site = self._directory / "etc" / "voicebot.d"
        for name, content in (
            ("tls.crt", self._ends.exchange.certificate),
            ("tls.key", self._ends.exchange.key),
            ("tls-ca.crt", self._ends.exchange_trusts),
        ):
            (site / name).write_text(content)
        (site / "transport.conf").write_text(f"""
[transport-udp]
type = transport
protocol = udp
bind = {self.address}:{self.sip_port}
[transport-tls]
type = transport
protocol = tls
bind = {self.address}:{self._ends.exchange_port}
cert_file = {site}/tls.crt
priv_key_file = {site}/tls.key
ca_list_file = {site}/tls-ca.crt
verify_server = yes
method = tlsv1_2
""")
        (site / "extensions.conf").write_text(f"""
[customers]
exten => 777,1,Dial(PJSIP/777@appliance)
[from-appliance]
exten => 600,1,Dial(PJSIP/technician/sip:600@{TECHNICIAN}:{TECHNICIAN_PORT})
""")

    def customer(self) -> SipPhone:
        """A telephone that calls by this exchange."""
        return SipPhone("0612345678", address=CUSTOMER, server=(self.address, self.sip_port))


def technician() -> SipPhone:
    """The telephone that the exchange rings for 600."""
    return SipPhone("600", address=TECHNICIAN, port=TECHNICIAN_PORT)
