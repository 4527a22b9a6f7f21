"""Deepgram's ``/v2/listen`` (Flux): turns instead of results.

Pure; see :mod:`voicebot.emulator.listening`. Message shapes are those of deepgram-sdk 7's types.

The service ends a turn by what was said as well as by silence. Here that is one rule: words that
stop at a comma are not the end, and wait for more. An eager end comes early, and is taken back
(TurnResumed) if the caller goes on.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any, Final

from voicebot.emulator.latency import Latency, Step
from voicebot.emulator.listening import (
    BREATH,
    TAIL,
    Close,
    Listening,
    Question,
    Send,
    Wait,
    message,
)
from voicebot.emulator.options import NEVER, OptionError, V2Options
from voicebot.emulator.words import Words, joined

UPDATE_EVERY: Final = 0.25
EAGER_SHARE: Final = 0.6  #: of the delay of a turn's end, after which the eager one comes
UNFINISHED: Final = 0.8  #: seconds more, when the words stop at a comma


@dataclass(slots=True)
class _End:
    """The end of a turn, to come."""

    question: Question
    since: float
    """On the clock: end of speech."""
    after: float
    """Seconds of silence from ``since``."""
    eager_after: float | None
    noise_after: float
    """The same, if it turns out that there were no words."""
    trigger: str = "model"
    manual: bool = False
    words: Words | None = None


class ListenV2(Listening):
    """One connection."""

    def __init__(self, options: V2Options, request_id: str, latency: Latency, now: float) -> None:
        super().__init__(options.encoding, options.sample_rate, request_id, latency, now)
        self._thresholds = options.thresholds
        self._hints = options.hints
        self._keyterms = options.keyterms
        self._understands = options.understands
        self._sequence = 0
        self._turn = 0
        self._began: float | None = None
        self._started = False  # StartOfTurn was sent
        self._eager = False  # EagerEndOfTurn was sent, and not taken back
        self._words: Words = ()
        self._update: Question | None = None
        self._update_at = 0.0
        self._end: _End | None = None
        self._leaving = False
        self._say("Connected")

    # -- what is heard ----------------------------------------------------------------------

    def step(self, now: float, *, sound: bool) -> None:
        ear = self.ear
        if ear.began is not None and self._began is None:
            self._began = self._update_at = ear.began
        if self._began is None:
            if ear.position - self._update_at >= UPDATE_EVERY:
                self._update_at = ear.position
                self._tell("Update", 0.01)  # of no turn: so far it has heard nothing
            return
        if self._end is not None and self._end.manual:
            return
        if sound and self._end is not None:
            self._end = None
            if self._eager:
                self._eager = False
                self._inform("TurnResumed", 0.1)
        if self._end is None and ear.silence >= BREATH:
            self._expect(now)
        elif (
            self._end is None
            and self._update is None
            and ear.position - self._update_at >= UPDATE_EVERY
        ):
            self._update_at = ear.position
            self._update = self.ask(ear.position, final=False)

    def _expect(self, now: float) -> None:
        delay = self.latency.draw(Step.LISTEN_FINAL)
        delay *= max(0.5, 1 + 2 * (min(self._thresholds.eot, 0.9) - 0.7))
        eager = None if self._thresholds.eager is None else EAGER_SHARE * delay
        until = min(self.ear.last_sound + TAIL, self.ear.position)
        after = self._thresholds.timeout if self._thresholds.eot >= NEVER else delay
        self._end = _End(self.ask(until, final=True), self.sound_at, after, eager, delay)

    # -- what is answered -------------------------------------------------------------------

    def answered(self, question: Question, words: Words, now: float) -> None:
        if not self._understands:
            words = ()
        end = self._end
        if end is not None and end.question is question:
            end.words = words
            if not end.manual and words and words[-1].text.endswith(","):
                end.after += UNFINISHED
                end.eager_after = None
            if not end.manual and end.after >= self._thresholds.timeout:
                end.after, end.trigger = self._thresholds.timeout, "timeout"
        elif self._update is question:
            self._update = None
            if words and end is None:
                self._words = words
                self._inform("Update" if self._started else "StartOfTurn", 0.05)

    def ripen(self, now: float) -> None:
        end = self._end
        if end is not None and end.words is not None:
            silence = self.ear.silence
            if not end.words and self._silent_for(end.noise_after):
                self._over()  # a noise: there never was a turn
            elif (
                end.eager_after is not None
                and not self._eager
                and now >= end.since + end.eager_after
                and silence >= end.eager_after
            ):
                self._eager, self._words = True, end.words
                wait = Wait(Step.LISTEN_FINAL, end.since, end.eager_after)
                self._inform("EagerEndOfTurn", self._thresholds.eager or 0.5, wait=wait)
            if end.words and now >= end.since + end.after and self._silent_for(end.after):
                self._words = end.words
                wait = Wait(Step.LISTEN_FINAL, end.since, end.after)
                trust = 0.3 if end.manual else max(self._thresholds.eot, 0.85)
                self._inform("EndOfTurn", trust, wait=wait, trigger=end.trigger)
                self._over()
        if self._leaving and self._end is None:
            self.out.append(Close(1000))
            self._leaving = False

    def _silent_for(self, seconds: float) -> bool:
        assert self._end is not None
        # The stream runs in whole windows, so it may be one short of the clock.
        return self._end.manual or self.ear.silence + 0.02 >= seconds

    def _over(self) -> None:
        assert self._end is not None
        self.ear.end(self.ear.position if self._end.manual else self.ear.last_sound + TAIL)
        self._turn += self._started
        self._began = self._end = self._update = None
        self._update_at = self.ear.position
        self._started = self._eager = False
        self._words = ()

    def next_at(self) -> float | None:
        end = self._end
        if end is None or end.words is None:
            return None
        if end.eager_after is not None and not self._eager:
            return end.since + end.eager_after
        return end.since + end.after

    # -- what the client says ---------------------------------------------------------------

    def text(self, raw: str, now: float) -> None:
        self.last_input = now
        try:
            said = json.loads(raw)
            kind = said["type"]
        except (ValueError, TypeError, KeyError):
            self._fail("UNPARSABLE_CLIENT_MESSAGE", "The message is not valid JSON.")
            return
        if kind == "CloseStream":
            self._force(now)
            self._leaving = True
        elif kind == "ForceEndTurn":
            self._force(now)
        elif kind == "Configure":
            self._configure(said)
        else:
            self._fail("UNPARSABLE_CLIENT_MESSAGE", f"Unknown message type {kind!r}.")

    def _force(self, now: float) -> None:
        """The client says that the turn is over."""
        if self._began is None:
            return
        if self._end is None:
            self._expect(now)
        end = self._end
        assert end is not None
        speaking = self.ear.silence < BREATH
        end.since = now if speaking else end.since
        end.after = max(self.latency.draw(Step.LISTEN_FINAL), now - end.since)
        end.eager_after, end.manual, end.trigger = None, True, "manual"

    def _configure(self, said: dict[str, Any]) -> None:
        wanted = said.get("thresholds") or {}
        try:
            thresholds = replace(
                self._thresholds,
                eot=wanted.get("eot_threshold", self._thresholds.eot),
                eager=wanted.get("eager_eot_threshold", self._thresholds.eager),
                timeout=wanted.get("eot_timeout_ms", self._thresholds.timeout * 1000) / 1000,
            )
            thresholds.check()
        except (OptionError, TypeError) as error:
            self._say(
                "ConfigureFailure",
                request_id=self.request_id,
                code="INVALID_THRESHOLDS",
                description=str(error),
            )
            return
        self._thresholds = thresholds
        if said.get("keyterms") is not None:
            self._keyterms = tuple(said["keyterms"])
        if said.get("language_hints") is not None:
            self._hints = tuple(said["language_hints"])
        self._say(
            "ConfigureSuccess",
            request_id=self.request_id,
            thresholds={
                "eot_threshold": thresholds.eot,
                "eager_eot_threshold": thresholds.eager,
                "eot_timeout_ms": round(thresholds.timeout * 1000),
            },
            keyterms=list(self._keyterms),
            language_hints=list(self._hints),
        )

    def _fail(self, code: str, description: str) -> None:
        self._say("Error", code=code, description=description)
        self.out.append(Close(1011, code))

    # -- messages ---------------------------------------------------------------------------

    def _say(self, kind: str, *, result: bool = False, wait: Wait | None = None, **v: Any) -> None:
        if kind == "Connected":
            v["request_id"] = self.request_id
        text = message(type=kind, sequence_id=self._sequence, **v)
        self.out.append(Send(text, result=result, wait=wait))
        self._sequence += 1

    def _inform(
        self, event: str, trust: float, *, wait: Wait | None = None, trigger: str | None = None
    ) -> None:
        if not self._started and event != "StartOfTurn":
            self._inform("StartOfTurn", 0.05)
        self._started = True
        self._tell(event, trust, wait=wait, trigger=trigger)

    def _tell(
        self, event: str, trust: float, *, wait: Wait | None = None, trigger: str | None = None
    ) -> None:
        words = [
            {
                "word": word.text,
                "confidence": round(word.confidence, 4),
                "start": round(word.start, 3),
                "end": round(word.end, 3),
            }
            for word in self._words
        ]
        values: dict[str, Any] = {} if trigger is None else {"trigger": trigger}
        if words:
            values["languages"] = ["fr"]
        if self._hints:
            values["languages_hinted"] = list(self._hints)
        self._say(
            "TurnInfo",
            result=event in ("EndOfTurn", "EagerEndOfTurn"),
            wait=wait,
            request_id=self.request_id,
            event=event,
            turn_index=self._turn,
            audio_window_start=round(self._began or 0.0, 3),
            audio_window_end=round(self.ear.position, 3),
            transcript=joined(self._words),
            words=words,
            end_of_turn_confidence=trust,
            **values,
        )
