"""How every kit's connections are kept, whichever library it builds on."""

from __future__ import annotations

CONNECT_SECONDS = 3.0
"""Longest wait for a connection, TLS included."""
KEEP_IDLE_SECONDS = 120.0
"""How long an unused HTTP connection is kept: longer than callers leave it unused. The kits' own
5 s mean a new TLS handshake on most turns."""
MOST_CONNECTIONS = 256
