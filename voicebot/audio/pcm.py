"""The one audio format inside the service, and the constants that follow from it.

Everything between AudioSocket and the speech engines is slin: signed 16-bit little-endian
linear PCM, mono, 8 kHz. A frame is 20 ms of it: what Asterisk sends for a caller with the
usual packet time, and the only size we send (asterisk: ``res/res_audiosocket.c``).
"""

from __future__ import annotations

from collections.abc import Iterator

SAMPLE_RATE = 8_000  #: hertz
SAMPLE_WIDTH = 2  #: bytes a sample
BYTES_PER_SECOND = SAMPLE_RATE * SAMPLE_WIDTH
FRAME_SECONDS = 0.020
FRAME_SAMPLES = 160
FRAME_BYTES = FRAME_SAMPLES * SAMPLE_WIDTH
SILENCE_FRAME = bytes(FRAME_BYTES)


def seconds(pcm: bytes | bytearray | memoryview) -> float:
    """Duration of *pcm*, in seconds."""
    return len(pcm) / BYTES_PER_SECOND


def silence(duration: float) -> bytes:
    """*duration* seconds of silence, to the nearest sample."""
    return bytes(round(duration * SAMPLE_RATE) * SAMPLE_WIDTH)


class Reframer:
    """Cut a stream of any even or odd sized pieces into blocks of *size* bytes.

    A caller's packet time decides how much audio one AudioSocket message holds (10 to 60 ms,
    and odd sizes from Local channels), so nothing downstream may rely on it.
    """

    def __init__(self, size: int = FRAME_BYTES) -> None:
        self._size = size
        self._rest = bytearray()

    def push(self, data: bytes) -> Iterator[bytes]:
        """Yield each full block that *data* completes; keep the rest for the next call."""
        self._rest += data
        size = self._size
        while len(self._rest) >= size:
            yield bytes(self._rest[:size])
            del self._rest[:size]

    @property
    def pending(self) -> int:
        """Bytes kept, always fewer than one block."""
        return len(self._rest)
