"""The control API, over real sockets: what Asterisk, Prometheus and an operator get to see."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any
from uuid import UUID

import pytest

from voicebot.control import api
from voicebot.control import server as web
from voicebot.control.api import ControlApp, ControlError, ControlServer
from voicebot.telemetry.feed import CallFeed, Subscription
from voicebot.telemetry.metrics import Metrics

CALL = UUID("3f2a7f0e-8a4b-4a53-9a56-1f1d0a6ad777")
OTHER = UUID(int=1)


class Service:
    """A service as the control API sees it."""

    def __init__(self) -> None:
        self.age = 0.01
        self.state = (True, "")
        self.steps = {CALL: "hangup"}
        self.feeds = {CALL: CallFeed()}
        self.drains = 0
        self.learned: int | None = 2
        self.fault: Exception | None = None

    def heartbeat_age(self) -> float:
        return self.age

    def ready(self) -> tuple[bool, str]:
        return self.state

    def active_calls(self) -> Sequence[dict[str, Any]]:
        return [{"call_id": str(call), "state": "welcome"} for call in self.feeds]

    def next_step(self, call_id: UUID) -> str:
        if self.fault:
            raise self.fault
        return self.steps.get(call_id, "transfer")

    def subscribe(self, call_id: UUID) -> Subscription | None:
        feed = self.feeds.get(call_id)
        return feed.subscribe() if feed else None

    def release_learned(self) -> int | None:
        return self.learned

    def request_drain(self) -> None:
        self.drains += 1


@contextmanager
def serving(service: Service, metrics: Metrics | None = None) -> Iterator[int]:
    app = ControlApp(service, (metrics or Metrics()).registry)
    server = ControlServer("127.0.0.1", 0, app)
    server.start()
    try:
        yield server.port
    finally:
        server.stop()
        assert not [t for t in threading.enumerate() if t.name.startswith("control")]


class Reply:
    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.type = response.headers["Content-Type"]
        self.allow = response.headers["Allow"]
        self.text = response.read().decode()


def ask(port: int, path: str, method: str = "GET", **headers: str) -> Reply:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request(method, path, headers=headers)
        with connection.getresponse() as response:
            return Reply(response)


def raw(port: int, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: client.recv(65536), b""))


def test_health_follows_the_heartbeat_of_the_loop() -> None:
    service = Service()
    with serving(service) as port:
        assert ask(port, "/healthz").status == 200
        service.age = 5.0
        hung = ask(port, "/healthz")
    assert hung.status == 503
    assert "5.0 s" in hung.text


def test_readiness_says_why_not() -> None:
    service = Service()
    with serving(service) as port:
        assert ask(port, "/readyz").status == 200
        service.state = (False, "full: 20 of 20 calls")
        full = ask(port, "/readyz")
    assert (full.status, full.text) == (503, "full: 20 of 20 calls\n")


def test_the_exchange_learns_what_to_do_with_a_caller() -> None:
    with serving(Service()) as port:
        known = ask(port, f"/v1/calls/{CALL}/next")
        # Exactly this text: the dialplan compares it.
        assert (known.status, known.text, known.type) == (
            200, "hangup", "text/plain; charset=utf-8",
        )  # fmt: skip
        assert ask(port, f"/v1/calls/{OTHER}/next").text == "transfer"
        assert ask(port, "/v1/calls/nonsense/next").text == "transfer"


def test_a_fault_never_hangs_up_on_a_caller() -> None:
    service = Service()
    service.fault = RuntimeError("bug")
    with serving(service) as port:
        reply = ask(port, f"/v1/calls/{CALL}/next")
        assert (reply.status, reply.text) == (500, "internal error; see the log\n")
        assert ask(port, "/healthz").status == 200


def test_active_calls_are_listed() -> None:
    with serving(Service()) as port:
        reply = ask(port, "/v1/calls")
    assert reply.type == "application/json"
    assert json.loads(reply.text) == {"calls": [{"call_id": str(CALL), "state": "welcome"}]}


def test_metrics_come_in_the_format_that_is_asked_for() -> None:
    with serving(Service(), Metrics()) as port:
        plain = ask(port, "/metrics")
        modern = ask(port, "/metrics", Accept="application/openmetrics-text;version=1.0.0")
    assert plain.type.startswith("text/plain; version=")
    assert 'voicebot_calls_total{outcome="completed",traffic="live"} 0.0' in plain.text
    assert modern.type.startswith("application/openmetrics-text; version=1.0.0")
    assert modern.text.endswith("# EOF\n")


def test_draining_is_asked_for_by_post_only() -> None:
    service = Service()
    with serving(service) as port:
        wrong = ask(port, "/v1/drain")
        assert (wrong.status, wrong.allow, service.drains) == (405, "POST", 0)
        assert ask(port, "/v1/drain", "POST").status == 202
    assert service.drains == 1


def test_learnt_sentences_are_let_go_of_by_post_only() -> None:
    service = Service()
    with serving(service) as port:
        assert ask(port, "/v1/learned/release").status == 405
        assert json.loads(ask(port, "/v1/learned/release", "POST").text) == {"released": 2}
        service.learned = None
        assert ask(port, "/v1/learned/release", "POST").status == 503


@pytest.mark.parametrize("path", ["/", "/nope", "/v1/calls/x", f"/v1/calls/{CALL}/nope", "//", "*"])
def test_an_unknown_path_answers_with_those_there_are(path: str) -> None:
    with serving(Service()) as port:
        reply = ask(port, path)
    assert reply.status == 404
    assert "GET /v1/calls/<uuid>/next\n" in reply.text
    assert "POST /v1/drain\n" in reply.text


def test_head_is_get_without_a_body_and_other_methods_are_refused() -> None:
    with serving(Service()) as port:
        head = ask(port, "/healthz", "HEAD")
        assert (head.status, head.text) == (200, "")
        assert ask(port, "/healthz", "DELETE").status == 405
        assert ask(port, f"/v1/calls/{CALL}/next", "POST").allow == "GET"


def test_a_watcher_reads_the_call_as_it_happens_and_from_its_start() -> None:
    service = Service()
    feed = service.feeds[CALL]
    feed.publish(0.1, "bot_said", text="Bonjour")
    with (
        serving(service) as port,
        closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection,
    ):
        connection.request("GET", f"/v1/calls/{CALL}/events")
        with connection.getresponse() as stream:
            assert stream.headers["Content-Type"] == "application/x-ndjson"
            assert json.loads(stream.readline())["text"] == "Bonjour"
            feed.publish(2.0, "caller_said", text="Ça ne marche plus")
            line = stream.readline()
            assert "Ça ne marche plus".encode() in line
            feed.publish(3.0, "ended", outcome="completed")
            assert json.loads(stream.readline())["outcome"] == "completed"
            assert stream.readline() == b""
        assert ask(port, f"/v1/calls/{OTHER}/events").status == 404


def test_stopping_ends_open_streams() -> None:
    service = Service()
    with (
        serving(service) as port,
        socket.create_connection(("127.0.0.1", port), timeout=10) as client,
    ):
        client.sendall(f"GET /v1/calls/{CALL}/events HTTP/1.0\r\n\r\n".encode())
        service.feeds[CALL].publish(0, "digit", digit="1")
        received = b""
        while b"digit" not in received:
            received += client.recv(4096)
        began = time.monotonic()
    assert time.monotonic() - began < 4, "stop() waited for its limit"


def test_streams_are_bounded_and_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "MOST_WATCHERS", 1)
    service = Service()
    with serving(service) as port:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            client.sendall(f"GET /v1/calls/{CALL}/events HTTP/1.0\r\n\r\n".encode())
            service.feeds[CALL].publish(0, "digit", digit="1")
            client.recv(4096)
            assert ask(port, f"/v1/calls/{CALL}/events").status == 503
            assert ask(port, f"/v1/calls/{CALL}/next").text == "hangup"
            service.feeds[CALL].publish(1, "ended", outcome="completed")
            while client.recv(4096):
                pass
        assert ask(port, f"/v1/calls/{CALL}/events").status == 200
        assert ask(port, f"/v1/calls/{OTHER}/events").status == 404
        assert ask(port, f"/v1/calls/{CALL}/events").status == 200
        assert service.feeds[CALL]._watchers == [], "nothing is kept for who has gone"
        with monkeypatch.context() as patched:
            patched.setattr(service, "subscribe", None)  # a bug
            assert ask(port, f"/v1/calls/{CALL}/events").status == 500
        assert ask(port, f"/v1/calls/{CALL}/events").status == 200


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n", b"431"),
        (b"GET /healthz HTTP/1.1\r\n" + b"X: " + b"y" * 20_000 + b"\r\n\r\n", b"431"),
        (b"GET /healthz HTTP/1.1\r\n" + b"X: y\r\n" * 3_000 + b"\r\n", b"431"),
        (b"POST /v1/drain HTTP/1.1\r\nContent-Length: 999999\r\n\r\n", b"413"),
        (b"POST /v1/drain HTTP/1.1\r\nContent-Length: -4\r\n\r\n", b"413"),
        (b"POST /v1/drain HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"413"),
        (b"POST /v1/drain HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"413"),
        (b"\x00\xff\x10 rubbish\r\n\r\n", b"400"),
    ],
)
def test_bad_requests_are_refused_and_the_next_one_is_served(
    request_: bytes, status: bytes
) -> None:
    service = Service()
    with serving(service) as port:
        assert status in raw(port, request_)
        assert ask(port, "/healthz").status == 200
    assert service.drains == 0


def test_a_body_is_read_so_that_the_answer_is_not_reset() -> None:
    service = Service()
    with serving(service) as port:
        reply = raw(port, b"POST /v1/drain HTTP/1.1\r\nContent-Length: 2000\r\n\r\n" + b"x" * 2000)
    assert b"202" in reply.splitlines()[0]


def test_a_client_that_says_nothing_is_dropped_at_stop_and_hinders_nobody() -> None:
    with serving(Service()) as port, socket.create_connection(("127.0.0.1", port), timeout=10):
        assert ask(port, "/healthz").status == 200


def test_connections_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "MOST_CONNECTIONS", 1)
    with serving(Service()) as port, closing(socket.socket()) as idle:
        idle.connect(("127.0.0.1", port))
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            ask(port, "/healthz")


def test_a_taken_port_is_named_with_its_holder() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(ControlError, match=rf"CONTROL_PORT={port}: .*\(pid \d+\) holds"):
            ControlServer("127.0.0.1", port, ControlApp(Service(), Metrics().registry))
    assert web.port_holder(port) is None


def test_an_address_of_another_machine_is_refused_in_words() -> None:
    with pytest.raises(ControlError, match=r"CONTROL_HOST=192\.0\.2\.1 .*cannot listen"):
        ControlServer("192.0.2.1", 0, ControlApp(Service(), Metrics().registry))


def test_a_server_that_never_started_can_be_stopped() -> None:
    server = ControlServer("127.0.0.1", 0, ControlApp(Service(), Metrics().registry))
    server.stop()
    server.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port))
