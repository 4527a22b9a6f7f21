"""Structured logs: one JSON object a line on standard error, and nothing that can stop a call.

structlog and the standard library's ``logging`` end in the same renderer, so a line of asyncio or
SQLAlchemy looks like ours. Every line has ``ts`` (ISO 8601, UTC), ``level`` and ``event``, and all
that the task bound with ``structlog.contextvars`` (the call's ``call_id``). A line with a
``call_id`` has the call's ``trace_id`` as well. On a terminal a line is for people: the time of day
there, and of the ids the first eight characters of the call's, which every command takes.

A terminal that is paused or a pipe nobody reads blocks whoever writes to it. The event loop must
not be that one, so lines go through a bounded queue to a thread; see :class:`LineWriter`.

Keys that start with ``pii_`` hold what people said or who they are, and are removed unless
``LOG_TRANSCRIPTS`` is true. That is the only place this is decided: call sites always pass them.
"""

from __future__ import annotations

import atexit
import logging
import queue
import sys
import threading
from collections.abc import Callable, MutableMapping
from datetime import datetime
from typing import Any, TextIO

import structlog

from voicebot.telemetry.metrics import Metrics
from voicebot.telemetry.tracing import trace_id_of

CAPACITY = 5_000
"""Lines held while standard error is stalled: some minutes of a busy service, about 2 MB."""
FLUSH_SECONDS = 2.0
"""How long closing waits for a stalled standard error before what is left is given up."""

SHOWN_OF_ID = 8
"""Characters of a call's id on a terminal."""

_Event = MutableMapping[str, Any]
_Processor = Callable[[Any, str, _Event], Any]

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class LineWriter:
    """Writes lines to *stream* from a thread of its own; :meth:`put` never waits.

    At *capacity* lines a new one is dropped and counted. The next line that finds room is preceded
    by one from *report* that says how many are missing, so the gap is marked where it is.
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        report: Callable[[int], str],
        on_drop: Callable[[], None] = lambda: None,
        capacity: int = CAPACITY,
    ) -> None:
        self._stream = stream
        self._report = report
        self._on_drop = on_drop
        self._capacity = capacity
        # Reentrant, both: the garbage collector may run a finaliser that logs while we log.
        self._queue: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._lock = threading.RLock()
        self._dropped = 0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def put(self, line: str) -> None:
        """Take one line, without its newline. From any thread."""
        if self._closed:
            return
        with self._lock:
            full = self._queue.qsize() >= self._capacity
            if full:
                self._dropped += 1
            else:
                self._mark_gap()
                self._queue.put(line)
        if full:
            self._on_drop()

    def close(self, timeout: float = FLUSH_SECONDS) -> bool:
        """Write what is queued and stop. False if the stream did not take it in *timeout* s."""
        self._closed = True
        with self._lock:
            self._mark_gap()
            self._queue.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _mark_gap(self) -> None:
        if self._dropped:
            count, self._dropped = self._dropped, 0
            self._queue.put(self._report(count))

    def _run(self) -> None:
        while (line := self._queue.get()) is not None:
            self._write(line)

    def _write(self, line: str) -> None:
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            # Nobody reads any more (closed pipe), and there is nowhere left to say so.
            self._on_drop()


class _Logger:
    """What structlog calls with the rendered line; one method for each level name."""

    def __init__(self, writer: LineWriter) -> None:
        self.msg = writer.put
        self.debug = self.info = self.warning = self.error = self.critical = writer.put
        self.exception = writer.put


class _StdlibHandler(logging.Handler):
    """Sends records of the standard library through the same writer."""

    def __init__(self, writer: LineWriter) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._writer.put(self.format(record))
        except (TypeError, ValueError):
            self.handleError(record)  # a faulty format string in somebody else's call


_TALKATIVE = ("deepgram", "httpcore", "httpcore2", "httpx", "httpx2", "openai", "websockets")
"""Libraries that log each request, and at level debug what is in it, which is what people say."""


class LogOutput:
    """What :func:`configure` set up. Close it last; closing twice is harmless."""

    def __init__(self, writer: LineWriter, handler: logging.Handler) -> None:
        self._writer = writer
        self._handler = handler

    def close(self) -> None:
        """Flush, and put ``logging`` and structlog back as they were."""
        atexit.unregister(self.close)
        root = logging.getLogger()
        if self._handler in root.handlers:
            root.removeHandler(self._handler)
            logging.captureWarnings(False)
            structlog.reset_defaults()
        self._writer.close()


def configure(
    level: str,
    fmt: str,
    metrics: Metrics | None = None,
    *,
    transcripts: bool = False,
    stream: TextIO | None = None,
    capacity: int = CAPACITY,
) -> LogOutput:
    """Send all logs of this process to *stream* (standard error).

    *level* and *fmt* are the values of ``LOG_LEVEL`` and ``LOG_FORMAT``. Flushed at exit, or by
    :meth:`LogOutput.close`.
    """
    stream = sys.stderr if stream is None else stream
    terminal = stream.isatty()
    console = fmt == "console" or (fmt == "auto" and terminal)
    render = _renderers(console=console, colors=terminal)
    for_machines: list[_Processor] = [
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        add_trace_id,
    ]
    shared: list[_Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        *((for_people,) if console else for_machines),
        *([] if metrics is None else [_counting(metrics)]),
        *([] if transcripts else [drop_personal]),
    ]
    writer = LineWriter(
        stream,
        report=lambda count: _dropped_line([*shared, *render], count),
        on_drop=(lambda: None) if metrics is None else metrics.log_dropped.inc,
        capacity=capacity,
    )
    logger = _Logger(writer)
    structlog.configure(
        processors=[*shared, *render],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=lambda *_: logger,
        cache_logger_on_first_use=False,  # module-level loggers must follow a later configure()
    )
    output = LogOutput(writer, _route_stdlib(writer, shared, render, level))
    atexit.register(output.close)
    return output


def add_trace_id(_logger: Any, _method: str, event: _Event) -> _Event:
    """Processor: the trace of the call that the line is about."""
    call_id = event.get("call_id")
    if call_id is not None:
        event["trace_id"] = trace_id_of(str(call_id))
    return event


def for_people(_logger: Any, _method: str, event: _Event) -> _Event:
    """Processor: what somebody who watches a terminal wants to know of time and call."""
    event["ts"] = f"{datetime.now().astimezone():%H:%M:%S.%f}"[:-3]  # to the millisecond
    if (call_id := event.get("call_id")) is not None:
        event["call_id"] = str(call_id)[:SHOWN_OF_ID]
    return event


def drop_personal(_logger: Any, _method: str, event: _Event) -> _Event:
    """Processor: remove every key that starts with ``pii_``, at any depth of dictionaries."""
    for key in [key for key in event if str(key).startswith("pii_")]:
        del event[key]
    for key, value in event.items():
        if isinstance(value, dict):
            event[key] = drop_personal(_logger, _method, dict(value))
    return event


def _counting(metrics: Metrics) -> _Processor:
    children = {
        level: metrics.log_messages.labels(level)
        for level in ("debug", "info", "warning", "error", "critical")
    }

    def count(_logger: Any, _method: str, event: _Event) -> _Event:
        children[event["level"]].inc()
        return event

    return count


def _renderers(*, console: bool, colors: bool) -> list[_Processor]:
    if console:
        return [
            structlog.dev.ConsoleRenderer(
                colors=colors,
                timestamp_key="ts",
                # Not the pretty one: it prints local variables, and those hold what people said.
                exception_formatter=structlog.dev.plain_traceback,
            )
        ]
    return [
        structlog.processors.format_exc_info,
        _common_keys_first,
        structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
    ]


def _common_keys_first(_logger: Any, _method: str, event: _Event) -> _Event:
    first = {key: event.pop(key) for key in ("ts", "level", "event") if key in event}
    return {**first, **event}


def _dropped_line(chain: list[_Processor], count: int) -> str:
    event: Any = {"event": "log lines dropped", "count": count}
    for processor in chain:
        event = processor(None, "warning", event)
    return str(event)


def _route_stdlib(
    writer: LineWriter, shared: list[_Processor], render: list[_Processor], level: str
) -> logging.Handler:
    handler = _StdlibHandler(writer)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    root = logging.getLogger()
    for old in [h for h in root.handlers if isinstance(h, _StdlibHandler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(_LEVELS[level])
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(True)
    return handler
