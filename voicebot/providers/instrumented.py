"""Any provider, measured: requests by outcome, and how long the first result took.

Wrapped once, where the engines are built, so that no provider counts for itself and none is
forgotten. Each request is also noted for the call it is for (:mod:`voicebot.telemetry.requests`).
A request that a newer one replaces, or that a barge-in makes pointless, is
``cancelled``: no failure of the provider.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import TypeVar, cast

from prometheus_client import Histogram

from voicebot.audio.pcm import seconds
from voicebot.providers.errors import ProviderLateError
from voicebot.providers.interfaces import (
    Expectation,
    LanguageModel,
    ModelRequest,
    ProviderError,
    SpeechStream,
    SpeechToText,
    Stage,
    TextToSpeech,
    Transcript,
)
from voicebot.providers.prices import Unit
from voicebot.providers.usage import Meter
from voicebot.telemetry.metrics import Metrics
from voicebot.telemetry.requests import Request, in_progress, note, noted_in


class InstrumentedTextToSpeech:
    """A :class:`TextToSpeech` that counts; with a *meter*, also what it is charged for."""

    def __init__(
        self, inner: TextToSpeech, metrics: Metrics, meter: Meter | None = None, model: str = ""
    ) -> None:
        self.name = inner.name
        self._model = model or inner.name
        self.voice = inner.voice
        self._inner = inner
        self._metrics = metrics
        self._meter = meter

    async def synthesize(self, text: str) -> AsyncIterator[bytes]:
        first = self._metrics.tts_first_audio.labels(self.name)
        source = cast(AsyncGenerator[bytes, None], self._inner.synthesize(text))
        if self._meter is not None:
            self._meter.count(Unit.CHARACTERS, len(text))
        request = _request(Stage.TTS, self.name, self._model)
        async with aclosing(_counted(source, request, first, self._metrics)) as pieces:
            async for audio in pieces:
                if self._meter is not None:
                    self._meter.count(Unit.SPEECH_SECONDS, seconds(audio))
                yield audio


class InstrumentedLanguageModel:
    """A :class:`LanguageModel` that counts."""

    def __init__(self, inner: LanguageModel, metrics: Metrics, model: str = "") -> None:
        self.name = inner.name
        self._model = model or inner.name
        self._inner = inner
        self._metrics = metrics

    async def answer(self, request: ModelRequest) -> AsyncIterator[str]:
        first = self._metrics.llm_first_token.labels(self.name)
        source = cast(AsyncGenerator[str, None], self._inner.answer(request))
        request_noted = _request(Stage.LLM, self.name, self._model)
        async with aclosing(_counted(source, request_noted, first, self._metrics)) as pieces:
            async for text in pieces:
                yield text


T = TypeVar("T")


def _request(stage: Stage, name: str, model: str) -> Request:
    return Request(stage.value, name, model, time.monotonic())


async def _counted(
    source: AsyncGenerator[T, None], request: Request, first: Histogram, metrics: Metrics
) -> AsyncGenerator[T, None]:
    """The pieces of *source*: one request, and how long the first of them took."""
    in_progress.set(request)
    try:
        # Else what a barge-in cancels would go on until the garbage collector finds it.
        async with aclosing(source) as pieces:
            async for piece in pieces:
                if request.first is None:
                    request.first = time.monotonic()
                    first.observe(request.first - request.began)
                yield piece
        request.outcome = "ok"
    except ProviderError as error:
        request.outcome = _outcome(error)
        request.error = type(error).__name__
        raise
    finally:
        request.ended = time.monotonic()
        metrics.provider_requests.labels(request.stage, request.provider, request.outcome).inc()
        note(request)


def _outcome(error: ProviderError) -> str:
    return "timeout" if isinstance(error, ProviderLateError) else "error"


class InstrumentedSpeechToText:
    """A :class:`SpeechToText` that counts."""

    def __init__(self, inner: SpeechToText, metrics: Metrics, model: str = "") -> None:
        self.name = inner.name
        self._model = model or inner.name
        self._inner = inner
        self._metrics = metrics

    def open(
        self,
        call_id: str,
        on_transcript: Callable[[Transcript], None],
        on_error: Callable[[ProviderError], None],
    ) -> SpeechStream:
        stream = _InstrumentedStream(self.name, self._model, self._metrics)

        def transcript(result: Transcript) -> None:
            if not result.early:
                stream.answered()
            on_transcript(result)

        def error(failure: ProviderError) -> None:
            stream.failed(_outcome(failure), type(failure).__name__)
            on_error(failure)

        stream.inner = self._inner.open(call_id, transcript, error)
        return stream


class _InstrumentedStream:
    inner: SpeechStream

    def __init__(self, name: str, model: str, metrics: Metrics) -> None:
        self._name = name
        self._model = model
        self._metrics = metrics
        self._requests = noted_in.get()  # words come from wherever the connection is read
        self._request: Request | None = None

    def answered(self) -> None:
        if self._request is not None:
            self._request.first = time.monotonic()
            took = self._request.first - self._request.began
            self._metrics.stt_final.labels(self._name).observe(took)
        self.settle("ok")

    def failed(self, outcome: str, error: str) -> None:
        """Counted even if nobody waits for words: a connection may be lost at any time."""
        if self._request is None:
            self._request = _request(Stage.STT, self._name, self._model)
        self._request.error = error
        self.settle(outcome)

    def settle(self, outcome: str) -> None:
        """The request under way, if any, ended so."""
        request, self._request = self._request, None
        if request is not None:
            request.outcome = outcome
            request.ended = time.monotonic()
            self._metrics.provider_requests.labels(Stage.STT.value, self._name, outcome).inc()
            if self._requests is not None:
                self._requests.append(request)

    def push(self, pcm: bytes) -> None:
        self.inner.push(pcm)

    def expect(self, expectation: Expectation) -> None:
        self.inner.expect(expectation)

    def speech_started(self) -> None:
        self.inner.speech_started()

    def speech_paused(self, pause: int) -> None:
        self.settle("cancelled")
        self._request = _request(Stage.STT, self._name, self._model)
        self.inner.speech_paused(pause)

    def turn_ended(self) -> None:
        self.settle("cancelled")
        self.inner.turn_ended()

    async def close(self) -> None:
        await self.inner.close()
        self.settle("cancelled")
