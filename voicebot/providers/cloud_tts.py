"""What every cloud voice needs around its one request: time limits, whole samples, 8 kHz.

A vendor's module gives the bytes as they arrive and says what its exceptions mean; all else is
here. Audio is passed on as it comes. Silence at the beginning is cut off: the caller waits for the
first audible sample, and so does the deadline, which makes an answer of nothing but silence a
failure that another voice can still mend. From there on a voice has to keep up with being heard.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

import numpy as np

from voicebot.audio.pcm import SAMPLE_RATE, SAMPLE_WIDTH, seconds
from voicebot.audio.resample import StreamResampler
from voicebot.providers.in_time import Asked, Limits, in_time
from voicebot.providers.interfaces import ProviderError, Stage
from voicebot.providers.pace import Pace

AUDIBLE = 164
"""A sample this far from zero is sound: -46 dB of full scale, 26 dB below a voice."""
LEAD_IN = 0.005
"""Seconds kept before it, so that the first consonant is whole. The caller waits for them."""
CHECK_TEXT = "Oui."
"""What is synthesised to see whether a voice works, and to warm its connections."""


class CloudTextToSpeech(ABC):
    """A :class:`~voicebot.providers.interfaces.TextToSpeech`; a vendor fills in two methods."""

    name: str
    voice: str
    rate: int
    """Hertz, of what :meth:`request` yields: mono, signed 16-bit little-endian."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    @abstractmethod
    def request(self, text: str, pace: Pace | None = None) -> AsyncGenerator[bytes, None]:
        """Yield the audio of *text* in pieces of any size, odd ones included; not before *pace*
        says that more is needed, if the vendor's kit lets it be left alone."""

    @abstractmethod
    def explain(self, error: Exception) -> ProviderError | None:
        """What an exception of :meth:`request` means; None for a bug of ours."""

    async def synthesize(self, text: str, pace: Pace | None = None) -> AsyncIterator[bytes]:
        """Yield slin as it arrives, or at *pace*. Raises ProviderError."""
        convert = _Converter(self.rate)
        broken: ProviderError | None = None
        try:
            async with aclosing(self._converted(text, convert, pace)) as pieces:
                async for audio in pieces:
                    yield audio
        except ProviderError as error:
            broken = error  # what came before it is heard all the same, to its end
        begun = convert.made is not None
        rest = convert.finish()
        if rest and (begun or broken is None):
            yield rest
        if broken is not None:
            raise broken
        if convert.made is None:
            message = f"{self.name} sent only silence; check its voice and model in the settings"
            raise ProviderError(Stage.TTS, self.name, message, retryable=True)

    async def check(self) -> None:
        """Make one word: are key, model, voice and network right? Raises ProviderError."""
        async for _ in self.synthesize(CHECK_TEXT):
            pass

    async def _converted(
        self, text: str, convert: _Converter, pace: Pace | None
    ) -> AsyncGenerator[bytes, None]:
        """Audio as it comes, each piece in time."""
        asked = Asked(Stage.TTS, self.name, "audio", "a sentence")
        source = in_time(
            self.request(text, pace), self._limits, asked, self.explain, lambda: convert.made
        )
        async with aclosing(source) as pieces:
            async for piece in pieces:
                audio = convert.push(piece)
                if audio:
                    yield audio


class _Converter:
    """Pieces of one vendor's stream to slin."""

    def __init__(self, rate: int) -> None:
        self.made: float | None = None
        """Seconds of audio, from the first audible sample on; None while there is none."""
        self._resampler = StreamResampler(rate, SAMPLE_RATE) if rate != SAMPLE_RATE else None
        self._odd = b""
        self._silence = b""  # of the beginning: the last of it is the lead-in

    def push(self, piece: bytes) -> bytes:
        data = self._odd + piece
        whole = len(data) - len(data) % SAMPLE_WIDTH
        self._odd = data[whole:]
        pcm = data[:whole]
        return self._from_sound_on(self._resampler.push(pcm) if self._resampler else pcm)

    def finish(self) -> bytes:
        """What the resampler still held. A half sample at the end is dropped."""
        return self._from_sound_on(self._resampler.flush()) if self._resampler else b""

    def _from_sound_on(self, pcm: bytes) -> bytes:
        if self.made is not None:
            self.made += seconds(pcm)
            return pcm
        if not pcm:
            return b""
        data = self._silence + pcm
        samples = np.abs(np.frombuffer(data, dtype="<i2").astype(np.int32))
        sound = np.flatnonzero(samples > AUDIBLE)
        lead_in = round(LEAD_IN * SAMPLE_RATE)
        if not len(sound):
            self._silence = data[-lead_in * SAMPLE_WIDTH :]
            return b""
        audible = data[max(0, int(sound[0]) - lead_in) * SAMPLE_WIDTH :]
        self.made = seconds(audible)
        return audible
