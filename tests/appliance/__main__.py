"""Boot a fresh host and leave it up until interrupted: ``python -m tests.appliance [NAME]``.

RELEASE says which: bookworm, trixie, jammy or noble.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
import time

from tests.support.fresh_host import FreshHost


def main() -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    name = sys.argv[1] if len(sys.argv) > 1 else "vba-hand"
    with FreshHost(name, os.environ.get("RELEASE", "bookworm")) as host:
        print(shlex.join(host.in_outside(*host.ssh_command())), flush=True)
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            return 0


if __name__ == "__main__":
    sys.exit(main())
