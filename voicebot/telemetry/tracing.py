"""Traces to an OpenTelemetry collector, if there is one; otherwise nothing, not even an import.

A call's trace has its UUID for a trace id, so the id in a log line, in Asterisk's log or in a file
name of the recordings finds the trace, and exemplars and lines have it even when no trace is sent
(docs/decisions/0033). Spans are made when what they tell of is over, from the times that were noted
then; no context is carried along.

Everything that costs (the library's span objects, encoding, the network) happens on a thread. The
event loop puts a tree on a bounded queue, never waits, and at the bound drops and counts it. The
library's own batch processor is not used: it makes its spans on the caller's thread, and nobody can
count what it drops.
"""

from __future__ import annotations

import logging
import queue
import random
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import structlog

from voicebot.telemetry.metrics import Metrics
from voicebot.telemetry.spans import Attributes, Span, is_personal

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter

log = structlog.get_logger(__name__)

MOST_WAITING: Final = 1_000
"""Trees that wait for the collector: some minutes of a full service, about 10 MB."""
MOST_AT_ONCE: Final = 64
"""Trees sent together."""
GATHER_SECONDS: Final = 1.0
"""How long the first tree of a batch waits for others."""
SEND_SECONDS: Final = 5.0
"""Longest that one batch may take, the library's retries included."""
CLOSE_SECONDS: Final = 3.0
"""How long closing waits for the last batch."""

_Item = tuple[int, int, Span, bool]
"""Trace id, the root's span id, tree, whether it is the root itself."""


def trace_id_of(call_id: str) -> str:
    """The W3C trace id of a call: its UUID without the dashes."""
    return call_id.replace("-", "").lower()


class CallTrace:
    """The trace of one call: parts of it as they end, then the whole."""

    def __init__(self, tracing: Tracing, trace_id: str) -> None:
        self._tracing = tracing
        self._trace_id = int(trace_id, 16)
        self._root = random.getrandbits(64) or 1

    @property
    def enabled(self) -> bool:
        """Whether building a tree is worth while."""
        return self._tracing.enabled

    def add(self, span: Span) -> None:
        """A part that is over; it hangs below the root. Never waits."""
        self._tracing.put((self._trace_id, self._root, span, False))

    def end(self, root: Span) -> None:
        """The call is over. Never waits."""
        self._tracing.put((self._trace_id, self._root, root, True))


class Tracing:
    """Off, unless :func:`start` made it. Thread safe."""

    def __init__(self, metrics: Metrics | None = None, sender: _Sender | None = None) -> None:
        self._sender = sender
        self._metrics = metrics
        self._queue: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        if sender is not None:
            self._thread = threading.Thread(target=self._run, name="trace-sender", daemon=True)
            self._thread.start()

    @property
    def enabled(self) -> bool:
        return self._sender is not None

    def call(self, trace_id: str) -> CallTrace:
        """A new call; *trace_id* is 32 hexadecimal digits, not all of them 0."""
        return CallTrace(self, trace_id)

    def put(self, item: _Item) -> None:
        """For :class:`CallTrace`."""
        if self._thread is None:
            return
        if self._queue.qsize() >= MOST_WAITING:
            self._count("lost", item[2].size())
        else:
            self._queue.put(item)

    def close(self, timeout: float = CLOSE_SECONDS) -> None:
        """Send what waits, for as long as *timeout*, and stop. Idempotent."""
        thread, self._thread = self._thread, None
        if thread is None or self._sender is None:
            return
        self._queue.put(None)
        thread.join(timeout)
        self._sender.close()

    def _run(self) -> None:
        assert self._sender is not None, "the thread is started with it"
        going = True
        while going:
            items, going = self._gather()
            if items:
                sent = self._sender.send(items)
                size = sum(item[2].size() for item in items)
                self._count("exported" if sent else "lost", size)

    def _gather(self) -> tuple[list[_Item], bool]:
        """What there is to send, and whether more can come."""
        first = self._queue.get()
        items: list[_Item] = []
        until = time.monotonic() + GATHER_SECONDS
        while first is not None:
            items.append(first)
            if len(items) == MOST_AT_ONCE:
                return items, True
            try:
                first = self._queue.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                return items, True
        return items, False

    def _count(self, outcome: str, spans: int) -> None:
        if self._metrics is not None:
            self._metrics.trace_spans.labels(outcome).inc(spans)


OFF: Final = Tracing()
"""What is used when there is no collector."""


def start(
    endpoint: str,
    headers: Mapping[str, str],
    metrics: Metrics,
    *,
    version: str,
    personal: bool = False,
    exporter: SpanExporter | None = None,
) -> Tracing:
    """Send to the collector at *endpoint* (its base URL), or to *exporter*. Imports the library.

    With *personal*, attributes that may hold what people said are sent too.
    """
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    # Each of its attempts at a dead collector would be a warning; see _Sender.send.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    if exporter is None:
        exporter = OTLPSpanExporter(
            f"{endpoint}/v1/traces", headers=dict(headers), timeout=SEND_SECONDS
        )
    return Tracing(metrics, _Sender(exporter, endpoint, version, personal=personal))


class _Sender:
    """Makes the library's spans of ours, and exports them. For one thread."""

    def __init__(
        self, exporter: SpanExporter, endpoint: str, version: str, *, personal: bool
    ) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
        from opentelemetry.sdk.trace.id_generator import IdGenerator
        from opentelemetry.sdk.trace.sampling import ALWAYS_ON

        made: list[ReadableSpan] = []

        class Collect(SpanProcessor):
            def on_end(self, span: ReadableSpan) -> None:
                made.append(span)

        class Ids(IdGenerator):
            """The call's id for the trace, and a root's id that its children know already."""

            trace = 0
            span = 0

            def generate_trace_id(self) -> int:
                return self.trace

            def generate_span_id(self) -> int:
                taken, self.span = self.span, 0
                return taken or random.getrandbits(64) or 1

        self._made = made
        self._ids = Ids()
        self._exporter = exporter
        self._endpoint = endpoint
        self._personal = personal
        self._works = True
        provider = TracerProvider(
            sampler=ALWAYS_ON,
            resource=Resource.create({"service.name": "voicebot", "service.version": version}),
            id_generator=self._ids,
            shutdown_on_exit=False,
        )
        provider.add_span_processor(Collect())
        self._tracer = provider.get_tracer("voicebot", version)

    def send(self, items: list[_Item]) -> bool:
        """Whether the collector has them. Says so when that changes, not each time."""
        from opentelemetry.sdk.trace.export import SpanExportResult

        try:
            works = self._exporter.export(self._spans(items)) is SpanExportResult.SUCCESS
        except Exception:
            # A library that talks to a network, on a thread that must outlive it.
            log.exception("trace exporter failed", endpoint=self._endpoint)
            works = False
        if works != self._works:
            self._works = works
            if works:
                log.info("collector takes traces again", endpoint=self._endpoint)
            else:
                log.warning("collector takes no traces", endpoint=self._endpoint)
        return works

    def _spans(self, items: list[_Item]) -> list[ReadableSpan]:
        """The library's spans of *items*."""
        from opentelemetry import trace
        from opentelemetry.context import Context

        self._made.clear()
        for trace_id, root, span, is_root in items:
            self._ids.trace = trace_id
            if is_root:
                self._ids.span = root
                self._make(span, Context())
            else:
                parent = trace.SpanContext(
                    trace_id, root, is_remote=False, trace_flags=trace.TraceFlags(1)
                )
                self._make(span, trace.set_span_in_context(trace.NonRecordingSpan(parent)))
        return list(self._made)

    def _make(self, span: Span, context: Any) -> None:
        from opentelemetry import trace

        made = self._tracer.start_span(
            span.name,
            context=context,
            kind=trace.SpanKind.CLIENT if span.client else trace.SpanKind.INTERNAL,
            attributes=self._allowed(span.attributes),
            start_time=_nanoseconds(span.start),
            record_exception=False,
        )
        for moment in span.moments:
            made.add_event(moment.name, self._allowed(moment.attributes), _nanoseconds(moment.at))
        if span.failed:
            made.set_status(trace.StatusCode.ERROR)
        inside = trace.set_span_in_context(made)
        for child in span.children:
            self._make(child, inside)
        made.end(_nanoseconds(max(span.start, span.end)))

    def _allowed(self, attributes: Attributes) -> dict[str, Any]:
        return {
            name: value
            for name, value in attributes.items()
            if value is not None and (self._personal or not is_personal(name))
        }

    def close(self) -> None:
        self._exporter.shutdown()


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1_000_000) * 1_000
