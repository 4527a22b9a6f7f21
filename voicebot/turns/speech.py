"""From speech probabilities, one for each 32 ms window, to speech that starts and stops.

Two thresholds with a gap between them keep a probability that hovers at the limit from
flapping, and a short hangover bridges the closures inside words (Silero's own defaults are 0.5,
0.35 and 100 ms; measured on telephone French, no gap inside a sentence is longer than 160 ms).
This is not the end of a turn: see :mod:`voicebot.turns.endpointing`.

A probability stays high for a while after the last sound (0.11 s in the median, 0.25 s at most). So
speech *stops* at the last sound, which is told with each window, and it has stopped when there was
no sound for long enough, whatever the probability still says. On a noisy line, where silence cannot
be heard, the probability alone decides.
"""

from __future__ import annotations

from voicebot.turns.events import SpeechStarted, SpeechStopped

START_PROBABILITY = 0.5
STOP_PROBABILITY = 0.35
HANGOVER_SECONDS = 0.16
QUIET_SECONDS = 0.18
"""So long without a sound is the end of speech too. On our 36 clips of telephone French it is
noticed 0.20 s after the last sound (median; 0.28 by the probability), and the one silence as long
inside an answer is between the digits of a number; at 0.16 s there are two, and in noise eight."""
MOST_INERTIA_SECONDS = 0.30
"""The probability never lags behind the sound by more (measured: 0.25 s). If it has not come down
by then, the caller speaks on, too softly for energy to tell."""


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
        inertia = end - start <= quiet < MOST_INERTIA_SECONDS
        if not self._speaking:
            if probability < START_PROBABILITY or inertia:
                return None
            self._speaking = True
            self._last_speech_end = self._last_sound = end
            return SpeechStarted(start)
        if probability >= STOP_PROBABILITY:
            self._last_speech_end = end
            if not inertia:
                self._last_sound = end - quiet if quiet < MOST_INERTIA_SECONDS else end
        return self.silent_until(end)

    def silent_until(self, now: float) -> SpeechStopped | None:
        """No speech has come until *now*: a silent window, or no audio at all (hold, mute, DTX)."""
        silent = now - self._last_speech_end >= HANGOVER_SECONDS
        quiet = now - self._last_sound >= QUIET_SECONDS
        if not self._speaking or not (silent or quiet):
            return None
        self._speaking = False
        return SpeechStopped(self._last_sound)
