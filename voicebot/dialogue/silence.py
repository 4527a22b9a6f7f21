"""How long the caller has been silent while it was their turn to speak.

Only listening time counts: while the bot speaks or works, the clock stands still. So "allô" and the
goodbye that may follow are both measured from the caller's last words, whatever the bot said in
between.
"""

from __future__ import annotations

from enum import Enum, auto


class Lapse(Enum):
    """What a silence has come to."""

    WARNING = auto()
    """Ask whether anybody is there."""
    HANGUP = auto()
    """Nobody is."""
    PATIENCE = auto()
    """A busy caller has been left in peace for long enough."""


class SilenceWatch:
    """Stopped at first. Limits in seconds: *warning*, then *hangup*; or *patience* alone."""

    def __init__(self, warning: float, hangup: float, patience: float) -> None:
        self.patient = False
        """Whether the caller is known to be busy."""
        self._limits = {Lapse.WARNING: warning, Lapse.HANGUP: hangup, Lapse.PATIENCE: patience}
        self._warned = False
        self._gathered = 0.0
        self._running_since: float | None = None

    def start(self, now: float) -> None:
        """The caller may speak from now on. No effect if it runs already."""
        if self._running_since is None:
            self._running_since = now

    def stop(self, now: float) -> None:
        """The bot speaks or works, or the caller makes a sound."""
        if self._running_since is not None:
            self._gathered += now - self._running_since
            self._running_since = None

    def reset(self) -> None:
        """The caller said something. Stopped afterwards."""
        self._gathered = 0.0
        self._running_since = None
        self._warned = False

    def due(self) -> float | None:
        """When the next lapse comes; None while the clock stands still."""
        if self._running_since is None:
            return None
        return self._running_since + self._limits[self._next()] - self._gathered

    def lapse(self) -> Lapse:
        """The time :meth:`due` has come: what that means. The clock goes on."""
        lapse = self._next()
        self._warned = lapse is Lapse.WARNING
        return lapse

    def _next(self) -> Lapse:
        if self.patient:
            return Lapse.PATIENCE
        return Lapse.HANGUP if self._warned else Lapse.WARNING
