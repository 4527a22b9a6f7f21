"""Deepgram's ``/v1/listen`` (Nova): interim and final results, endpointing, Finalize, KeepAlive.

Pure; see :mod:`voicebot.emulator.listening`. Message shapes are those of deepgram-sdk 7's types.

A final result is due when its silence has lasted for the client's ``endpointing``, and not before a
delay drawn from the published ones, both counted from the end of speech. After a Finalize the
delay alone counts. An utterance that goes on for long becomes final in parts. Speech that resumes
before the silence was long enough continues the utterance.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
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
from voicebot.emulator.options import V1Options
from voicebot.emulator.words import Words, confidence, joined, v1_words

IDLE_SECONDS: Final = 10.0
IDLE_REASON: Final = (
    "Deepgram did not receive audio data or a text message within the timeout window. "
    "See https://dpgr.am/net0001"
)
INTERIM_EVERY: Final = 0.30
PART_EVERY: Final = 5.0  #: seconds of speech after which what was said so far becomes final
PART_BACK: Final = 0.4  #: but for the words of the last so many seconds
_SILENCE_WITHOUT_ENDPOINTING: Final = 1.0
_CREATED: Final = "2026-11-23T00:00:00.000Z"
_MODEL: Final = {"name": "general-nova-3", "version": "2026-01-01.0", "arch": "nova-3"}
_MODEL_UUID: Final = "00000000-0000-4000-8000-00000000de90"


@dataclass(slots=True)
class _Result:
    """A final result to come."""

    question: Question
    start: float
    until: float
    since: float
    """On the clock: end of speech."""
    delay: float
    hold: float = 0.0
    """Seconds after ``since`` that its silence must last."""
    not_before: float = 0.0
    part: bool = False
    """The utterance goes on after it."""
    sealed: bool = False
    """Nothing can be added to it any more."""
    from_finalize: bool = False
    after: float = 0.0
    """Stream time before which words belong to an earlier result."""
    words: Words | None = None

    @property
    def due(self) -> float:
        return max(self.since + max(self.delay, self.hold), self.not_before)


class ListenV1(Listening):
    """One connection."""

    def __init__(self, options: V1Options, request_id: str, latency: Latency, now: float) -> None:
        super().__init__(options.encoding, options.sample_rate, request_id, latency, now)
        self._options = options
        self._began: float | None = None
        self._results: list[_Result] = []
        self._closing: _Result | None = None
        self._finalized = 0.0
        """Stream time up to which a Finalize was answered; no later result begins before it."""
        self._said = 0.0
        """Stream time of the last sound before that; what was said until then is not said again."""
        self._emitted = 0  # words of the utterance that were sent as final
        self._part_at = 0.0
        self._interim: tuple[Question, float] | None = None  # asked, and at what time
        self._interim_at = 0.0
        self._interim_ready: tuple[Send, float] | None = None
        self._utterance_end: tuple[float, float] | None = None  # last word; stream time to say so
        self._leaving = False

    # -- what is heard ----------------------------------------------------------------------

    def step(self, now: float, *, sound: bool) -> None:
        ear, options = self.ear, self._options
        if ear.began is not None and self._began is None:
            self._begin(max(ear.began, self._finalized))
        if self._began is None:
            return
        if sound and self._closing is not None:
            self._results.remove(self._closing)
            self._closing = None
        if self._closing is None and ear.silence >= BREATH:
            self._closing = self._expect(now, hold=options.endpointing or 0.0)
        if ear.silence >= (options.endpointing or _SILENCE_WITHOUT_ENDPOINTING):
            self._seal()
        elif self._closing is None:
            self._go_on(now)

    def _begin(self, began: float) -> None:
        self._began = self._interim_at = self._part_at = began
        self._utterance_end = None
        if self._options.vad_events:
            self.out.append(
                Send(message(type="SpeechStarted", channel=[0, 1], timestamp=round(began, 3)))
            )

    def _expect(self, now: float, *, hold: float, part: bool = False) -> _Result:
        """A final result of the utterance so far."""
        assert self._began is not None
        until = min(self.ear.last_sound + TAIL, self.ear.position)
        result = _Result(
            question=self.ask(until, final=True),
            start=self._part_at,
            until=self.ear.last_sound,
            since=now if part else self.sound_at,
            delay=self.latency.draw(Step.LISTEN_FINAL),
            hold=hold,
            part=part,
            sealed=part,
            after=self._said,
        )
        self._results.append(result)
        return result

    def _go_on(self, now: float) -> None:
        """In the middle of speech: now and then a part becomes final, or an interim result."""
        position = self.ear.position
        if position - self._part_at >= PART_EVERY:
            self._expect(now, hold=0.0, part=True)
            self._part_at = position - PART_BACK
        elif (
            self._options.interim_results
            and self._interim is None
            and position - self._interim_at >= INTERIM_EVERY
        ):
            self._interim_at = position
            self._interim = (self.ask(position, final=False), now)

    def _seal(self) -> None:
        """The utterance is over."""
        assert self._closing is not None
        self._closing.sealed = True
        self.ear.end(min(self._closing.until + TAIL, self.ear.position))
        if self._options.utterance_end is not None:
            last = self._closing.until
            self._utterance_end = (last, last + self._options.utterance_end)
        self._began = self._closing = self._interim = self._interim_ready = None

    # -- what is answered -------------------------------------------------------------------

    def answered(self, question: Question, words: Words, now: float) -> None:
        if not self._options.understands:
            words = ()
        for result in self._results:
            if result.question is question:
                result.words = _since(result.after, words)
        if self._interim is not None and self._interim[0] is question:
            (_, asked), self._interim = self._interim, None
            fresh = _since(self._said, words)[self._emitted :]
            if fresh and not any(result.part for result in self._results):
                planned = self.latency.draw(Step.LISTEN_INTERIM)
                until = self.ear.position
                text = self._results_message(fresh, self._part_at, until, is_final=False)
                wait = Wait(Step.LISTEN_INTERIM, asked, planned)
                self._interim_ready = (Send(text, wait=wait), asked + planned)

    def ripen(self, now: float) -> None:
        if self._interim_ready is not None and now >= self._interim_ready[1]:
            self.out.append(self._interim_ready[0])
            self._interim_ready = None
        while self._results:
            result = self._results[0]
            if not result.sealed or result.words is None or now < result.due:
                break
            del self._results[0]
            self.out.append(self._final(result, result.words))
        if not self._results:
            self._end_utterance()
            if self._leaving:
                self._leave()
        if now >= self.last_input + IDLE_SECONDS:
            self.out.append(Close(1011, IDLE_REASON))

    def _final(self, result: _Result, words: Words) -> Send:
        fresh = words[self._emitted :]
        if result.part:
            fresh = tuple(word for word in fresh if word.end <= result.until - PART_BACK)
            self._emitted += len(fresh)
        else:
            self._emitted = 0
        off = self._options.endpointing is None
        text = self._results_message(
            fresh,
            result.start,
            result.until,
            is_final=True,
            speech_final=not result.part and (result.from_finalize or not off),
            from_finalize=result.from_finalize,
        )
        planned = max(result.delay, result.hold)  # a client that asks late is late by itself
        return Send(text, result=True, wait=Wait(Step.LISTEN_FINAL, result.since, planned))

    def _end_utterance(self) -> None:
        if self._utterance_end is not None and self.ear.position >= self._utterance_end[1]:
            last = round(self._utterance_end[0], 3)
            self.out.append(Send(message(type="UtteranceEnd", channel=[0, 1], last_word_end=last)))
            self._utterance_end = None

    def next_at(self) -> float | None:
        times = [self.last_input + IDLE_SECONDS]
        if self._results and self._results[0].sealed and self._results[0].words is not None:
            times.append(self._results[0].due)
        if self._interim_ready is not None:
            times.append(self._interim_ready[1])
        return min(times)

    # -- what the client says ---------------------------------------------------------------

    def text(self, raw: str, now: float) -> None:
        self.last_input = now
        try:
            said = json.loads(raw)
            kind = said["type"]
        except (ValueError, TypeError, KeyError):
            self._complain("Could not deserialize last text message: invalid JSON message.", raw)
            return
        if kind == "Finalize":
            self._finalize(now, from_finalize=True)
        elif kind == "CloseStream":
            self._finalize(now, from_finalize=False)
            self._leaving = True
        elif kind == "Configure":
            self._configure(said)
        elif kind != "KeepAlive":
            self._complain(f"Could not deserialize last text message: unknown type {kind!r}.", raw)

    def _finalize(self, now: float, *, from_finalize: bool) -> None:
        self._finalized = self.ear.position
        if self._began is not None:
            if self._closing is None:
                self._closing = self._expect(now, hold=0.0)
                if self.ear.silence < BREATH:  # in the middle of speech: what there is, now
                    self._closing.since = now
            closing = self._closing
            closing.until = min(closing.until, self.ear.position)
            self._seal()
            closing.until = self.ear.position  # a result reaches as far as was listened
            self._said = self.ear.last_sound
        if self._results:
            last = self._results[-1]
            last.hold, last.not_before, last.from_finalize = 0.0, now, from_finalize
        elif from_finalize:
            at = self.ear.position
            text = self._results_message(
                (), at, at, is_final=True, speech_final=True, from_finalize=True
            )
            self.out.append(Send(text, result=True))

    def _configure(self, said: dict[str, Any]) -> None:
        keyterms = said.get("keyterms")
        if keyterms is not None and not self._options.keyterms:
            self.out.append(
                Send(
                    message(
                        type="ConfigureFailure",
                        request_id=self.request_id,
                        code="CONFIGURE_KEYTERMS_NOT_SUPPORTED",
                        description="Keyterms can be updated on Nova-3 models only.",
                    )
                )
            )
            return
        values = {} if keyterms is None else {"keyterms": keyterms}
        success = message(type="ConfigureSuccess", request_id=self.request_id, **values)
        self.out.append(Send(success))

    def _complain(self, description: str, raw: str) -> None:
        self.out.append(
            Send(
                message(
                    type="Error", variant="SchemaError", description=description, message=raw[:200]
                )
            )
        )

    def _leave(self) -> None:
        self._leaving = False
        self.out.append(
            Send(
                message(
                    type="Metadata",
                    transaction_key="deprecated",
                    request_id=self.request_id,
                    sha256="0" * 64,
                    created=_CREATED,
                    duration=round(self.received, 3),
                    channels=1,
                )
            )
        )
        self.out.append(Close(1000))

    def _results_message(
        self,
        words: Words,
        start: float,
        until: float,
        *,
        is_final: bool,
        speech_final: bool = False,
        from_finalize: bool = False,
    ) -> str:
        punctuate = self._options.punctuate
        return message(
            type="Results",
            channel_index=[0, 1],
            duration=round(max(0.0, until - start), 3),
            start=round(start, 3),
            is_final=is_final,
            speech_final=speech_final,
            channel={
                "alternatives": [
                    {
                        "transcript": joined(words, punctuate=punctuate),
                        "confidence": confidence(words),
                        "words": v1_words(words, punctuate=punctuate),
                    }
                ]
            },
            metadata={
                "request_id": self.request_id,
                "model_info": _MODEL,
                "model_uuid": _MODEL_UUID,
            },
            from_finalize=from_finalize,
        )


def _since(at: float, words: Words) -> Words:
    """Those of *words* that are spoken after *at*, for the most part."""
    return tuple(word for word in words if (word.start + word.end) / 2 >= at)
