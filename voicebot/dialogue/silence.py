"""How long the caller has been silent while it was their turn to speak.

Only listening time counts: while the bot speaks or works, the clock stands still. So "allô" and the
goodbye that may follow are both measured from the caller's last words, whatever the bot said in
between.
"""

from __future__ import annotations


class SilenceClock:
    """Stopped at first."""

    def __init__(self) -> None:
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

    def reaches(self, seconds: float) -> float | None:
        """When the silence will have lasted *seconds*; None while the clock stands still."""
        if self._running_since is None:
            return None
        return self._running_since + seconds - self._gathered
