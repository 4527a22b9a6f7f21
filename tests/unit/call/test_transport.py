"""The connection of a call on a socket that takes what the test says, at the test's own time."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from voicebot.audio import pcm
from voicebot.audiosocket.protocol import AudioSocketProtocol, Role
from voicebot.call.transport import CLOSE_TIMEOUT, MAX_UNSENT, PEER_TIMEOUT, AudioSocketConnection
from voicebot.telemetry.metrics import Metrics


class Timer:
    def __init__(self, when: float, callback: Callable[[], object]) -> None:
        self.when = when
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Socket:
    """The transport, and the loop with its clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[Timer] = []
        self.unsent = 0
        self.written = 0
        self.closed = self.aborted = False

    # -- the loop

    def call_at(self, when: float, callback: Callable[[], object]) -> Timer:
        self.timers.append(Timer(when, callback))
        return self.timers[-1]

    def pass_time(self, until: float) -> None:
        while True:
            self.timers = [timer for timer in self.timers if not timer.cancelled]
            due = min(self.timers, key=lambda timer: timer.when, default=None)
            if due is None or due.when > until:
                break
            self.timers.remove(due)
            self.now = max(self.now, due.when)
            due.callback()
        self.now = until

    # -- the transport

    def get_extra_info(self, name: str) -> Any:
        return self if name == "socket" else None

    def setsockopt(self, *_: object) -> None: ...

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def write(self, data: bytes) -> None:
        self.written += 1

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = True


class Caller:
    def next_frame(self) -> bytes | None:
        return pcm.SILENCE_FRAME

    def audio_received(self, pcm: bytes, now: float) -> None: ...

    def digit_received(self, digit: str, now: float) -> None: ...

    def connection_lost(self, error: Exception | None) -> None: ...


def connected() -> tuple[AudioSocketConnection, Socket]:
    socket = Socket()
    loop: Any = socket
    transport: Any = socket
    connection = AudioSocketConnection(
        lambda call_id, connection: Caller(), Metrics(), loop, clock=lambda: socket.now
    )
    connection.connection_made(transport)
    return connection, socket


def test_a_peer_that_stumbles_again_and_again_is_not_gone() -> None:
    """Only one that takes nothing for PEER_TIMEOUT on end."""
    connection, socket = connected()
    connection.data_received(AudioSocketProtocol(Role.ASTERISK).send_uuid(uuid.uuid4()))
    for second in range(1, round(3 * PEER_TIMEOUT)):
        socket.unsent = MAX_UNSENT
        socket.pass_time(second + 0.1)
        socket.unsent = 0
        socket.pass_time(second + 1.0)
    assert not socket.aborted

    socket.unsent = MAX_UNSENT
    socket.pass_time(socket.now + PEER_TIMEOUT - 0.1)
    assert not socket.aborted
    socket.pass_time(socket.now + 0.2)
    assert socket.aborted


def test_a_peer_that_takes_nothing_does_not_keep_its_socket_for_that() -> None:
    connection, socket = connected()
    connection.eof_received()
    assert (socket.closed, socket.aborted) == (True, False)
    socket.pass_time(CLOSE_TIMEOUT)
    assert socket.aborted
