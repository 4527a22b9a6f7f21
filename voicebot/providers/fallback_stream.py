"""A provider that is several, for whatever answers a request with a stream: voices, models.

Until there is something that can be used, a failed provider is tried again while that can still be
in time, then the next one is asked the same. One that was late has had its time, and is not tried
again. Once the time of the chain is used up, those between it and the last are not tried: what
makes one cloud hang is often the way to all of them. A provider that has begun has to finish: two
answers in one are worse than half of one, so the rest is lost and reported.

With hedging, a provider that is slower than it is 95 times out of 100 gets competition from the
next; whoever has something first wins, the other is cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Generic, TypeVar, cast

import structlog

from voicebot.providers.errors import ProviderLateError
from voicebot.providers.fallback import Gate, RecentTimes, backoff
from voicebot.providers.interfaces import ProviderError, Stage
from voicebot.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

Q = TypeVar("Q")
"""What is asked."""
P = TypeVar("P")
"""One piece of what is answered."""


@dataclass(slots=True)
class StreamLink(Generic[Q, P]):
    """One provider of a chain."""

    name: str
    ask: Callable[[Q], AsyncIterator[P]]
    gate: Gate
    unknown_first: float
    """Seconds it is taken to need for what can be used while nothing is known of it."""
    first: RecentTimes = field(default_factory=RecentTimes)

    @property
    def usual_first(self) -> float:
        """Seconds to what can be used, with some caution."""
        return self.first.p95 or self.unknown_first


def _at_once(request: object) -> Callable[[object], bool]:
    return lambda piece: True


@dataclass(frozen=True, slots=True)
class Insistence:
    """How hard one request is tried."""

    attempts: int
    """How often one provider is asked at most."""
    patience: float
    """Seconds that one provider has for what can be used, all attempts together."""
    in_all: float
    """Seconds after which it is too late, whoever has it."""
    hedging: bool = False


class StreamChain(Generic[Q, P]):
    """Asks *links* in order. With *last_resort* the last of them is always asked, whatever is known
    of it, for lack of anything better; without, it may happen that nobody is.

    *enough* makes, for one request, the judge of an answer to it: given each piece, it says whether
    what has come can be used. An answer that is complete always can.
    """

    def __init__(
        self,
        stage: Stage,
        links: Sequence[StreamLink[Q, P]],
        metrics: Metrics,
        *,
        last_resort: bool,
        enough: Callable[[Q], Callable[[P], bool]] = _at_once,
    ) -> None:
        self._stage = stage
        self._enough = enough
        self._links = list(links)
        self._hedges = metrics.provider_hedges
        self._last_resort = last_resort

    async def ask(self, request: Q, how: Insistence) -> AsyncIterator[P]:
        """Yield the pieces as they come. Raises ProviderError: the last one's, if nobody could."""
        tries: list[_Try[Q, P]] = []
        try:
            answering = await self._answering(request, how, self._links, tries)
            while (piece := await answering.next()) is not None:
                yield piece
        finally:
            for one in tries:
                await one.close()

    async def _answering(
        self,
        request: Q,
        how: Insistence,
        links: Sequence[StreamLink[Q, P]],
        tries: list[_Try[Q, P]],
    ) -> _Try[Q, P]:
        """The first of *links* to have something. Everything started is added to *tries*."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        error: ProviderError | None = None
        for position, link in enumerate(links):
            rest = links[position + 1 :]
            too_late = loop.time() - began + link.usual_first > how.in_all
            may_skip = bool(rest) or not self._last_resort
            if may_skip and ((error is not None and too_late) or not link.gate.allows()):
                continue
            try:
                return await self._insist(request, how, link, rest, tries)
            except ProviderError as failure:
                error = failure
                if rest:
                    log.warning(
                        "request goes to another provider",
                        stage=self._stage.value,
                        provider=link.name,
                        reason=str(failure),
                    )
        if error is None:
            message = "nobody can be asked at present: see the log for why each was given a rest"
            error = ProviderError(self._stage, "chain", message, retryable=False)
        raise error

    async def _insist(
        self,
        request: Q,
        how: Insistence,
        link: StreamLink[Q, P],
        rest: Sequence[StreamLink[Q, P]],
        tries: list[_Try[Q, P]],
    ) -> _Try[Q, P]:
        """*link*, or with hedging one of *rest*, once it has something; raises its error."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        for failures in range(1, how.attempts + 1):
            attempt = _Try(link, request, self._enough(request))
            tries.append(attempt)
            try:
                return await self._race(request, how, attempt, rest, tries)
            except ProviderError as error:
                wait = backoff(failures)
                first = loop.time() - began + wait + link.usual_first
                again = error.retryable and not isinstance(error, ProviderLateError)
                if failures == how.attempts or not again or first > how.patience:
                    raise
            await asyncio.sleep(wait)
            if not link.gate.allows():
                attempt.raise_if_failed()
        raise AssertionError("the last attempt returned or raised")

    async def _race(
        self,
        request: Q,
        how: Insistence,
        attempt: _Try[Q, P],
        rest: Sequence[StreamLink[Q, P]],
        tries: list[_Try[Q, P]],
    ) -> _Try[Q, P]:
        """*attempt* when it has something, or the competition it was given for being slow."""
        late = attempt.link.first.p95 if how.hedging and rest else None
        if late is None or await attempt.settled(late):
            await attempt.settled(None)
            attempt.raise_if_failed()
            return attempt
        rivals: list[_Try[Q, P]] = []
        rival = asyncio.create_task(self._answering(request, how, rest, rivals))
        ours = asyncio.create_task(attempt.settled(None))
        winner: _Try[Q, P] | None = None
        try:
            await asyncio.wait((ours, rival), return_when=asyncio.FIRST_COMPLETED)
            if attempt.begun:
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
            self._hedges.labels(self._stage.value, outcome).inc()
            for other in (attempt, *rivals):
                if other is not winner:
                    await other.close()


class _Try(Generic[Q, P]):
    """One provider with one request, in a task of its own: so that two can be raced."""

    def __init__(self, link: StreamLink[Q, P], request: Q, enough: Callable[[P], bool]) -> None:
        self.link = link
        self._enough = enough
        self.error: Exception | None = None
        self.begun = False
        """Something that can be used has come."""
        self._pieces: asyncio.Queue[P | None] = asyncio.Queue()  # bounded by the answer
        self._settled = asyncio.Event()
        self._task = asyncio.create_task(self._run(request), name=f"asks {link.name}")

    async def settled(self, within: float | None) -> bool:
        """Whether it began or ended in *within* seconds (None: however long)."""
        try:
            async with asyncio.timeout(within):
                await self._settled.wait()
        except TimeoutError:
            return False
        return True

    def raise_if_failed(self) -> None:
        if self.error is not None:
            raise self.error

    async def next(self) -> P | None:
        """The next piece; None at the end. Raises what it failed with."""
        piece = await self._pieces.get()
        if piece is None:
            self.raise_if_failed()
        return piece

    async def close(self) -> None:
        """Stop, and wait until its connection is let go. Idempotent."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self, request: Q) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        gate = self.link.gate
        finished = False
        try:
            source = cast(AsyncGenerator[P, None], self.link.ask(request))
            async with aclosing(source) as pieces:
                async for piece in pieces:
                    self._pieces.put_nowait(piece)
                    if not self.begun and self._enough(piece):
                        self._begin(loop.time() - began)
            finished = True
            if not self.begun:
                self._begin(loop.time() - began)
        except Exception as error:
            self.error = error  # raised where the pieces are awaited, also if it is a bug
        finally:
            if isinstance(self.error, ProviderError):
                gate.failed(self.error)
            elif finished or self.begun:
                gate.answered()
            else:
                gate.abandoned()
            self._pieces.put_nowait(None)
            self._settled.set()

    def _begin(self, took: float) -> None:
        self.begun = True
        self.link.first.add(took)
        self._settled.set()
