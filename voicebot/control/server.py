"""The HTTP server under the control API: threads, limits, and a stop that leaves nothing behind.

The standard library's server is enough for a scrape each 15 s and a question a call, with four
things put right: it must not look up host names, must not write to standard error, must bound what
a client can cost, and must end with its connections closed and its threads gone.
"""

from __future__ import annotations

import http.client
import socket
import threading
import time
from pathlib import Path
from socketserver import TCPServer, ThreadingMixIn
from typing import IO, TYPE_CHECKING, Any, Final, cast
from wsgiref.simple_server import ServerHandler, WSGIRequestHandler, WSGIServer

import structlog

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

log = structlog.get_logger(__name__)

MOST_CONNECTIONS: Final = 64
"""Connections served at once; the next one is closed."""
REQUEST_BYTES: Final = 16_384
"""Most bytes of a request's head; beyond, it is answered with 431."""
BODY_BYTES: Final = 4_096
"""Most bytes of a request's body. Nothing here needs one."""
CLIENT_SECONDS: Final = 10.0
"""Longest wait for a client to send or take the next bytes."""


class ControlError(Exception):
    """The control API cannot listen. ``str()`` names the setting, and who holds the port."""


class _BoundedReader:
    """Limits how much of a request's head is read; the body has a limit of its own."""

    def __init__(self, file: Any, limit: int) -> None:
        self._file = file
        self._left = limit

    def readline(self, size: int = -1) -> bytes:
        line: bytes = self._file.readline(self._left + 1 if size < 0 else min(size, self._left + 1))
        self._left -= len(line)
        if self._left < 0:
            raise http.client.LineTooLong("request head")
        return line

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class _QuietHandler(ServerHandler):
    """Runs the application for one request; its faults go to our log."""

    def log_exception(self, exc_info: Any) -> None:
        if isinstance(exc_info[1], TimeoutError):
            log.debug("control client took nothing", limit_s=CLIENT_SECONDS)
        else:
            log.error("control request failed", exc_info=exc_info)


class _RequestHandler(WSGIRequestHandler):
    timeout = CLIENT_SECONDS
    server_version = "voicebot"
    sys_version = ""

    def handle(self) -> None:
        head = _BoundedReader(self.rfile, REQUEST_BYTES)
        body, self.rfile = self.rfile, head  # type: ignore[assignment]
        self.close_connection = True
        self.requestline = self.request_version = self.command = ""
        try:
            self.raw_requestline = head.readline()
            if not self.raw_requestline or not self.parse_request():
                return
        except http.client.LineTooLong:
            self.send_error(431)
            return
        except TimeoutError:
            log.debug("control client sent nothing", limit_s=CLIENT_SECONDS)
            return
        self.rfile = body
        if not self._skip_body():
            return
        handler = _QuietHandler(
            cast("IO[bytes]", self.rfile),
            cast("IO[bytes]", self.wfile),
            self.get_stderr(),
            self.get_environ(),
            multithread=True,
        )
        handler.request_handler = self  # type: ignore[attr-defined]  # wsgiref's own protocol
        handler.run(self.server.get_app())  # type: ignore[attr-defined]

    def _skip_body(self) -> bool:
        """Read what came with the request: closing over unread bytes would reset the connection."""
        try:
            length = int(self.headers.get("Content-Length", "0"))
        except ValueError:
            length = -1
        if not 0 <= length <= BODY_BYTES or "Transfer-Encoding" in self.headers:
            self.send_error(413)
            return False
        self.rfile.read(length)
        return True

    def address_string(self) -> str:
        return str(self.client_address[0])  # the inherited one may ask a name server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the inherited name
        log.debug("control request", client=self.address_string(), line=format % args)


class _Server(ThreadingMixIn, WSGIServer):
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], family: socket.AddressFamily) -> None:
        self.address_family = family
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._lock = threading.Lock()
        super().__init__(address, _RequestHandler)

    def server_bind(self) -> None:
        # Not the inherited one: it looks up the host's full name, which can take many seconds.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        thread = threading.Thread(
            target=self.process_request_thread,
            args=(request, client_address),
            name="control-request",
            daemon=True,
        )
        with self._lock:
            room = len(self._connections) < MOST_CONNECTIONS
            if room:
                self._connections[request] = thread
        if room:
            thread.start()
        else:
            log.warning("control connection refused", limit=MOST_CONNECTIONS)
            self.shutdown_request(request)

    def close_request(self, request: Any) -> None:
        super().close_request(request)
        with self._lock:
            self._connections.pop(request, None)

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.debug("control connection broke", client=str(client_address[0]), exc_info=True)

    def hang_up(self, deadline: float) -> None:
        """Wake every thread that waits for its client, and wait for it to end."""
        with self._lock:
            connections = dict(self._connections)
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # it was closed meanwhile
        for thread in connections.values():
            thread.join(max(0.0, deadline - time.monotonic()))


class ControlServer:
    """Serves *app* on *host*:*port* (0: any free port) from :meth:`start` to :meth:`stop`.

    The app finds ``voicebot.stopping`` in its environ, a function that is true once the server
    stops: a response without end must then end.
    """

    def __init__(self, host: str, port: int, app: WSGIApplication) -> None:
        """Listen at once. Raises ControlError if that is not possible."""
        self._stopping = threading.Event()
        self._server = _listen(host, port)
        self._server.base_environ["voicebot.stopping"] = self._stopping.is_set
        self._server.set_app(app)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="control"
        )

    @property
    def port(self) -> int:
        """The real one."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float = 5.0) -> None:
        """Take no more requests, cut what is left, close every socket. Idempotent."""
        self._stopping.set()
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()
        self._server.hang_up(time.monotonic() + timeout)


def _listen(host: str, port: int) -> _Server:
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return _Server((str(address[0]), int(address[1])), family)
    except OSError as error:
        holder = port_holder(port)
        raise ControlError(
            f"CONTROL_HOST={host} CONTROL_PORT={port}: cannot listen: {error.strerror or error}"
            + (f"; {holder} holds the port" if holder else "")
            + "; choose another port, or stop what uses it"
        ) from error


def port_holder(port: int) -> str | None:
    """Which program listens on this TCP port, as ``name (pid n)``; None if nobody can be named.

    Only Linux says, and only of processes of the same user unless asked by root.
    """
    inodes = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        for line in _lines(table)[1:]:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:  # 0A: listening
                inodes.add(f"socket:[{fields[9]}]")
    if not inodes:
        return None
    for process in Path("/proc").glob("[0-9]*"):
        if any(_link(fd) in inodes for fd in _entries(process / "fd")):
            name = "".join(_lines(process / "comm")).strip()
            return f"{name} (pid {process.name})"
    return None


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except OSError:
        return []


def _entries(directory: Path) -> list[Path]:
    try:
        return list(directory.iterdir())
    except OSError:
        return []  # another user's process, or one that has just ended


def _link(file: Path) -> str:
    try:
        return str(file.readlink())
    except OSError:
        return ""
