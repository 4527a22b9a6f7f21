"""An operator's exchange on the outside network: a real Asterisk that wants a registration.

It runs with this repository's files, as they are a sound Asterisk; the lines are its own. Whoever
calls a number there is passed on to the subscriber, where its registration says. With a
certificate it speaks to the subscriber by TLS, with SRTP, and not otherwise.
"""

from __future__ import annotations

from tests.support.asterisk import AsteriskInstance
from tests.support.certificates import Pair
from tests.support.fresh_host import PROVIDER, TRUNK
from tests.support.rtp import AUDIBLE
from tests.support.sip import SipPhone
from tests.support.waiting import until

USERNAME = "0912345678"
PASSWORD = "a-password-of-the-trunk"
PORT = 5060

LINES = f"""
[{USERNAME}](line)
context = nowhere
auth = {USERNAME}
aors = {USERNAME}
%s
[{USERNAME}](phone-auth)
username = {USERNAME}
password = {PASSWORD}
[{USERNAME}](phone-aor)

[customers](line)
context = customers
[customers]
type = identify
endpoint = customers
match = {TRUNK}
"""
NUMBERS = f"""
[customers]
exten => _X.,1,Dial(PJSIP/{USERNAME})
"""


class Provider(AsteriskInstance):
    """Context manager, to be entered in the outside network. Raises AsteriskError.

    *pair* is its certificate, if it has one; *trusts* says who vouches for the subscriber's.
    """

    def __init__(self, pair: Pair | None = None, trusts: str = "") -> None:
        encrypted = "transport = transport-tls\nmedia_encryption = sdes" if pair else ""
        super().__init__(LINES % encrypted)
        self._pair, self._trusts = pair, trusts

    def _render(self) -> None:
        super()._render()
        site = self._directory / "etc" / "voicebot.d"
        transport = f"[transport-udp]\ntype = transport\nprotocol = udp\nbind = {PROVIDER}:{PORT}\n"
        if self._pair:
            (site / "tls.crt").write_text(self._pair.certificate)
            (site / "tls.key").write_text(self._pair.key)
            (site / "tls-ca.crt").write_text(self._trusts)
            transport += (
                f"[transport-tls]\ntype = transport\nprotocol = tls\nbind = {PROVIDER}:{PORT + 1}\n"
                f"cert_file = {site}/tls.crt\npriv_key_file = {site}/tls.key\n"
                f"ca_list_file = {site}/tls-ca.crt\nverify_server = yes\nmethod = tlsv1_2\n"
            )
        (site / "transport.conf").write_text(transport)
        (site / "extensions.conf").write_text(NUMBERS)

    def registered(self) -> str:
        """Where the subscriber is; empty if it has not registered."""
        return "".join(
            line for line in self.cli("pjsip show contacts").splitlines() if USERNAME in line
        )

    async def called(self) -> None:
        """Once the subscriber has registered, a customer of ours calls it, and is greeted. Raises
        TimeoutError."""
        await until(lambda: self.registered() != "", 60, "the appliance registers")
        number = SipPhone("0677777777", address=TRUNK, server=(PROVIDER, PORT))
        async with number as customer:
            call = await customer.dial(USERNAME, within=15)
            await until(lambda: call.media.loudest() > AUDIBLE, 20, "the greeting")
