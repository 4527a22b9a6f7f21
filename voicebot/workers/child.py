"""The worker process: ``python -m voicebot.workers.child FD CORE PARENT``.

Does one call after the other, for as long as the service holds the other end of the socket. Must
not import anything heavy before it is pinned to its core: the maths libraries count cores as
they load. It dies with the service, however that ends, and leaves Ctrl-C and SIGTERM to it.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import signal
import socket
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path

from voicebot.workers.channel import Raised, Returned, Unpacker, pack
from voicebot.workers.jobs import Call

NICENESS = 5  #: the event loop and Asterisk go first, nightly work (nice 10 and more) last
_OOM_SCORE = 500  #: more than its parent's: of 1000 as the kernel counts
_PR_SET_PDEATHSIG = 1  # linux: include/uapi/linux/prctl.h


def main() -> None:
    descriptor, core, parent = map(int, sys.argv[1:])
    _settle(core, parent)
    # Or espeak-ng would inherit it, and hold it open after this process is gone.
    os.set_inheritable(descriptor, False)
    with socket.socket(fileno=descriptor) as service:
        unpacker = Unpacker()
        while data := service.recv(65536):
            for call in unpacker.push(data):
                service.sendall(pack(perform(call)))


def _settle(core: int, parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the line above took effect
        sys.exit()
    os.sched_setaffinity(0, {core})
    os.nice(NICENESS)
    with suppress(OSError):  # where memory runs out, a worker can be replaced: a call cannot
        file = Path("/proc/self/oom_score_adj")
        score = int(file.read_text(encoding="ascii")) + _OOM_SCORE
        file.write_text(str(min(score, 1000)), encoding="ascii")


def perform(call: Call) -> Returned | Raised:
    """Run one call. A fault of the job is a result, so that the worker lives on."""
    started = time.perf_counter()
    try:
        module, _, function = call.target.partition(":")
        result = getattr(importlib.import_module(module), function)(*call.args)
    except Exception as error:  # whatever the job did wrong: the service decides what it means
        last = traceback.extract_tb(error.__traceback__)[-1]
        seconds = time.perf_counter() - started
        return Raised(type(error).__name__, str(error), f"{last.filename}:{last.lineno}", seconds)
    return Returned(result, time.perf_counter() - started)


if __name__ == "__main__":
    main()
