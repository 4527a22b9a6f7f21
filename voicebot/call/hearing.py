"""The caller's side of a call: frames in, turn events out.

It owns the audio clock, the VAD and the turn taker, and keeps the recogniser informed. It does not
know what a turn means: that is the session's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from voicebot.audio import pcm
from voicebot.audio.last_sound import LastSound
from voicebot.audio.vad import WINDOW_BYTES, WINDOW_SECONDS
from voicebot.providers.interfaces import SpeechStream
from voicebot.turns.events import Paused, SpeechStarted, TurnEvent
from voicebot.turns.speech import STOP_PROBABILITY
from voicebot.turns.turn_taker import TurnTaker

LATEST = 0.06
"""How far the audio clock may lag behind the arrival of the audio it times. Frames that were held
up together (a stall of the loop, of the network) keep their real distances up to this; after a gap
without audio (hold, mute) the clock catches up with the time."""
NO_AUDIO = 0.1
"""Seconds without a frame after which the caller counts as silent: five frames."""


class VoiceActivity(Protocol):
    """Tells speech from everything else, window after window of one caller."""

    def process(self, window: bytes) -> float:
        """The probability that the next WINDOW_BYTES of slin hold speech."""


class Hearing:
    """One call's; *start* is the monotonic time of its beginning."""

    def __init__(self, vad: VoiceActivity, stream: SpeechStream, start: float) -> None:
        self.turns = TurnTaker()
        self._vad = vad
        self._last_sound = LastSound()
        self._stream = stream
        self._windows = pcm.Reframer(WINDOW_BYTES)
        self._clock = start
        self._last_arrival = start

    def audio(self, data: bytes, now: float) -> Iterator[TurnEvent]:
        """Take caller audio that arrived at *now*."""
        self._last_arrival = now
        self._clock = min(now, max(self._clock + pcm.seconds(data), now - LATEST))
        self._stream.push(data)
        windows = list(self._windows.push(data))
        end = self._clock - self._windows.pending / pcm.BYTES_PER_SECOND
        for i, window in enumerate(windows):
            window_end = end - (len(windows) - 1 - i) * WINDOW_SECONDS
            probability = self._vad.process(window)
            quiet = self._last_sound.window(window, speech=probability >= STOP_PROBABILITY)
            yield from self._told(
                self.turns.window(probability, window_end - WINDOW_SECONDS, window_end, quiet)
            )

    def poll(self, now: float) -> Iterator[TurnEvent]:
        """Time has passed; say whether that ended the caller's turn."""
        if now - self._last_arrival > NO_AUDIO:
            yield from self._told(self.turns.no_audio(now))
        end = self.turns.poll(now)
        if end is not None:
            self._stream.turn_ended()
            yield end

    def give_up_on_transcript(self) -> Iterator[TurnEvent]:
        """No words will come for the current pause; ends the turn, if there is one."""
        end = self.turns.abandon()
        if end is not None:
            self._stream.turn_ended()
            yield end

    def _told(self, events: list[TurnEvent]) -> Iterator[TurnEvent]:
        for event in events:
            if isinstance(event, SpeechStarted):
                self._stream.speech_started()
            elif isinstance(event, Paused):
                self._stream.speech_paused(event.pause)
            yield event
