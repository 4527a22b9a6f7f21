"""What the service and a worker say to each other, and how it is put into bytes.

Over a socket pair: a length of four bytes, big endian, then a pickle. Pickle is safe here because
only these two processes, of one program and one user, hold an end. The service sends
:class:`~voicebot.workers.jobs.Call`, one at a time; the worker answers each with
:class:`Returned` or :class:`Raised`. Either side closing its end means: stop.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_LENGTH = struct.Struct(">I")
#: Far above any job: 30 s of speech is 0.5 MB. Beyond it, the stream is out of step.
MOST_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Returned:
    """The call's result."""

    result: Any
    seconds: float
    """Time it computed."""


@dataclass(frozen=True, slots=True)
class Raised:
    """The call's function raised; ``message`` may hold what somebody said."""

    error: str
    """Name of the exception's class."""
    message: str
    where: str
    """``file:line`` of the statement that raised."""
    seconds: float


def pack(message: object) -> bytes:
    """One message as it goes over the socket."""
    data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(data)) + data


class Unpacker:
    """Puts messages together from bytes that arrive cut anywhere."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def push(self, data: bytes) -> Iterator[Any]:
        """Yield each message that *data* completes. ValueError if the stream is out of step."""
        self._buffer += data
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if length > MOST_BYTES:
                raise ValueError(f"a worker message of {length} bytes")
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                return
            message = pickle.loads(self._buffer[_LENGTH.size : end])  # noqa: S301 -- see above
            del self._buffer[:end]
            yield message
