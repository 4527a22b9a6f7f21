"""When a caller has waited so long that something has to be heard, whatever it is that is late.

Watched from the caller's last sound to the first sound of the answer: the recogniser, the language
model and the voice may each be the one that is late, and the caller does not care which.
"""

from __future__ import annotations

FROM_SPEECH_END = 1.5
"""Seconds. Answers come in half a second to one second; nobody should wait two for a sign of life,
and the first frame of the filler is heard 60 ms after it is decided."""
FROM_TURN_END = 0.4
"""Seconds that an answer is given at least: after a long pause in a number, the turn ends late."""


class LateWatch:
    """Off at first. Times are monotonic seconds."""

    def __init__(self) -> None:
        self.due: float | None = None
        self.for_words = False
        """Whether it is the caller's words that are late."""

    def caller_paused(self, speech_ended: float) -> None:
        """The caller fell silent at *speech_ended*; the words are not known yet."""
        self.due = speech_ended + FROM_SPEECH_END
        self.for_words = True

    def turn_ended(self, speech_ended: float | None, now: float) -> None:
        """An answer is owed from *now* on."""
        since = now if speech_ended is None else speech_ended
        self.for_words = False
        self.due = max(since + FROM_SPEECH_END, now + FROM_TURN_END)

    def stop(self) -> None:
        """Something is heard, or nothing is owed."""
        self.due = None
        self.for_words = False
