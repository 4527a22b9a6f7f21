"""A call as a trace, by the real session and the real OpenTelemetry SDK. Speech is scripted."""

from __future__ import annotations

import asyncio
import json
import re
import time
import uuid
from collections.abc import Callable, Iterator
from io import StringIO
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import generate_latest

from tests.support import virtual_time
from tests.support.call_stage import CallStage, ScriptedStt, ScriptedTts
from voicebot.providers import instrumented
from voicebot.telemetry import logs, spans, tracing
from voicebot.telemetry.metrics import Metrics
from voicebot.turns.timeline import STAGES

MARKER = "marmotte"
WORDS = [
    f"J'ai un problème avec mon internet, {MARKER}.",
    "Pierre Dupont, 06 12 34 56 78.",
    "Oui, c'est ça.",
    "Oui, ça marche !",
]


@pytest.fixture(autouse=True)
def one_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Providers are timed on the loop's clock, which is virtual here."""
    clock = SimpleNamespace(monotonic=lambda: asyncio.get_running_loop().time())
    monkeypatch.setattr(instrumented, "time", clock)


class Traced:
    """What one call told of itself."""

    def __init__(
        self,
        tell: Callable[[CallStage], Any],
        *,
        personal: bool = False,
        stt: ScriptedStt | None = None,
        tts: ScriptedTts | None = None,
        call_id: uuid.UUID | None = None,
    ) -> None:
        self.call_id = call_id or uuid.uuid4()
        self.exporter = InMemorySpanExporter()
        self.metrics = Metrics()
        sender = tracing.start(
            "http://nowhere", {}, self.metrics, version="1", personal=personal,
            exporter=self.exporter,
        )  # fmt: skip

        async def story() -> None:
            stage = CallStage(
                stt or ScriptedStt(list(WORDS)), tts=tts, call_id=self.call_id, tracing=sender,
                metrics=self.metrics, measured=True,
            )  # fmt: skip
            await stage.start()
            await tell(stage)
            await stage.session.released()
            self.stage = stage

        virtual_time.run(story())
        self.flush(sender)
        self.spans: list[ReadableSpan] = list(self.exporter.get_finished_spans())

    @staticmethod
    def flush(sender: tracing.Tracing) -> None:
        # The exporter forgets its spans when it is shut down in earnest.
        sender._sender._exporter.shutdown = lambda: None  # type: ignore[union-attr, method-assign]
        sender.close()

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == name]

    def below(self, parent: ReadableSpan) -> list[ReadableSpan]:
        return [s for s in self.spans if s.parent and s.parent.span_id == parent.context.span_id]

    def exported(self, outcome: str = "exported") -> float | None:
        return self.metrics.registry.get_sample_value(
            "voicebot_trace_spans_total", {"outcome": outcome}
        )


async def whole_call(stage: CallStage) -> None:
    for _ in range(3):
        await stage.answer()
    await stage.listen_until_silent()  # the advice
    await stage.listen(2.2)  # its pause
    await stage.answer()
    await stage.listen_until_silent()


async def one_turn(stage: CallStage) -> None:
    await stage.answer()
    await stage.listen_until_silent()
    await stage.hang_up()


def test_the_bot_that_spoke_before_the_words_were_known_speaks_in_their_turn_too() -> None:
    """Slow words: "un instant" begins in the turn before, and goes on in the one they open."""
    call = Traced(one_turn, stt=ScriptedStt([WORDS[0]], delay=1.6))
    (turn,) = call.named("turn")
    (spoken,) = [span for span in call.below(turn) if span.name == "speaking"]
    before = [span for span in call.named("speaking") if span is not spoken]
    assert max(span.end_time for span in before) == spoken.start_time
    assert spoken.end_time - spoken.start_time > 1e9


def test_one_call_is_one_tree_and_its_id_is_the_calls() -> None:
    call = Traced(whole_call)
    assert {span.context.trace_id for span in call.spans} == {call.call_id.int}
    ids = [span.context.span_id for span in call.spans]
    assert len(set(ids)) == len(ids)
    (root,) = [span for span in call.spans if span.parent is None]
    assert root.name == "call"
    orphans = [span.name for span in call.spans if span.parent and span.parent.span_id not in ids]
    assert orphans == []
    children = call.below(root)
    assert sorted(span.name for span in children) == ["greeting", "hangup", *["turn"] * 4]
    turns = sorted(call.named("turn"), key=lambda span: span.start_time or 0)
    assert [turn.attributes[spans.TURN_NUMBER] for turn in turns] == [1, 2, 3, 4]
    for turn in turns:
        names = [span.name for span in call.below(turn)]
        assert set(STAGES) < set(names)
        assert "speech_to_text local" in names
        assert "speaking" in names
    readback = [span.name for span in call.below(turns[1])]
    assert "text_to_speech local" in readback
    assert root.attributes[spans.CALL_OUTCOME] == "completed"
    assert root.attributes[spans.CALL_TRAFFIC] == "live"
    assert call.exported() == len(call.spans)
    assert call.exported("lost") == 0


def test_the_stages_tile_the_turn_and_parents_hold_their_children() -> None:
    call = Traced(whole_call)
    by_id = {span.context.span_id: span for span in call.spans}
    for span in call.spans:
        assert span.start_time <= span.end_time
        if span.parent is not None:
            parent = by_id[span.parent.span_id]
            assert parent.start_time - 1_000_000 <= span.start_time, span.name
            assert span.end_time <= parent.end_time + 1_000_000, span.name
    for turn in call.named("turn"):
        stages = {span.name: span for span in call.below(turn) if span.name in STAGES}
        in_order = [stages[name] for name in STAGES]
        for before, after in pairwise(in_order):
            assert before.end_time == pytest.approx(after.start_time, abs=2_000)
        response = turn.attributes[spans.TURN_RESPONSE]
        assert (in_order[-1].end_time - in_order[0].start_time) / 1e9 == pytest.approx(
            response, abs=1e-5
        )
        recorded = call.stage.journal.turns[turn.attributes[spans.TURN_NUMBER]]
        assert response == pytest.approx(recorded.response_s)


def test_a_request_is_described_by_the_conventions() -> None:
    call = Traced(whole_call, tts=ScriptedTts(delay=0.4))
    (voice,) = call.named("text_to_speech local")
    assert voice.kind.name == "CLIENT"
    found = dict(voice.attributes)
    first = found.pop(spans.GEN_AI_FIRST_CHUNK)
    assert first == pytest.approx(0.4, abs=0.01)
    assert found == {
        "gen_ai.operation.name": "text_to_speech",
        "gen_ai.provider.name": "local",
        "gen_ai.request.model": "local",
        "gen_ai.request.stream": True,
        "gen_ai.conversation.id": str(call.call_id),
        "voicebot.request.outcome": "ok",
    }
    assert voice.status.is_unset


def test_a_failed_provider_is_an_error_and_a_cancelled_one_is_not() -> None:
    call = Traced(one_turn, stt=ScriptedStt([None]))
    (turn,) = call.named("turn")
    assert turn.attributes[spans.TURN_OUTCOME] == "failed"
    (failed,) = [span for span in call.below(turn) if span.name == "speech_to_text local"]
    assert failed.status.status_code.name == "ERROR"
    assert failed.attributes[spans.ERROR_TYPE] == "ProviderError"

    async def hang_up_at_once(stage: CallStage) -> None:
        await stage.listen_until_silent()
        await stage.say(1.0)
        await stage.listen(0.3)
        await stage.hang_up()

    call = Traced(hang_up_at_once, stt=ScriptedStt([...]))
    (cancelled,) = call.named("speech_to_text local")
    assert cancelled.attributes[spans.REQUEST_OUTCOME] == "cancelled"
    assert cancelled.status.is_unset


def test_a_barge_in_is_an_event_with_what_was_heard() -> None:
    async def interrupt(stage: CallStage) -> None:
        await stage.listen(1.0)
        await stage.say(1.0)
        await stage.listen(1.2)
        await stage.hang_up()

    call = Traced(interrupt, stt=ScriptedStt(["Ma box ne marche plus."]))
    (greeting,) = call.named("greeting")
    (event,) = greeting.events
    assert event.name == "barge_in"
    assert event.attributes[spans.HEARD] == pytest.approx(1.2, abs=0.15)
    spoken = [span for span in call.below(greeting) if span.name == "speaking"]
    assert [span.attributes[spans.INTERRUPTED] for span in spoken] == [True]


@pytest.fixture
def log_lines() -> Iterator[StringIO]:
    sink = StringIO()
    output = logs.configure("info", "json", stream=sink)
    yield sink
    output.close()


@pytest.mark.parametrize("personal", [False, True])
def test_what_was_said_is_in_no_span_unless_asked_for(personal: bool) -> None:
    call = Traced(whole_call, personal=personal)
    everything = "".join(span.to_json() for span in call.spans)
    for word in (MARKER, "Dupont", "06 12"):
        assert (word in everything) == personal, word


def test_what_was_said_is_in_no_metric_and_no_line(log_lines: StringIO) -> None:
    call = Traced(whole_call)
    text = generate_latest(call.metrics.registry).decode()
    _wait_for_line(log_lines, "call ended")
    for word in (MARKER, "Dupont", "06 12", "0612345678"):
        assert word not in text
        assert word not in log_lines.getvalue()


def test_the_canonical_lines_have_all_their_fields(log_lines: StringIO) -> None:
    call = Traced(whole_call)
    _wait_for_line(log_lines, "call ended")
    lines = [json.loads(line) for line in log_lines.getvalue().splitlines()]
    turns = [line for line in lines if line["event"] == "turn ended"]
    (ended,) = [line for line in lines if line["event"] == "call ended"]
    ids = (str(call.call_id), call.call_id.hex)
    assert {(line.get("call_id"), line.get("trace_id")) for line in lines} == {ids}
    assert [line["turn"] for line in turns] == [0, 1, 2, 3, 4]
    for line in turns[1:]:
        assert set(line) == COMMON | documented("turn ended")
        assert sum(line[f"{stage}_s"] for stage in STAGES) == pytest.approx(
            line["response_s"], abs=0.003
        )
        assert line["stt_provider"] == "local"
        assert line["heard_s"] > 0.5
    assert turns[2]["tts_provider"] == "local"  # the name and number are read back
    assert turns[0]["response_s"] is None
    assert set(ended) == COMMON | documented("call ended")
    assert (ended["outcome"], ended["failure"], ended["turns"]) == ("completed", None, 4)


def documented(section: str) -> set[str]:
    """The fields that docs/reference/logs.md lists for a line."""
    page = (Path(__file__).parents[2] / "docs/reference/logs.md").read_text(encoding="utf-8")
    table = page.split(f"\n## {section}\n")[1].split("\n## ")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


COMMON = {"ts", "level", "event", "call_id", "trace_id"}


def _wait_for_line(sink: StringIO, event: str) -> None:
    """Lines are written by a thread."""
    for _ in range(200):
        if f'"event": "{event}"' in sink.getvalue():
            return
        time.sleep(0.01)
    raise AssertionError(f"no line {event!r}")
