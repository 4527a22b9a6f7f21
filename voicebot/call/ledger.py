"""What is kept of a call: turns for the journal, figures for the metrics, lines for the log.

The session tells it what happens; it decides nothing. A turn is opened by what the caller did
(spoke, pressed keys, stayed silent) and holds the bot's answer as far as it was heard, so it is
closed when the next one opens or the call ends. Turn 0 is the greeting.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime

import structlog

from voicebot.call.traffic import LIVE
from voicebot.dialogue.slots import Slots
from voicebot.dialogue.states import State
from voicebot.journal.records import CallEnded, CallStarted, TurnRecord, UseRecord
from voicebot.journal.writer import Journal
from voicebot.providers.usage import Bill
from voicebot.telemetry.feed import CallFeed
from voicebot.telemetry.metrics import Metrics
from voicebot.turns.timeline import TurnTimeline

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Turn:
    number: int
    began: datetime
    state_from: str
    timeline: TurnTimeline | None = None
    caller_text: str = ""
    bot_texts: list[str] = field(default_factory=list)
    understood: str = ""
    outcome: str = "answered"
    stt_seconds: float | None = None
    keys: bool = False


class CallLedger:
    """One call's. Times are the session's monotonic seconds; dates are taken here."""

    def __init__(
        self,
        call_id: str,
        traffic: str,
        metrics: Metrics,
        journal: Journal,
        feed: CallFeed,
        now: float,
        bill: Bill,
        currency: str,
    ) -> None:
        """*bill* grows as the call goes; *currency* is what its costs are in."""
        self.feed = feed
        self._bill = bill
        self._currency = currency
        self._traffic = traffic
        self._call_id = call_id
        self._log = log.bind(call_id=call_id)
        self._metrics = metrics
        self._journal = journal
        self._began = now
        self._state = State.INIT.value
        self._turn = _Turn(0, datetime.now(UTC), self._state)
        self._turns = 0
        self._counts = {"no_input": 0, "no_match": 0, "barge_ins": 0}
        self._onset: float | None = None
        self._first_audio = False

    def started(self, script_name: str, script_version: str) -> None:
        self._journal.call_started(
            CallStarted(
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

    def caller_said(self, text: str, speech_ended: float, stt_seconds: float, now: float) -> None:
        """A turn with words ended at *now*; the last speech sound was at *speech_ended*."""
        self._open(now, timeline=TurnTimeline(speech_ended, turn_ended=now))
        self._turn.caller_text = text
        self._turn.stt_seconds = stt_seconds
        self.feed.publish(now - self._began, "caller_said", text=text)
        self._log.info("caller said", pii_text=text)

    def _digit(self, digit: str, now: float) -> None:
        timeline = self._turn.timeline
        answered = timeline is not None and timeline.answer_ready is not None
        if not self._turn.keys or answered:
            self._open(now)
            self._turn.keys = True
        self._turn.caller_text += digit
        self._turn.timeline = TurnTimeline(now, turn_ended=now)
        self.feed.publish(now - self._began, "digit", digit=digit)

    # -- the bot

    def bot_says(self, text: str, now: float) -> None:
        """The dialogue has decided what to say."""
        if self._turn.timeline is not None and self._turn.timeline.answer_ready is None:
            self._turn.timeline.answer_ready = now
        self.feed.publish(now - self._began, "bot_said", text=text)
        self._log.info("bot says", pii_text=text)

    def audio_ready(self, now: float) -> None:
        timeline = self._turn.timeline
        if timeline is not None and timeline.audio_ready is None:
            timeline.audio_ready = now

    def audio_sent(self, now: float) -> None:
        """The first frame of an utterance is on the wire."""
        if not self._first_audio:
            self._first_audio = True
            self._metrics.call_first_audio.observe(now - self._began)
        timeline = self._turn.timeline
        if timeline is None or timeline.audio_sent is not None:
            return
        timeline.audio_sent = now
        stages = timeline.stages()
        if stages is None:
            return
        self._metrics.turn_response.labels(self._traffic).observe(sum(stages.values()))
        for stage, seconds in stages.items():
            self._metrics.turn_stage.labels(stage, self._traffic).observe(seconds)

    def bot_heard(self, text: str) -> None:
        """The caller has heard *text*."""
        if text:
            self._turn.bot_texts.append(text)

    def bot_cut(self, heard: str, now: float) -> None:
        """The bot fell silent before it had finished."""
        self.bot_heard(heard)
        if self._onset is None:
            return
        self._turn.outcome = "interrupted"
        self._metrics.barge_in_stop.observe(now - self._onset)
        self._onset = None
        self.feed.publish(now - self._began, "bot_cut", text=heard)
        self._log.info("bot interrupted", pii_heard=heard)

    # -- the dialogue

    def note(self, kind: str, fields: dict[str, object], now: float) -> None:
        """A ``Note`` of the dialogue machine."""
        match kind:
            case "state":
                self._state = str(fields["state"])
                self.feed.publish(now - self._began, "state", state=self._state)
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
                self._turn.outcome = "failed"
            case "fallback":
                if self._traffic == LIVE:
                    self._metrics.dialogue_fallbacks.labels(str(fields["reason"])).inc()
            case _:
                raise AssertionError(f"unknown note {kind!r}")

    def _open(self, now: float, timeline: TurnTimeline | None = None) -> None:
        self._close()
        self._turns += 1
        self._turn = _Turn(self._turns, datetime.now(UTC), self._state, timeline)

    def _close(self) -> None:
        turn = self._turn
        stages = turn.timeline.stages() if turn.timeline is not None else None
        stages = stages or {}
        response = sum(stages.values()) if stages else None
        if turn.number:
            self._metrics.turns.labels(turn.outcome, self._traffic).inc()
        record = TurnRecord(
            call_id=self._call_id,
            number=turn.number,
            started_at=turn.began,
            state_from=turn.state_from,
            state_to=self._state,
            outcome=turn.outcome,
            caller_text=turn.caller_text,
            bot_text=" ".join(turn.bot_texts),
            understood=turn.understood,
            response_s=response,
            endpointing_s=stages.get("endpointing"),
            stt_s=turn.stt_seconds,
            think_s=stages.get("llm"),
            playout_s=stages.get("playout"),
        )
        self._journal.turn_ended(record)
        self._log.info(
            "turn ended",
            turn=turn.number,
            outcome=turn.outcome,
            understood=turn.understood,
            state_from=turn.state_from,
            state_to=self._state,
            response_s=_rounded(response),
            stt_compute_s=_rounded(turn.stt_seconds),
            **{f"{stage}_s": _rounded(seconds) for stage, seconds in stages.items()},
        )

    # -- the end

    def ended(
        self,
        outcome: str,
        ended_by: str,
        slots: Slots,
        recording: str | None,
        now: float,
        *,
        failure: str = "internal",
    ) -> None:
        """The call is over; nothing comes after this. *failure* counts if it failed."""
        self._close()
        duration = now - self._began
        self._count(outcome, failure, duration)
        record = CallEnded(
            call_id=self._call_id,
            ended_at=datetime.now(UTC),
            outcome=outcome,
            ended_by=ended_by,
            reason=slots.problem,
            caller_name=slots.name,
            caller_number=slots.number,
            turns=self._turns,
            transfers=int(outcome == "transferred"),
            recording=recording,
            uses=self._uses(),
            **self._counts,
        )
        self._journal.call_ended(record)
        cost = self._bill.cost
        self.feed.publish(
            duration,
            "ended",
            outcome=outcome,
            cost=cost,
            currency=self._currency,
            uses=[asdict(use) for use in record.uses],
        )
        self._log.info(
            "call ended",
            traffic=self._traffic,
            outcome=outcome,
            failure=failure if outcome == "failed" else None,
            ended_by=ended_by,
            duration_s=_rounded(duration),
            turns=self._turns,
            cost=None if cost is None else round(cost, 6),
            currency=self._currency,
            **self._counts,
        )

    def _count(self, outcome: str, failure: str, duration: float) -> None:
        self._metrics.calls.labels(outcome, self._traffic).inc()
        if outcome == "failed":
            self._metrics.call_failures.labels(failure, self._traffic).inc()
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
            for use in self._bill
        )


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
