"""An operator's exchange on the outside network: a real Asterisk that wants a registration.

It runs with this repository's files, as they are a sound Asterisk; the lines are its own. Whoever
calls a number there is passed on to the subscriber, where its registration says.
"""

from __future__ import annotations

from tests.support.asterisk import AsteriskInstance
from tests.support.fresh_host import PROVIDER, TRUNK

USERNAME = "0912345678"
PASSWORD = "a-password-of-the-trunk"
PORT = 5060

LINES = f"""
[{USERNAME}](line)
context = nowhere
auth = {USERNAME}
aors = {USERNAME}
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
    """Context manager, to be entered in the outside network. Raises AsteriskError."""

    def __init__(self) -> None:
        super().__init__(LINES)

    def _render(self) -> None:
        super()._render()
        site = self._directory / "etc" / "voicebot.d"
        (site / "transport.conf").write_text(
            f"[transport-udp]\ntype = transport\nprotocol = udp\nbind = {PROVIDER}:{PORT}\n"
        )
        (site / "extensions.conf").write_text(NUMBERS)

    def registered(self) -> str:
        """Where the subscriber is; empty if it has not registered."""
        return "".join(
            line for line in self.cli("pjsip show contacts").splitlines() if USERNAME in line
        )
