"""What is kept of a call: turns for the journal, figures for the metrics, lines for the log.

Spans for the trace, too. The session tells it what happens; it decides nothing. A turn is opened by
what the caller did (spoke, pressed keys, stayed silent) and holds the bot's answer as far as it was
heard, so it is closed when the next one opens or the call ends. Turn 0 is the greeting.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from datetime import UTC, datetime

import structlog

from voicebot.call.lines import CallResult, call_line, turn_line
from voicebot.call.notes import CallNotes
from voicebot.call.spans import call_span, request_span, turn_span
from voicebot.call.traffic import LIVE
from voicebot.call.turn import Sound, Turn, assign
from voicebot.dialogue.slots import Slots
from voicebot.dialogue.states import State
from voicebot.journal.records import CallEndRecord, CallStartRecord, TurnRecord, UseRecord
from voicebot.journal.writer import Journal
from voicebot.providers.interfaces import Transcript
from voicebot.telemetry import spans
from voicebot.telemetry.metrics import Metrics
from voicebot.telemetry.spans import Span
from voicebot.telemetry.tracing import trace_id_of
from voicebot.turns.timeline import TurnTimeline

log = structlog.get_logger(__name__)


class CallLedger:
    """One call's. Times are the session's monotonic seconds; dates are taken here."""

    def __init__(
        self, notes: CallNotes, metrics: Metrics, journal: Journal, currency: str, now: float
    ) -> None:
        """*currency* is what costs are in."""
        self._notes = notes
        self._call_id = notes.call_id
        self._traffic = notes.traffic
        self._exemplar = {"trace_id": trace_id_of(notes.call_id)}
        self._log = log.bind(call_id=notes.call_id)
        self._metrics = metrics
        self._journal = journal
        self._currency = currency
        self._began = now
        self._epoch = time.time() - now  # makes dates of monotonic seconds, for the trace
        self._state = State.INIT.value
        self._turn = Turn(0, datetime.now(UTC), now, self._state)
        self._turns = 0
        self._counts = {"no_input": 0, "no_match": 0, "barge_ins": 0}
        self._onset: float | None = None
        self._first_audio: float | None = None

    def started(self, script_name: str, script_version: str) -> None:
        self._journal.call_started(
            CallStartRecord(
                call_id=self._call_id,
                started_at=datetime.now(UTC),
                traffic=self._traffic,
                script_name=script_name,
                script_version=script_version,
            )
        )

    # -- the caller

    def spoke_up(self, onset: float) -> None:
        """Speech that began at *onset* is long enough to interrupt."""
        self._onset = onset

    def caller_said(self, transcript: Transcript, speech_ended: float, now: float) -> None:
        """A turn with words ended at *now*; the last speech sound was at *speech_ended*."""
        text = transcript.text
        self._open(now, timeline=TurnTimeline(speech_ended, turn_ended=now))
        self._turn.caller_text = text
        self._turn.stt_seconds = transcript.compute_seconds
        self._turn.confidence = transcript.confidence
        self._notes.feed.publish(now - self._began, "caller_said", text=text)
        self._log.info("caller said", pii_text=text)

    def _digit(self, digit: str, now: float) -> None:
        timeline = self._turn.timeline
        answered = timeline is not None and timeline.answer_ready is not None
        if not self._turn.keys or answered:
            self._open(now)
            self._turn.keys = True
        self._turn.caller_text += digit
        self._turn.timeline = TurnTimeline(now, turn_ended=now)
        self._notes.feed.publish(now - self._began, "digit", digit=digit)

    # -- the bot

    def bot_says(self, sentences: tuple[str, ...], now: float, *, filler: int = 0) -> None:
        """The dialogue has decided what to say, of which the first *filler* sentences are no answer
        yet; nothing, if no sentence is left to say."""
        if not sentences:
            return
        text, timeline = " ".join(sentences), self._turn.timeline
        if len(sentences) > filler and timeline is not None and timeline.answer_ready is None:
            timeline.answer_ready = now
        self._notes.feed.publish(now - self._began, "bot_said", text=text)
        self._log.info("bot says", pii_text=text)

    def audio_ready(self, now: float) -> None:
        """The first audio of the answer can be played."""
        timeline = self._turn.timeline
        if timeline is not None and timeline.audio_ready is None:
            timeline.audio_ready = now

    def audio_sent(self, now: float) -> None:
        """The first frame of an utterance is on the wire."""
        self._turn.sounds.append(Sound(now))
        if self._first_audio is None:
            self._first_audio = now - self._began
            self._metrics.call_first_audio.observe(self._first_audio)

    def answer_sent(self, now: float) -> None:
        """The first frame of the answer is on the wire: what was asked of the caller's patience
        ends here, and not with "un instant"."""
        timeline = self._turn.timeline
        if timeline is None or timeline.audio_sent is not None:
            return
        timeline.audio_sent = now
        stages = timeline.stages()
        if stages is None:
            return
        response = self._metrics.turn_response.labels(self._traffic)
        response.observe(sum(stages.values()), self._exemplar)
        for stage, seconds in stages.items():
            self._metrics.turn_stage.labels(stage, self._traffic).observe(seconds, self._exemplar)

    def bot_heard(self, text: str, now: float) -> None:
        """The caller has heard *text*, and the bot is silent."""
        if self._turn.sounds and self._turn.sounds[-1].end is None:
            self._turn.sounds[-1].end = now
        if text:
            self._turn.bot_texts.append(text)

    def bot_cut(self, heard: str, now: float) -> None:
        """The bot fell silent before it had finished."""
        self.bot_heard(heard, now)
        if self._onset is None:
            return
        self._turn.outcome = "interrupted"
        self._turn.interrupted_at = now
        self._metrics.barge_in_stop.observe(now - self._onset)
        self._onset = None
        self._notes.feed.publish(now - self._began, "bot_cut", text=heard)
        self._log.info("bot interrupted", pii_heard=heard)

    # -- the dialogue

    def note(self, kind: str, fields: dict[str, object], now: float) -> None:
        """A ``Note`` of the dialogue machine."""
        match kind:
            case "state":
                self._state = str(fields["state"])
                self._notes.feed.publish(now - self._began, "state", state=self._state)
                self._log.info("state changed", **fields)
            case "digit":
                self._digit(str(fields["digit"]), now)
            case "understood":
                self._turn.understood = str(fields["rule"])
            case "no_match":
                self._counts["no_match"] += 1
                self._turn.outcome = "no_match"
            case "no_input":
                self._counts["no_input"] += 1
                self._open(now)
                self._turn.outcome = "no_input"
            case "barge_in":
                self._counts["barge_ins"] += 1
                self._metrics.barge_ins.labels(str(fields["outcome"])).inc()
            case "provider_failed":
                if fields["stage"] == "stt":  # the caller said something, nobody knows what
                    self._open(now)
                self._turn.outcome = "failed"
            case "model":
                self._metrics.llm_replies.labels(str(fields["outcome"])).inc()
                self._log.info("model replied", **fields)
            case "speculation":
                self._metrics.llm_speculations.labels(str(fields["fate"])).inc()
            case "filler":
                self._metrics.fillers.labels(str(fields["waiting_for"])).inc()
                self._log.info("filler played", **fields)
            case "fallback":
                if self._traffic == LIVE:
                    self._metrics.dialogue_fallbacks.labels(str(fields["reason"])).inc()
            case _:
                raise AssertionError(f"unknown note {kind!r}")

    def _open(self, now: float, timeline: TurnTimeline | None = None) -> None:
        requests = self._notes.requests
        speech_ended = timeline.speech_ended if timeline is not None else None
        before, after = assign(requests, speech_ended)
        self._turn.requests += before
        # A filler that began before the words were known goes on in the turn that they open.
        sounding = [sound for sound in self._turn.sounds if sound.end is None]
        for sound in sounding:
            sound.end = now
        self._close(now)
        requests.clear()
        self._turns += 1
        self._turn = Turn(self._turns, datetime.now(UTC), now, self._state, timeline)
        self._turn.requests += after
        self._turn.sounds += [Sound(now) for _ in sounding]

    def _close(self, now: float) -> None:
        turn = self._turn
        stages = turn.stages()
        if turn.number:
            self._metrics.turns.labels(turn.outcome, self._traffic).inc()
        self._journal.turn_ended(
            TurnRecord(
                call_id=self._call_id,
                number=turn.number,
                started_at=turn.began,
                state_from=turn.state_from,
                state_to=self._state,
                outcome=turn.outcome,
                caller_text=turn.caller_text,
                bot_text=" ".join(turn.bot_texts),
                understood=turn.understood,
                response_s=sum(stages.values()) if stages else None,
                endpointing_s=stages.get("endpointing"),
                stt_s=turn.stt_seconds,
                think_s=stages.get("llm"),
                playout_s=stages.get("playout"),
            )
        )
        self._log.info("turn ended", **turn_line(turn, self._state, now))
        if self._notes.trace.enabled:
            self._notes.trace.add(turn_span(turn, self._call_id, self._state, self._epoch, now))

    # -- the end

    def ended(self, result: CallResult, slots: Slots, now: float) -> None:
        """The call is over; nothing comes after this."""
        self._turn.requests += self._notes.requests
        self._notes.requests.clear()
        self._close(now)
        duration = now - self._began
        self._count(result, duration)
        record = CallEndRecord(
            call_id=self._call_id,
            ended_at=datetime.now(UTC),
            outcome=result.outcome,
            ended_by=result.ended_by,
            reason=slots.problem,
            caller_name=slots.name,
            caller_number=slots.number,
            turns=self._turns,
            transfers=int(result.outcome == "transferred"),
            recording=result.recording,
            uses=self._uses(),
            **self._counts,
        )
        self._journal.call_ended(record)
        cost = self._notes.bill.cost
        self._notes.feed.publish(
            duration,
            "ended",
            outcome=result.outcome,
            cost=cost,
            currency=self._currency,
            uses=[asdict(use) for use in record.uses],
        )
        line = call_line(
            result,
            traffic=self._traffic,
            duration=duration,
            turns=self._turns,
            counts=self._counts,
            cost=cost,
            currency=self._currency,
        )
        self._log.info("call ended", **line)
        if self._notes.trace.enabled:
            self._notes.trace.end(self._root(result, now))

    def released(self) -> None:
        """Nothing of the call runs any more; what the end of it cancelled has been noted, too."""
        if self._notes.trace.enabled:
            for request in self._notes.requests:
                self._notes.trace.add(request_span(request, self._call_id, self._epoch))
        self._notes.requests.clear()

    def _root(self, result: CallResult, now: float) -> Span:
        attributes = {
            spans.CALL_ID: self._call_id,
            spans.CALL_TRAFFIC: self._traffic,
            spans.CALL_OUTCOME: result.outcome,
            spans.CALL_FAILURE: result.failure if result.outcome == "failed" else None,
            spans.CALL_TURNS: self._turns,
            spans.CALL_COST: self._notes.bill.cost,
            spans.FIRST_AUDIO: self._first_audio,
            spans.UNDERRUNS: result.underruns,
            spans.LATE_FRAMES: result.late_frames,
        }
        start, end = self._began + self._epoch, now + self._epoch
        return call_span(start, end, attributes, result.ended_by)

    def _count(self, result: CallResult, duration: float) -> None:
        self._metrics.calls.labels(result.outcome, self._traffic).inc()
        if result.outcome == "failed":
            self._metrics.call_failures.labels(result.failure, self._traffic).inc()
        if self._traffic == LIVE:
            self._metrics.call_duration.observe(duration)

    def _uses(self) -> tuple[UseRecord, ...]:
        return tuple(
            UseRecord(
                stage=use.stage.value,
                provider=use.provider,
                model=use.model,
                unit=use.unit.value,
                amount=use.amount,
                cost=use.cost,
                currency=self._currency,
            )
            for use in self._notes.bill
        )
