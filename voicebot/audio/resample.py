"""Change the sample rate of a stream, with a proper low-pass.

Callers arrive at 8 kHz unless the dialplan uses Asterisk's AudioSocket *channel*, and synthesis
speaks at 24 kHz. A resampler without a low-pass folds everything above 4 kHz back into speech,
and one without memory clicks at each piece; soxr's stream does neither.

soxr is imported by the first resampler made, not by this module: a service whose callers and
voice are all at 8 kHz never pays for it.
"""

from __future__ import annotations

from typing import Any, Final

#: soxr's medium quality: 24 to 8 kHz it is flat to 3.6 kHz and aliases stay below -85 dB, the
#: noise of 16-bit rounding. Better ones only add delay.
_QUALITY: Final = "MQ"


class StreamResampler:
    """One direction of one stream, mono, signed 16-bit little-endian in and out."""

    def __init__(self, rate_in: int, rate_out: int) -> None:
        """Rates in hertz, above zero; they may be equal."""
        import numpy
        import soxr

        self._samples = numpy.frombuffer
        self._stream: Any = soxr.ResampleStream(
            float(rate_in), float(rate_out), 1, dtype="int16", quality=_QUALITY
        )

    def push(self, pcm: bytes) -> bytes:
        """Whole samples in; what is ready out, which lags by a few milliseconds, may be empty."""
        return self._run(pcm, last=False)

    def flush(self) -> bytes:
        """The rest of the stream. Nothing may be pushed after it."""
        return self._run(b"", last=True)

    def _run(self, pcm: bytes, *, last: bool) -> bytes:
        samples = self._samples(pcm, dtype="<i2")
        out: bytes = self._stream.resample_chunk(samples, last=last).tobytes()
        return out
