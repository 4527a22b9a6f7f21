"""How every kit's connections are kept, whichever library it builds on."""

from __future__ import annotations

import ssl
from functools import cache

CONNECT_SECONDS = 3.0
"""Longest wait for a connection, TLS included."""
KEEP_IDLE_SECONDS = 120.0
"""How long an unused HTTP connection is kept: longer than callers leave it unused. The kits' own
5 s mean a new TLS handshake on most turns."""
MOST_CONNECTIONS = 256


@cache
def tls() -> ssl.SSLContext:
    """What every kit's connections trust: the certificates of the system (or ``SSL_CERT_FILE``).

    One for the process. Each one made parses all of them: 17 ms in which no caller gets audio, and
    1 to 2 MB. Left to themselves, the kits make five, some of them with certificates that come in
    a Python package, and so with that package's idea of whom to trust.
    """
    return ssl.create_default_context()
