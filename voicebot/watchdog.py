"""What happens when the event loop stops moving: the process ends, and is started again.

Two look on, and the loop itself has to tell both that it moves. systemd kills a unit of
``Type=notify`` that is silent for ``WatchdogSec``; but it takes no message from a container, whose
processes are in a control group of Docker's. So the interpreter's own watchdog, a thread that needs
nothing of Python (:mod:`faulthandler`), does the same anywhere: it writes to standard error where
each thread is, which names the culprit, and ends the process. Callers meanwhile reach a person.
"""

from __future__ import annotations

import faulthandler
import sys

from voicebot import systemd


class Watchdog:
    """Call :meth:`alive` from the loop, several times a second, and :meth:`stop` when it ends.

    *limit* is the seconds of silence after which the process ends; 0: it does not. Times are
    seconds of the loop's clock.
    """

    def __init__(self, limit: float, now: float) -> None:
        self._limit = limit
        self._notify_every = systemd.watchdog_interval()
        self._notified = now
        self._arm(now)

    def alive(self, now: float) -> None:
        """The loop moves."""
        every = self._notify_every
        due = every is not None and now - self._notified >= every
        if due and systemd.notify("WATCHDOG=1"):
            self._notified = now
        # Each time costs a thread: not oftener than needed.
        if now - self._armed >= self._limit / 4:
            self._arm(now)

    def stop(self) -> None:
        """From here on the loop may rest."""
        faulthandler.cancel_dump_traceback_later()

    def _arm(self, now: float) -> None:
        self._armed = now
        if self._limit:
            faulthandler.dump_traceback_later(self._limit, exit=True, file=sys.__stderr__ or 2)
