"""Traces: nothing personal by its name, nothing that waits, nothing lost without being counted."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from voicebot.telemetry import spans, tracing
from voicebot.telemetry.metrics import Metrics
from voicebot.telemetry.spans import Moment, Span

SAFE = {
    "voicebot.call.id", "voicebot.call.traffic", "voicebot.call.outcome", "voicebot.call.failure",
    "voicebot.call.ended_by", "voicebot.call.turns", "voicebot.call.cost",
    "voicebot.turn.number", "voicebot.turn.outcome", "voicebot.turn.response_seconds",
    "voicebot.turn.understood_by", "voicebot.turn.state_from", "voicebot.turn.state_to",
    "voicebot.turn.confidence",
    "voicebot.audio.first_seconds", "voicebot.audio.heard_seconds", "voicebot.audio.interrupted",
    "voicebot.audio.underruns", "voicebot.audio.late_frames",
    "gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model",
    "gen_ai.request.stream", "gen_ai.conversation.id", "gen_ai.response.time_to_first_chunk",
    "gen_ai.usage.input_tokens", "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.output_tokens", "voicebot.request.outcome", "error.type",
}  # fmt: skip
"""Somebody has thought about each of these: it holds no word of a caller's, no name, no number."""

NAMES = {
    name: value for name, value in vars(spans).items() if name.isupper() and isinstance(value, str)
}


@pytest.mark.parametrize("constant", NAMES)
def test_an_attribute_is_known_to_be_safe_or_says_that_it_is_personal(constant: str) -> None:
    name = NAMES[constant]
    assert (name in SAFE) != spans.is_personal(name), (
        f"{constant}: put it on the list, or name it pii"
    )


def test_the_list_has_nothing_that_is_gone() -> None:
    assert set(NAMES.values()) >= SAFE


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "GATHER_SECONDS", 0.05)
    monkeypatch.setattr(tracing, "SEND_SECONDS", 1.0)


CALL = uuid.UUID("38cb4678-7fb1-4f3d-968d-396c7cf30c07")
TREE = Span(
    "turn", 1000.0, 1002.5,
    {spans.TURN_NUMBER: 1, spans.TURN_RESPONSE: None, spans.TURN_PII_CALLER: "marmotte"},
    [Span("llm", 1000.5, 1001.0), Span("chat m", 1000.5, 1000.9, client=True, failed=True)],
    [Moment("barge_in", 1002.0, {spans.HEARD: 0.5})],
)  # fmt: skip


def sent(exporter: SpanExporter, *, personal: bool = False) -> Metrics:
    """TREE and its root, by *exporter*."""
    metrics = Metrics()
    sender = tracing.start(
        "http://x", {}, metrics, version="7", personal=personal, exporter=exporter
    )
    trace = sender.call(tracing.trace_id_of(str(CALL)))
    assert trace.enabled
    trace.add(TREE)
    trace.end(Span("call", 999.0, 1003.0, {spans.CALL_ID: str(CALL)}))
    sender.close()
    return metrics


class Kept(InMemorySpanExporter):
    def shutdown(self) -> None:
        """Keeps what it has."""


def count(metrics: Metrics, outcome: str) -> float | None:
    return metrics.registry.get_sample_value("voicebot_trace_spans_total", {"outcome": outcome})


def test_a_tree_becomes_spans_with_their_own_times() -> None:
    exporter = Kept()
    metrics = sent(exporter)
    found = {span.name: span for span in exporter.get_finished_spans()}
    assert set(found) == {"call", "turn", "llm", "chat m"}
    assert found["call"].context.trace_id == CALL.int
    assert found["call"].parent is None
    assert found["turn"].parent.span_id == found["call"].context.span_id
    assert found["llm"].parent.span_id == found["turn"].context.span_id
    assert (found["llm"].start_time, found["llm"].end_time) == (
        1_000_500_000_000,
        1_001_000_000_000,
    )
    assert dict(found["turn"].attributes) == {spans.TURN_NUMBER: 1}
    assert found["turn"].events[0].timestamp == 1_002_000_000_000
    assert found["chat m"].status.status_code.name == "ERROR"
    assert found["llm"].status.is_unset
    assert found["turn"].resource.attributes["service.version"] == "7"
    assert (count(metrics, "exported"), count(metrics, "lost")) == (4, 0)


def test_personal_attributes_are_sent_when_asked_for() -> None:
    exporter = Kept()
    sent(exporter, personal=True)
    (turn,) = [span for span in exporter.get_finished_spans() if span.name == "turn"]
    assert turn.attributes[spans.TURN_PII_CALLER] == "marmotte"


def test_without_an_endpoint_there_is_nothing() -> None:
    trace = tracing.OFF.call(CALL.hex)
    assert not trace.enabled
    trace.add(TREE)
    trace.end(TREE)
    tracing.OFF.close()
    code = (
        "import sys, voicebot.service, voicebot.telemetry.tracing as t\n"
        "t.OFF.call('1' * 32)\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('opentelemetry', 'requests')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


class Stuck(SpanExporter):
    """A collector that takes the connection and answers nothing."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.let_go = threading.Event()
        self.result: Callable[[], SpanExportResult] = lambda: SpanExportResult.SUCCESS

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.entered.set()
        assert self.let_go.wait(20)
        return self.result()


def test_a_collector_that_hangs_stops_nobody_and_what_is_dropped_is_counted() -> None:
    exporter, metrics = Stuck(), Metrics()
    sender = tracing.start("http://x", {}, metrics, version="1", exporter=exporter)
    trace = sender.call(CALL.hex)
    trace.add(TREE)
    assert exporter.entered.wait(10)
    for _ in range(tracing.MOST_WAITING + 50):
        trace.add(TREE)
    assert count(metrics, "lost") == 50 * TREE.size()
    exporter.let_go.set()
    sender.close(20)
    assert count(metrics, "exported") == (1 + tracing.MOST_WAITING) * TREE.size()


def test_a_collector_that_refuses_is_told_of_once(capfd: pytest.CaptureFixture[str]) -> None:
    for fails in (lambda: SpanExportResult.FAILURE, lambda: 1 / 0):
        exporter, metrics = Stuck(), Metrics()
        exporter.result = fails  # type: ignore[assignment]
        exporter.let_go.set()
        sender = tracing.start("http://x", {}, metrics, version="1", exporter=exporter)
        for _ in range(3):
            sender.call(CALL.hex).add(TREE)
            deadline = time.monotonic() + 10
            before = count(metrics, "lost") or 0
            while (count(metrics, "lost") or 0) == before and time.monotonic() < deadline:
                time.sleep(0.01)
        assert count(metrics, "lost") == 3 * TREE.size()
        sender.close()
        assert capfd.readouterr().out.count("collector takes no traces") == 1


def test_nobody_listens_at_the_endpoint() -> None:
    """The real exporter, a real port: refused at once, tried again by the library, then lost."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        metrics = Metrics()
        sender = tracing.start(f"http://127.0.0.1:{port}", {}, metrics, version="1")
        sender.call(CALL.hex).add(TREE)
        sender.close(10)
        assert count(metrics, "lost") == TREE.size()
