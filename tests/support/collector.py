"""A real OpenTelemetry collector (rotel), and what it passes on.

rotel takes OTLP over HTTP from the service and sends it on, by OTLP again, to a receiver of ours
that only decodes. So what is looked at has been understood by a program that is not ours.
"""

from __future__ import annotations

import gzip
import subprocess
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import rotel
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.asterisk import held_port

AGENT = Path(rotel.__file__).with_name("rotel-agent")
START_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class CollectedSpan:
    name: str
    trace_id: str
    span_id: bytes
    parent_id: bytes
    """Empty for a root."""
    start: int
    end: int
    """Nanoseconds since the epoch."""
    attributes: dict[str, Any]
    resource: dict[str, Any]


class Collector:
    """Context manager: takes traces at ``endpoint`` inside. Its files go to *directory*."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._spans: list[CollectedSpan] = []
        self._receiver = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._process: subprocess.Popen[bytes] | None = None
        self.endpoint = ""

    def __enter__(self) -> Self:
        threading.Thread(target=self._receiver.serve_forever, daemon=True).start()
        try:
            self._start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        self._receiver.shutdown()
        self._receiver.server_close()

    def kill(self) -> None:
        """The collector is gone from now on. Idempotent."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def spans(self, trace_id: str, at_least: int, within: float = 20.0) -> list[CollectedSpan]:
        """Those of one trace, once there are enough. Raises AssertionError."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            found = [span for span in list(self._spans) if span.trace_id == trace_id]
            if len(found) >= at_least:
                return found
            time.sleep(0.05)
        log = (self._directory / "rotel.out").read_text()
        raise AssertionError(f"{len(found)} spans of {trace_id} came, not {at_least}\n{log}")

    def _start(self) -> None:
        import socket

        with held_port(socket.SOCK_STREAM) as http, held_port(socket.SOCK_STREAM) as grpc:
            pass
        self.endpoint = f"http://127.0.0.1:{http}"
        with (self._directory / "rotel.out").open("wb") as output:
            self._process = subprocess.Popen(
                [
                    AGENT, "start",
                    "--pid-file", self._directory / "rotel.pid",
                    "--otlp-http-endpoint", f"127.0.0.1:{http}",
                    "--otlp-grpc-endpoint", f"127.0.0.1:{grpc}",
                    "--batch-timeout", "100ms",
                    "--exporter", "otlp", "--otlp-exporter-protocol", "http",
                    "--otlp-exporter-endpoint",
                    f"http://127.0.0.1:{self._receiver.server_address[1]}",
                ],
                stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(self.endpoint, timeout=1)
            except urllib.error.HTTPError:
                return  # it answers; there is nothing at this path
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError(f"rotel: {(self._directory / 'rotel.out').read_text()}")

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        keep = self._spans.extend

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                keep(_decoded(body))
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Not to the tests' output."""

        return Handler


def _decoded(body: bytes) -> list[CollectedSpan]:
    return [
        CollectedSpan(
            span.name, span.trace_id.hex(), span.span_id, span.parent_span_id,
            span.start_time_unix_nano, span.end_time_unix_nano,
            _values(span.attributes), _values(of_one.resource.attributes),
        )
        for of_one in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in of_one.scope_spans
        for span in scope.spans
    ]  # fmt: skip


def _values(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}
