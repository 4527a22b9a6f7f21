"""A voice that is several: the first provider that makes a sound says the sentence.

Until there is sound, a failed provider is tried again while that can still be in time, then the
next one says the same sentence. Once the time is used up, those between it and the last are not
tried: what makes one cloud hang is often the way to all of them. A provider that has begun has to
finish: two voices in one sentence are worse than half of it, so the rest is lost and reported. The
last of the chain is always asked, whatever is known of it: there is nothing better to do.

With hedging, a provider that is slower than it is 95 times out of 100 gets competition from the
next; whoever makes a sound first wins, the other is cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import cast

import structlog

from voicebot.providers.fallback import Gate, RecentTimes, backoff
from voicebot.providers.interfaces import ProviderError, Stage, TextToSpeech
from voicebot.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

USUAL_FIRST_AUDIO = 0.35
"""Seconds a provider is taken to need for its first sound while nothing is known of it."""


@dataclass(slots=True)
class VoiceLink:
    """One provider of the chain."""

    tts: TextToSpeech
    gate: Gate
    first_audio: RecentTimes = field(default_factory=RecentTimes)

    @property
    def usual_first_audio(self) -> float:
        """Seconds to its first sound, with some caution."""
        return self.first_audio.p95 or USUAL_FIRST_AUDIO


class FallbackTextToSpeech:
    """A :class:`~voicebot.providers.interfaces.TextToSpeech`.

    *attempts* is how often one provider is asked for one sentence at most, *patience* the seconds
    after which its first sound is too late.
    """

    name = "chain"

    def __init__(
        self,
        links: Sequence[VoiceLink],
        metrics: Metrics,
        *,
        attempts: int,
        patience: float,
        hedging: bool = False,
    ) -> None:
        self.voice = links[0].tts.voice
        self._links = list(links)
        self._metrics = metrics
        self._attempts = attempts
        self._patience = patience
        self._hedging = hedging

    async def synthesize(self, text: str) -> AsyncIterator[bytes]:
        """Yield slin as it arrives. Raises ProviderError: the last one's, if nobody could."""
        tries: list[_Try] = []
        try:
            speaking = await self._voice(text, self._links, tries)
            while (piece := await speaking.next()) is not None:
                yield piece
        finally:
            for one in tries:
                await one.close()

    async def _voice(self, text: str, links: Sequence[VoiceLink], tries: list[_Try]) -> _Try:
        """The first of *links* to make a sound. Everything started is added to *tries*."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        error: ProviderError | None = None
        for position, link in enumerate(links):
            rest = links[position + 1 :]
            too_late = loop.time() - began + link.usual_first_audio > self._patience
            if rest and ((error is not None and too_late) or not link.gate.allows()):
                continue
            try:
                return await self._insist(text, link, rest, tries)
            except ProviderError as failure:
                error = failure
                if rest:
                    log.warning(
                        "sentence goes to another voice",
                        provider=link.tts.name,
                        reason=str(failure),
                    )
        assert error is not None, "the last one is always asked"
        raise error

    async def _insist(
        self, text: str, link: VoiceLink, rest: Sequence[VoiceLink], tries: list[_Try]
    ) -> _Try:
        """*link*, or with hedging one of *rest*, once it makes a sound; raises its error."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        for failures in range(1, self._attempts + 1):
            attempt = _Try(link, text)
            tries.append(attempt)
            try:
                return await self._race(text, attempt, rest, tries)
            except ProviderError as error:
                wait = backoff(failures)
                sound = loop.time() - began + wait + link.usual_first_audio
                if failures == self._attempts or not error.retryable or sound > self._patience:
                    raise
            await asyncio.sleep(wait)
            if not link.gate.allows():
                attempt.raise_if_failed()
        raise AssertionError("the last attempt returned or raised")

    async def _race(
        self, text: str, attempt: _Try, rest: Sequence[VoiceLink], tries: list[_Try]
    ) -> _Try:
        """*attempt* when it makes a sound, or the competition it was given for being slow."""
        late = attempt.link.first_audio.p95 if self._hedging and rest else None
        if late is None or await attempt.settled(late):
            await attempt.settled(None)
            attempt.raise_if_failed()
            return attempt
        rivals: list[_Try] = []
        rival = asyncio.create_task(self._voice(text, rest, rivals))
        ours = asyncio.create_task(attempt.settled(None))
        winner: _Try | None = None
        try:
            await asyncio.wait((ours, rival), return_when=asyncio.FIRST_COMPLETED)
            if attempt.sounding:
                winner = attempt
            elif not rival.done() or rival.exception() is None:
                winner = await rival
            else:  # the competition failed first
                await ours
                attempt.raise_if_failed()
                winner = attempt
            return winner
        finally:
            for task in (ours, rival):
                task.cancel()
            await asyncio.gather(ours, rival, return_exceptions=True)
            tries += rivals
            outcome = "lost" if winner is None or winner is attempt else "won"
            self._metrics.provider_hedges.labels(Stage.TTS.value, outcome).inc()
            for other in (attempt, *rivals):
                if other is not winner:
                    await other.close()


class _Try:
    """One provider saying one sentence, in a task of its own: so that two can be raced."""

    def __init__(self, link: VoiceLink, text: str) -> None:
        self.link = link
        self.error: Exception | None = None
        self.sounding = False
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue()  # bounded by the sentence
        self._settled = asyncio.Event()
        self._task = asyncio.create_task(self._run(text), name=f"voice {link.tts.name}")

    async def settled(self, within: float | None) -> bool:
        """Whether it made a sound or ended in *within* seconds (None: however long)."""
        try:
            async with asyncio.timeout(within):
                await self._settled.wait()
        except TimeoutError:
            return False
        return True

    def raise_if_failed(self) -> None:
        if self.error is not None:
            raise self.error

    async def next(self) -> bytes | None:
        """The next piece; None at the end. Raises what it failed with."""
        piece = await self._pieces.get()
        if piece is None:
            self.raise_if_failed()
        return piece

    async def close(self) -> None:
        """Stop, and wait until its connection is let go. Idempotent."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self, text: str) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        gate = self.link.gate
        finished = False
        try:
            source = cast(AsyncGenerator[bytes, None], self.link.tts.synthesize(text))
            async with aclosing(source) as pieces:
                async for piece in pieces:
                    if not self.sounding:
                        self.sounding = True
                        self.link.first_audio.add(loop.time() - began)
                        self._settled.set()
                    self._pieces.put_nowait(piece)
            finished = True
        except Exception as error:
            self.error = error  # raised where the audio is awaited, also if it is a bug
        finally:
            if isinstance(self.error, ProviderError):
                gate.failed(self.error)
            elif finished or self.sounding:
                gate.answered()
            else:
                gate.abandoned()
            self._pieces.put_nowait(None)
            self._settled.set()
