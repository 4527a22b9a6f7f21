"""The container's health check, asked of a control API that is not ready at first."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.support.serving import serving

CHECK = Path(__file__).parents[2] / "docker" / "voicebot" / "healthcheck"


class Api(HTTPServer):
    """Not ready for the first *refusals* requests."""

    refusals = 0


class Handler(BaseHTTPRequestHandler):
    server: Api

    def do_GET(self) -> None:
        self.server.refusals -= 1
        self.send_response(503 if self.server.refusals >= 0 else 200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- its name there
        pass


@pytest.fixture
def api() -> Iterator[Api]:
    with serving(Api(("127.0.0.1", 0), Handler)) as server:
        yield server


def check(api: Api, *arguments: str) -> int:
    return subprocess.run(
        ["bash", CHECK, *arguments],
        env={"CONTROL_PORT": str(api.server_port)},
        timeout=30,
        check=False,
    ).returncode


def test_who_waits_is_told_that_it_was_worth_it(api: Api) -> None:
    """The unit's start asks with it: anything but 0 is asked again."""
    api.refusals = 2
    assert check(api, "--wait") == 0
    assert check(api, "--wait") == 0


def test_once_says_how_it_is(api: Api) -> None:
    api.refusals = 1
    assert check(api, "/readyz") != 0
    assert check(api, "/readyz") == 0
