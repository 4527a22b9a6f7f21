"""The three things systemd wants to know of a ``Type=notify`` unit (sd_notify(3)).

Written out because the protocol is one datagram, and because the watchdog must be fed from the
event loop itself: a stuck loop is what it is there to notice.
"""

from __future__ import annotations

import os
import socket


def notify(message: str) -> bool:
    """Send *message* (``READY=1``, …); False when not run by systemd, or it does not listen.

    Never waits: the event loop sends these, and a systemd that reads nothing any more (one that has
    crashed freezes) must not take the calls with it.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.setblocking(False)
            sock.connect(address)
            sock.sendall(message.encode())
    except OSError:
        return False
    return True


def watchdog_interval() -> float | None:
    """Seconds between two signs of life: half of what systemd allows; None if it does not ask."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    if not microseconds.isdigit() or os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(
        os.getpid()
    ):
        return None
    return int(microseconds) / 2e6
