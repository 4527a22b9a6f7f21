"""The caller's side of a call: frames in, turn events out.

It owns the audio clock and the turn taker, has the detector judge the audio, and keeps the
recogniser informed. It does not know what a turn means: that is the session's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from voicebot.audio import pcm
from voicebot.audio.last_sound import LastSound
from voicebot.audio.vad import WINDOW_BYTES, WINDOW_SECONDS
from voicebot.call.detector import Detector
from voicebot.providers.interfaces import SpeechStream
from voicebot.providers.turn_ends import TurnEndListener, TurnEnds
from voicebot.turns.events import Paused, SpeechStarted, TurnEvent
from voicebot.turns.speech import STOP_PROBABILITY
from voicebot.turns.turn_taker import TurnTaker

LATEST = 0.06
"""How far the audio clock may lag behind the arrival of the audio it times. Frames that were held
up together (a stall of the loop, of the network) keep their real distances up to this; after a gap
without audio (hold, mute) the clock catches up with the time."""
NO_AUDIO = 0.1
"""Seconds without a frame after which the caller counts as silent: five frames."""


class Hearing:
    """One call's. The owner owes a :meth:`close`."""

    def __init__(
        self,
        detector: Detector,
        stream: SpeechStream,
        start: float,
        on_turn: Callable[[TurnEvent], None],
        on_failure: Callable[[Exception], None],
        ends: TurnEnds | None = None,
        call_id: str = "",
    ) -> None:
        """*start* is the monotonic time of the call's beginning. *on_turn* is told what was heard,
        at most GRID_SECONDS later; *on_failure* is told of a bug in that. With *ends* the pauses of
        the call *call_id* are listened to."""
        self.turns = TurnTaker()
        self._ends: TurnEndListener | None = None
        if ends is not None:
            self._ends = ends.open(call_id, self.turns.sounded)
        self._detector = detector
        self._ear = detector.open(self._judged, on_failure)
        self._on_turn = on_turn
        self._last_sound = LastSound()
        self._stream = stream
        self._windows = pcm.Reframer(WINDOW_BYTES)
        self._clock = start
        self._last_arrival = start

    def audio(self, data: bytes, now: float) -> None:
        """Take caller audio that arrived at *now*."""
        self._last_arrival = now
        self._clock = min(now, max(self._clock + pcm.seconds(data), now - LATEST))
        self._stream.push(data)
        if self._ends is not None:
            self._ends.push(data)
        windows = list(self._windows.push(data))
        end = self._clock - self._windows.pending / pcm.BYTES_PER_SECOND
        for i, window in enumerate(windows):
            self._ear.hear(window, end - (len(windows) - 1 - i) * WINDOW_SECONDS)

    def _judged(self, window: bytes, end: float, probability: float) -> None:
        quiet = self._last_sound.window(window, speech=probability >= STOP_PROBABILITY)
        self._tell(self.turns.window(probability, end - WINDOW_SECONDS, end, quiet))

    def poll(self, now: float) -> None:
        """Time has passed: judge all that the caller has said until now, which may have ended the
        turn."""
        self._detector.judge()
        if now - self._last_arrival > NO_AUDIO:
            self._tell(self.turns.no_audio(now))
        if self._ends is not None:
            self._ends.poll(now)
        end = self.turns.poll(now)
        if end is not None:
            self._turn_ended()
            self._on_turn(end)

    def give_up_on_transcript(self) -> Iterator[TurnEvent]:
        """No words will come for the current pause; ends the turn, if there is one."""
        end = self.turns.abandon()
        if end is not None:
            self._turn_ended()
            yield end

    def close(self) -> None:
        """Nothing more is told. Idempotent."""
        self._ear.close()
        if self._ends is not None:
            self._ends.close()

    def _turn_ended(self) -> None:
        self._stream.turn_ended()
        if self._ends is not None:
            self._ends.turn_ended()

    def _tell(self, events: list[TurnEvent]) -> None:
        for event in events:
            if isinstance(event, SpeechStarted):
                self._stream.speech_started()
                if self._ends is not None:
                    self._ends.speech_started()
            elif isinstance(event, Paused):
                self._stream.speech_paused(event.pause)
                if self._ends is not None:
                    self._ends.speech_paused(event.pause, event.at)
            self._on_turn(event)
