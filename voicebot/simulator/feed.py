"""Follow a call on the service's control API: what the bot says, hears and decides.

The simulated customer judges the audio by itself; the words come from here. One plain HTTP/1.0
request with a body that ends with the connection: that needs no HTTP library, and no thread per
call when a hundred calls are followed.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

#: How long a call may be unknown to the control API after it was dialled.
REGISTRATION_SECONDS = 3.0
_RETRY_SECONDS = 0.05
_ANSWER_SECONDS = 5.0


class FeedError(Exception):
    """The event feed cannot be read. ``str()`` names the address and what to do."""


class EventFeed:
    """The control API at *host*:*port*."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._address = f"http://{host}:{port}"

    async def check(self) -> None:
        """Raise FeedError unless the control API answers."""
        async with self._get("/v1/calls") as (status, _):
            if status != 200:
                raise FeedError(f"{self._address}/v1/calls answers {status}, not 200")

    async def events(self, call_id: uuid.UUID) -> AsyncIterator[dict[str, Any]]:
        """Yield what happens in a call, from its beginning, until it has ended.

        Raises FeedError if the call stays unknown or the feed breaks off.
        """
        path = f"/v1/calls/{call_id}/events"
        loop = asyncio.get_running_loop()
        give_up = loop.time() + REGISTRATION_SECONDS
        while True:
            async with self._get(path) as (status, body):
                if status == 200:
                    async for event in self._lines(body):
                        yield event
                    return
            if status != 404 or loop.time() > give_up:
                raise FeedError(f"{self._address}{path} answers {status}")
            await asyncio.sleep(_RETRY_SECONDS)

    async def _lines(self, body: asyncio.StreamReader) -> AsyncIterator[dict[str, Any]]:
        while True:
            try:
                line = await body.readline()
                if not line:
                    return
                if not line.strip():
                    continue  # a heartbeat
                event = json.loads(line)
            except (OSError, ValueError) as error:
                raise FeedError(f"{self._address}: the event feed broke off: {error}") from error
            yield event
            if event.get("event") == "ended":
                return

    @asynccontextmanager
    async def _get(self, path: str) -> AsyncIterator[tuple[int, asyncio.StreamReader]]:
        try:
            reader, writer = await asyncio.open_connection(self._host, self._port)
        except OSError as error:
            raise FeedError(
                f"no control API at {self._address} ({error.strerror or error}); start the "
                "service, or give its address with --control (CONTROL_HOST and CONTROL_PORT)"
            ) from error
        try:
            yield await self._ask(path, reader, writer), reader
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _ask(
        self, path: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> int:
        """Send the request and read as far as the body; return the status."""
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                writer.write(f"GET {path} HTTP/1.0\r\nHost: {self._host}\r\n\r\n".encode("ascii"))
                await writer.drain()
                status = int((await reader.readline()).split()[1])
                while (await reader.readline()).strip():
                    pass  # headers
        except (OSError, TimeoutError, IndexError, ValueError) as error:
            raise FeedError(
                f"{self._address} does not answer {path} as HTTP does: {error!r}"
            ) from error
        return status
