"""The figures are right: after turns whose stages are known, every sum and every count is exact."""

from __future__ import annotations

import uuid
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.support.call_stage import NotedJournal
from voicebot.call.ledger import CallLedger
from voicebot.call.lines import CallResult
from voicebot.call.notes import CallNotes
from voicebot.dialogue.slots import Slots
from voicebot.providers.interfaces import Transcript
from voicebot.providers.usage import Bill
from voicebot.telemetry.metrics import RESPONSE_BUCKETS, Metrics
from voicebot.telemetry.tracing import OFF
from voicebot.turns.timeline import STAGES

CALL = uuid.UUID("38cb4678-7fb1-4f3d-968d-396c7cf30c07")
UNIT = 1 / 64  # a power of two: sums of it are exact


class House:
    """One call, and turns with given stages in units of UNIT."""

    def __init__(self, traffic: str = "live", metrics: Metrics | None = None) -> None:
        self.metrics = metrics or Metrics()
        self.journal = NotedJournal()
        self.now = 1000.0
        notes = CallNotes(str(CALL), traffic, OFF.call(CALL.hex), Bill(traffic))
        self.ledger = CallLedger(notes, self.metrics, self.journal, "USD", self.now)  # type: ignore[arg-type]

    def turn(self, endpointing: int, llm: int, tts: int, playout: int) -> None:
        speech_ended = self.now
        self.now += endpointing * UNIT
        self.ledger.caller_said(
            Transcript("oui", 1, 0.9, compute_seconds=0.1), speech_ended, self.now
        )
        self.now += llm * UNIT
        self.ledger.bot_says(("Très bien.",), self.now)
        self.now += tts * UNIT
        self.ledger.audio_ready(self.now)
        self.now += playout * UNIT
        self.ledger.audio_sent(self.now)
        self.ledger.answer_sent(self.now)
        self.now += 2.0
        self.ledger.bot_heard("Très bien.", self.now)
        self.now += 1.0

    def end(self) -> None:
        self.ledger.ended(CallResult(outcome="completed", ended_by="bot"), Slots(), self.now)

    def value(self, name: str, **labels: str) -> float:
        found = self.metrics.registry.get_sample_value(name, labels)
        assert found is not None, f"{name} {labels}"
        return found


STAGE_UNITS = [(32 + n % 7, n % 11, 4 + n % 5, n % 3) for n in range(100)]


def test_a_hundred_turns_with_known_stages_give_exact_sums() -> None:
    house = House()
    for stages in STAGE_UNITS:
        house.turn(*stages)
    house.end()
    name = "voicebot_turn_stage_seconds"
    for index, stage in enumerate(STAGES):
        expected = sum(stages[index] for stages in STAGE_UNITS) * UNIT
        assert house.value(f"{name}_sum", stage=stage, traffic="live") == expected
        assert house.value(f"{name}_count", stage=stage, traffic="live") == 100
    responses = [sum(stages) * UNIT for stages in STAGE_UNITS]
    name = "voicebot_turn_response_seconds"
    assert house.value(f"{name}_sum", traffic="live") == sum(responses)
    assert house.value(f"{name}_count", traffic="live") == 100
    for bound in RESPONSE_BUCKETS:
        below = sum(response <= bound for response in responses)
        assert house.value(f"{name}_bucket", traffic="live", le=str(bound)) == below
    assert house.value("voicebot_turns_total", outcome="answered", traffic="live") == 100
    assert house.value("voicebot_calls_total", outcome="completed", traffic="live") == 1
    assert house.value("voicebot_call_duration_seconds_sum") == house.now - 1000.0
    assert house.value("voicebot_call_first_audio_seconds_count") == 1
    assert [turn.response_s for turn in house.journal.turns[1:]] == responses


@settings(max_examples=30)
@given(st.lists(st.tuples(*[st.integers(0, 500)] * 4), min_size=1, max_size=30))
def test_the_stages_always_add_up_to_the_response(turns: list[tuple[int, int, int, int]]) -> None:
    house = House()
    for stages in turns:
        house.turn(*stages)
    total = sum(
        Fraction(house.value("voicebot_turn_stage_seconds_sum", stage=stage, traffic="live"))
        for stage in STAGES
    )
    assert total == Fraction(house.value("voicebot_turn_response_seconds_sum", traffic="live"))


def test_the_wait_ends_with_the_answer_and_not_with_a_request_for_patience() -> None:
    house = House()
    began = house.now
    house.ledger.caller_said(Transcript("combien ?", 1, 0.9, compute_seconds=0.1), began, began)
    house.ledger.bot_says(("Un instant.",), began + 1.5, filler=1)
    house.ledger.audio_sent(began + 1.5)
    house.ledger.bot_says(("Deux minutes.",), began + 4.0)
    house.ledger.audio_ready(began + 4.5)
    house.ledger.answer_sent(began + 5.0)
    house.end()
    name = "voicebot_turn_stage_seconds_sum"
    found = {stage: house.value(name, stage=stage, traffic="live") for stage in STAGES}
    assert found == {"endpointing": 0.0, "llm": 4.0, "tts": 0.5, "playout": 0.5}
    assert house.value("voicebot_turn_response_seconds_sum", traffic="live") == 5.0


def test_a_request_for_patience_that_nothing_follows_is_no_answer() -> None:
    house = House()
    said = Transcript("combien ?", 1, 0.9, compute_seconds=0.1)
    house.ledger.caller_said(said, house.now, house.now)
    house.ledger.bot_says(("Un instant.",), house.now + 1.5, filler=1)
    house.ledger.audio_sent(house.now + 1.5)
    house.end()
    assert house.value("voicebot_turn_response_seconds_count", traffic="live") == 0
    assert house.journal.turns[1].response_s is None


def test_probes_and_callers_are_counted_side_by_side() -> None:
    metrics = Metrics()
    live, probe = House("live", metrics), House("probe", metrics)
    for stages in STAGE_UNITS[:10]:
        live.turn(*stages)
        probe.turn(*stages)
    live.end()
    probe.end()
    name = "voicebot_turn_response_seconds_sum"
    assert live.value(name, traffic="live") == live.value(name, traffic="probe") > 0
    assert live.value("voicebot_call_duration_seconds_count") == 1


def test_a_slow_turn_leads_to_its_call() -> None:
    house = House()
    house.turn(160, 0, 0, 0)
    text = generate_latest(house.metrics.registry).decode()  # type: ignore[no-untyped-call]
    families = text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
    found = {
        (sample.name, sample.labels.get("stage"), sample.labels.get("le")): sample.exemplar.labels
        for family in families
        for sample in family.samples
        if sample.exemplar is not None
    }
    trace = {"trace_id": CALL.hex}
    assert found["voicebot_turn_response_seconds_bucket", None, "2.5"] == trace
    assert found["voicebot_turn_stage_seconds_bucket", "endpointing", "2.5"] == trace
