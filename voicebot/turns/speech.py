"""From speech probabilities, one for each 32 ms window, to speech that starts and stops.

Two thresholds with a gap between them keep a probability that hovers at the limit from
flapping, and a short hangover bridges the closures inside words (Silero's own defaults are 0.5,
0.35 and 100 ms; measured on telephone French, no gap inside a sentence is longer than 160 ms).
This is not the end of a turn: see :mod:`voicebot.turns.endpointing`.

A probability stays high for a while after the last sound, so that speech *stops* at the last sound,
which is told with each window, and not at the end of the last window that was speech.
"""

from __future__ import annotations

from voicebot.turns.events import SpeechStarted, SpeechStopped

START_PROBABILITY = 0.5
STOP_PROBABILITY = 0.35
HANGOVER_SECONDS = 0.16
MOST_INERTIA_SECONDS = 0.30
"""The probability never lags behind the sound by more (measured: 0.25 s); a sound that seems to
lie further back was not the last one."""


class SpeechDetector:
    """Feed it every window in order; it holds no audio."""

    def __init__(self) -> None:
        self._speaking = False
        self._last_speech_end = 0.0
        self._last_sound = 0.0

    @property
    def speaking(self) -> bool:
        return self._speaking

    @property
    def last_speech_end(self) -> float:
        """End of the last window that held speech."""
        return self._last_speech_end

    def window(
        self, probability: float, start: float, end: float, quiet: float = 0.0
    ) -> SpeechStarted | SpeechStopped | None:
        """Take the probability that the window from *start* to *end* is speech.

        *quiet*: seconds without a sound before *end*.
        """
        if not self._speaking:
            if probability < START_PROBABILITY:
                return None
            self._speaking = True
            self._last_speech_end = self._last_sound = end  # it began with a sound
            return SpeechStarted(start)
        if probability >= STOP_PROBABILITY:
            self._last_speech_end = end
            self._last_sound = max(self._last_sound, end - min(quiet, MOST_INERTIA_SECONDS))
            return None
        return self.silent_until(end)

    def silent_until(self, now: float) -> SpeechStopped | None:
        """No speech has come until *now*: a silent window, or no audio at all (hold, mute, DTX)."""
        if not self._speaking or now - self._last_speech_end < HANGOVER_SECONDS:
            return None
        self._speaking = False
        return SpeechStopped(self._last_sound)
