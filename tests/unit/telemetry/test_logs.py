"""Logs: one JSON object a line, nothing personal unless asked for, and never a stalled call."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import subprocess
import sys
import textwrap
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import structlog

from voicebot.telemetry import logs
from voicebot.telemetry.metrics import Metrics

log = structlog.get_logger("test")


class Sink(io.StringIO):
    """A stream that can be a terminal, stall, or break."""

    def __init__(self, *, terminal: bool = False) -> None:
        super().__init__()
        self.terminal = terminal
        self.flowing = threading.Event()
        self.flowing.set()
        self.stalled = threading.Event()
        self.broken = False

    def isatty(self) -> bool:
        return self.terminal

    def write(self, text: str) -> int:
        if self.broken:
            raise BrokenPipeError
        if not self.flowing.is_set():
            self.stalled.set()
            assert self.flowing.wait(10)
        return super().write(text)


@contextmanager
def logging_to(sink: Sink, level: str = "info", fmt: str = "json", **more: Any) -> Iterator[None]:
    output = logs.configure(level, fmt, stream=sink, **more)
    try:
        yield
    finally:
        sink.flowing.set()
        output.close()


def lines(sink: Sink) -> list[dict[str, Any]]:
    return [json.loads(line) for line in sink.getvalue().splitlines()]


def test_a_line_has_the_time_the_level_the_event_and_the_call() -> None:
    sink = Sink()
    with logging_to(sink), structlog.contextvars.bound_contextvars(call_id="c-1"):
        log.info("turn ended", response_s=0.84, said="été")
        log.debug("not wanted")
    (line,) = lines(sink)
    assert list(line)[:3] == ["ts", "level", "event"]
    assert line["ts"].endswith("Z")
    assert line["ts"][10] == "T"
    assert (line["level"], line["event"], line["call_id"]) == ("info", "turn ended", "c-1")
    assert (line["response_s"], line["said"]) == (0.84, "été")
    assert "été" in sink.getvalue()


def test_the_standard_library_logs_in_the_same_way() -> None:
    sink, metrics = Sink(), Metrics()
    with logging_to(sink, metrics=metrics), structlog.contextvars.bound_contextvars(call_id="c-1"):
        logging.getLogger("asyncio").warning("slow callback: %s s", 0.2)
        logging.getLogger("asyncio").info("%s")
        try:
            dict[str, str]()["missing"]
        except KeyError:
            logging.getLogger("asyncio").exception("it broke")
    slow, _, broke = lines(sink)
    assert (slow["event"], slow["logger"]) == ("slow callback: 0.2 s", "asyncio")
    assert (slow["level"], slow["call_id"]) == ("warning", "c-1")
    assert "KeyError: 'missing'" in broke["exception"]
    assert metrics.registry.get_sample_value(
        "voicebot_log_messages_total", {"level": "warning"}
    ) == 1  # fmt: skip


def test_an_exception_is_logged_without_what_the_variables_held() -> None:
    for fmt in ("json", "console"):
        sink = Sink()
        with logging_to(sink, fmt=fmt):
            try:
                heard = "marmotte"
                raise RuntimeError(f"{len(heard)} letters")
            except RuntimeError:
                log.exception("it broke")
        assert "RuntimeError: 8 letters" in sink.getvalue()
        assert '"marmotte"' not in sink.getvalue().replace('heard = "marmotte"', "")


@pytest.mark.parametrize(("transcripts", "times"), [(False, 0), (True, 3)])
def test_what_people_said_is_logged_only_when_asked_for(transcripts: bool, times: int) -> None:
    sink = Sink()
    with logging_to(sink, transcripts=transcripts):
        with structlog.contextvars.bound_contextvars(pii_name="marmotte"):
            log.info("turn ended", pii_caller="marmotte", detail={"pii_text": "marmotte", "n": 1})
        logging.getLogger("x").warning("no", extra={"pii_x": "marmotte"})
    assert sink.getvalue().count("marmotte") == times
    assert lines(sink)[0]["detail"]["n"] == 1


@pytest.mark.parametrize(
    ("fmt", "terminal", "is_json"),
    [("auto", False, True), ("auto", True, False), ("json", True, True), ("console", False, False)],
)
def test_pretty_only_for_people(fmt: str, terminal: bool, is_json: bool) -> None:
    sink = Sink(terminal=terminal)
    with logging_to(sink, fmt=fmt):
        log.info("service ready", port=9090)
    assert sink.getvalue().startswith("{") == is_json
    assert ("\033[" in sink.getvalue()) == (terminal and not is_json)
    assert "service ready" in sink.getvalue()


def test_a_terminal_shows_the_time_of_day_and_no_more_of_an_id_than_is_needed() -> None:
    sink, call_id = Sink(terminal=True), "38cb4678-7fb1-4f3d-968d-396c7cf30c07"
    with logging_to(sink, fmt="console"), structlog.contextvars.bound_contextvars(call_id=call_id):
        log.info("turn ended")
        logging.getLogger("asyncio").warning("slow callback")
    for line in re.sub(r"\033\[[0-9;]*m", "", sink.getvalue()).splitlines():
        assert re.match(r"\d\d:\d\d:\d\d\.\d{3} \[", line)
        assert "call_id=38cb4678 " in f"{line} "
        assert "trace_id" not in line


def test_messages_are_counted_by_level() -> None:
    metrics = Metrics()
    with logging_to(Sink(), metrics=metrics):
        log.info("a")
        log.warning("b")
        log.warning("c")
        log.error("d")
        log.debug("not logged, not counted")
    counted = {
        level: metrics.registry.get_sample_value("voicebot_log_messages_total", {"level": level})
        for level in ("debug", "info", "warning", "error", "critical")
    }
    assert counted == {"debug": 0, "info": 1, "warning": 2, "error": 1, "critical": 0}


def test_a_stalled_stream_delays_nobody_and_the_gap_is_marked_where_it_is() -> None:
    sink, metrics = Sink(), Metrics()
    with logging_to(sink, metrics=metrics, capacity=3):
        sink.flowing.clear()
        log.info("before")
        assert sink.stalled.wait(10)
        for number in range(10):
            log.info("line", number=number)
        assert metrics.registry.get_sample_value("voicebot_log_dropped_lines_total") == 7
        sink.flowing.set()
        while len(sink.getvalue().splitlines()) < 4:
            sink.stalled.wait(0.001)
        log.info("after")
    events = [(line["event"], line.get("number"), line.get("count")) for line in lines(sink)]
    assert events == [
        ("before", None, None),
        ("line", 0, None),
        ("line", 1, None),
        ("line", 2, None),
        ("log lines dropped", None, 7),
        ("after", None, None),
    ]


def test_lines_lost_at_the_very_end_are_told_too() -> None:
    sink = Sink()
    with logging_to(sink, capacity=1):
        sink.flowing.clear()
        log.info("before")
        assert sink.stalled.wait(10)
        log.info("kept")
        log.info("lost")
    assert [line["event"] for line in lines(sink)] == ["before", "kept", "log lines dropped"]


def test_a_broken_stream_is_survived_and_counted() -> None:
    sink, metrics = Sink(), Metrics()
    with logging_to(sink, metrics=metrics):
        sink.broken = True
        log.info("lost")
    assert metrics.registry.get_sample_value("voicebot_log_dropped_lines_total") == 1


def test_a_stream_that_never_flows_again_does_not_hold_up_the_exit() -> None:
    sink = Sink()
    writer = logs.LineWriter(sink, report=str)
    sink.flowing.clear()
    writer.put("stuck")
    assert not writer.close(timeout=0.01)
    sink.flowing.set()
    assert writer.close(timeout=10)


def test_a_second_configuration_replaces_the_first() -> None:
    first, second = Sink(), Sink()
    with logging_to(first):
        log.info("one")
        logging.getLogger("x").warning("one")
        with logging_to(second):
            log.info("two")
            logging.getLogger("x").warning("two")
    assert [line["event"] for line in lines(first)] == ["one", "one"]
    assert [line["event"] for line in lines(second)] == ["two", "two"]


def test_warnings_become_log_lines() -> None:
    sink = Sink()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        with logging_to(sink):
            warnings.warn("old thing", DeprecationWarning, stacklevel=1)
    (line,) = lines(sink)
    assert "old thing" in line["event"]


PROGRAM = """
    import structlog
    from voicebot.telemetry import logs
    logs.configure("info", "auto")
    for number in range(200):
        structlog.get_logger().info("line", number=number)
"""


def test_all_is_flushed_at_exit() -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM)],
        stderr=subprocess.PIPE, text=True, check=True, env={**os.environ, "PYTHONWARNINGS": ""},
    )  # fmt: skip
    assert [json.loads(line)["number"] for line in done.stderr.splitlines()] == list(range(200))


def test_a_real_pipe_that_nobody_reads_delays_nobody() -> None:
    """The kernel takes 64 KiB, then write() waits for ever: the writer thread does, nobody else."""
    reading, writing = os.pipe()
    metrics, capacity = Metrics(), 500
    sizes = 2_000
    with open(writing, "w", encoding="utf-8") as stream:  # noqa: PTH123 -- a file descriptor
        output = logs.configure("info", "json", metrics, stream=stream, capacity=capacity)
        for number in range(sizes):
            log.info("turn ended", turn=number, padding="x" * 100)
        dropped = metrics.registry.get_sample_value("voicebot_log_dropped_lines_total")
        assert dropped is not None
        # All that the pipe and the queue did not take; a line is 200 bytes.
        assert sizes - capacity - 400 <= dropped < sizes - capacity
        drained = threading.Thread(target=drain, args=(reading,), daemon=True)
        drained.start()
        output.close()
    drained.join(10)
    assert not drained.is_alive()


def drain(descriptor: int) -> None:
    with os.fdopen(descriptor, "rb") as pipe:
        pipe.read()
