"""Speech to text by Deepgram, live: our VAD decides, their model writes.

One connection a call, opened when the call begins. Only turns are sent (with their pre-roll), so
nothing between them costs money or ends up in a transcript. At a pause we ask for everything to be
made final; the pause is answered with what was said in the turn. Their own end-of-speech
detection is off, and nothing waits for it. Their two protocols differ in what they tell (see
:class:`~voicebot.providers.deepgram_turn.TurnWords`) and in how it is asked for; Flux takes no
KeepAlive (pings do), and it tells when it guesses that a turn is over.

A stream lives as long as its connection. It reports the first fault, once, and is of no use
afterwards: to open another, and to send it what the caller has said, is the chain's task
(:mod:`voicebot.providers.fallback_stt`). Faults are a refused or lost connection, a peer that
leaves a pause unanswered or goes quiet in the middle of speech, and one that does not take audio.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from voicebot.audio.pcm import BYTES_PER_SECOND, seconds
from voicebot.providers import deepgram_client
from voicebot.providers.deepgram_client import NAME, DeepgramClient
from voicebot.providers.deepgram_flux import FluxWords
from voicebot.providers.deepgram_turn import FinalWords, TurnWords
from voicebot.providers.errors import ProviderLateError
from voicebot.providers.interfaces import Expectation, ProviderError, Stage, Transcript
from voicebot.providers.prices import Unit
from voicebot.providers.turn_audio import LONGEST_TURN, TurnAudio
from voicebot.providers.usage import Meter

KEEP_ALIVE = 4.0
"""Seconds without audio after which we say that we are there; Deepgram hangs up after 10."""
QUIET = 4.0
"""Seconds of speech after which a peer that has sent nothing is given up: partial results come
about once a second."""
MOST_UNSENT = LONGEST_TURN + 2.0
"""Seconds of audio that may wait to be sent: a whole turn, when it is sent a second time."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """What one of their protocols does in its own way. *socket* is the kit's."""

    new_words: Callable[[], TurnWords]
    batch: float
    """Seconds of audio in one message, each of which costs 25 us of the loop."""
    ask: Callable[[Any], Awaitable[None]]
    """Wish that everything sent so far be made final."""
    keep_alive: Callable[[Any], Awaitable[None]] | None


NOVA = Dialect(
    new_words=FinalWords,
    batch=0.02,  # as it comes: what they have late, they answer late
    ask=lambda socket: socket.send_finalize(),
    keep_alive=lambda socket: socket.send_keep_alive(),
)
FLUX = Dialect(
    new_words=FluxWords,
    batch=0.08,  # "strongly recommended" (their documentation)
    ask=lambda socket: socket.send_force_end_turn(),
    keep_alive=None,
)

Connect = Callable[[str], AbstractAsyncContextManager[Any]]


def is_flux(model: str) -> bool:
    """Whether *model* speaks the second protocol."""
    return model.startswith("flux-")


class DeepgramSpeechToText:
    """A :class:`~voicebot.providers.interfaces.SpeechToText`; *timeout* is from pause to words."""

    name = NAME

    def __init__(
        self,
        client: DeepgramClient,
        *,
        model: str,
        language: str,
        keyterms: Sequence[str],
        keep_private: bool,
        timeout: float,
        meter: Meter,
    ) -> None:
        self._timeout = timeout
        self._meter = meter
        self._dialect = FLUX if is_flux(model) else NOVA
        listen = client.listen_for_turns if is_flux(model) else client.listen

        def connect(call_id: str) -> AbstractAsyncContextManager[Any]:
            return listen(
                call_id=call_id,
                model=model,
                language=language,
                keyterms=keyterms,
                keep_private=keep_private,
            )

        self._connect = connect

    def open(
        self,
        call_id: str,
        on_transcript: Callable[[Transcript], None],
        on_error: Callable[[ProviderError], None],
    ) -> DeepgramSpeechStream:
        return DeepgramSpeechStream(
            self._dialect,
            self._connect,
            call_id,
            on_transcript,
            on_error,
            timeout=self._timeout,
            meter=self._meter,
        )

    async def check(self) -> None:
        """Connect and hang up: are key, model and network right? Raises ProviderError."""
        try:
            async with self._connect("check"):
                pass
        except Exception as error:
            fault = deepgram_client.socket_error(error)
            if fault is None:
                raise
            raise fault from error


class DeepgramSpeechStream:
    """One call's :class:`~voicebot.providers.interfaces.SpeechStream`, for one connection."""

    def __init__(
        self,
        dialect: Dialect,
        connect: Connect,
        call_id: str,
        on_transcript: Callable[[Transcript], None],
        on_error: Callable[[ProviderError], None],
        *,
        timeout: float,
        meter: Meter,
    ) -> None:
        self._dialect = dialect
        self._batch_bytes = round(dialect.batch * BYTES_PER_SECOND)
        self._connect = connect
        self._meter = meter
        self._on_transcript = on_transcript
        self._on_error = on_error
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._audio = TurnAudio()  # the pre-roll; in a turn everything goes out at once
        self._turn_seconds = 0.0
        self._outbox: deque[bytes | None] = deque()  # None asks for the finals
        self._unsent = 0  # bytes in the outbox
        self._wake = asyncio.Event()
        self._words = dialect.new_words()
        self._pause: int | None = None
        self._paused_at = 0.0
        self._late: asyncio.TimerHandle | None = None
        self._heard_from = self._loop.time()
        self._over = False
        self._task = self._loop.create_task(self._run(call_id), name=f"deepgram {call_id}")

    # -- SpeechStream

    def push(self, pcm: bytes) -> None:
        if self._over:
            return
        if not self._audio.in_turn:
            self._audio.push(pcm)
            return
        self._send(pcm)
        if self._pause is None and self._loop.time() - self._heard_from > QUIET:
            self._fail(ProviderLateError(Stage.STT, NAME, f"{NAME} has been quiet for {QUIET:g} s"))

    def expect(self, expectation: Expectation) -> None:
        """Deepgram needs no hint: what a yes or a number looks like is judged from the text."""

    def speech_started(self) -> None:
        self._forget_pause()
        self._heard_from = max(self._heard_from, self._loop.time())
        if self._audio.in_turn or self._over:
            return
        before = self._audio.pcm
        self._audio.end()
        self._audio.begin()
        self._words.begin_turn()
        self._turn_seconds = 0.0
        self._send(before)

    def speech_paused(self, pause: int) -> None:
        if self._over:
            return
        self._forget_pause()
        self._pause = pause
        self._paused_at = self._loop.time()
        self._words.ask()
        self._outbox.append(None)
        self._wake.set()
        self._late = self._loop.call_later(self._timeout, self._on_late)
        if self._words.answered:  # everything was final already: there may be no answer
            self._loop.call_soon(self._answer_if_known, pause)

    def turn_ended(self) -> None:
        self._forget_pause()
        self._audio.end()

    async def close(self) -> None:
        self._over = True
        self._forget_pause()
        self._task.cancel()
        await asyncio.wait((self._task,))

    # -- out

    def _send(self, pcm: bytes) -> None:
        if not pcm:
            return
        self._turn_seconds += seconds(pcm)
        self._words.sent(seconds(pcm))
        self._outbox.append(pcm)
        self._unsent += len(pcm)
        if self._unsent > MOST_UNSENT * BYTES_PER_SECOND:
            self._fail(ProviderLateError(Stage.STT, NAME, f"{NAME} takes no audio"))
        elif self._unsent >= self._batch_bytes:
            self._wake.set()

    async def _write(self, socket: Any) -> None:
        while True:
            try:
                async with asyncio.timeout(KEEP_ALIVE):
                    await self._wake.wait()
            except TimeoutError:
                if self._dialect.keep_alive is not None:
                    await self._dialect.keep_alive(socket)
                continue
            self._wake.clear()
            while self._outbox:
                pcm = self._take_audio()
                if pcm:
                    await socket.send_media(pcm)
                    self._meter.count(Unit.AUDIO_SECONDS, seconds(pcm))
                if self._outbox and self._outbox[0] is None:
                    self._outbox.popleft()
                    await self._dialect.ask(socket)

    def _take_audio(self) -> bytes:
        """What may go in one message: up to the next wish for finals."""
        pieces = []
        while self._outbox and (piece := self._outbox[0]) is not None:
            pieces.append(piece)
            self._unsent -= len(piece)
            self._outbox.popleft()
        return b"".join(pieces)

    # -- in

    async def _run(self, call_id: str) -> None:
        try:
            async with self._connect(call_id) as socket:
                writer = asyncio.create_task(self._write(socket))
                try:
                    async for message in socket:
                        self._on_message(message)
                finally:
                    writer.cancel()
                    # What it failed with is what the reader fails with: the connection is gone.
                    await asyncio.gather(writer, return_exceptions=True)
        except Exception as error:
            fault = deepgram_client.socket_error(error)
            if fault is None:
                raise
            self._fail(fault)
        else:
            message = f"{NAME} ended the transcription"
            self._fail(ProviderError(Stage.STT, NAME, message, retryable=True))

    def _on_message(self, message: Any) -> None:
        self._heard_from = self._loop.time()
        guess = self._words.take(message)
        if guess is not None and self._audio.in_turn and not self._over:
            self._on_transcript(Transcript(guess, 0, 0.0, early=True))
        if self._pause is not None:
            self._answer_if_known(self._pause)

    def _answer_if_known(self, pause: int) -> None:
        if self._over or pause != self._pause or not self._words.answered:
            return
        took = self._loop.time() - self._paused_at
        self._forget_pause()
        self._on_transcript(
            Transcript(
                self._words.text,
                pause,
                self._words.confidence,
                audio_seconds=self._turn_seconds,
                compute_seconds=took,
            )
        )

    # -- faults

    def _on_late(self) -> None:
        self._fail(
            ProviderLateError(Stage.STT, NAME, f"{NAME} sent no words in {self._timeout:g} s")
        )

    def _fail(self, error: ProviderError) -> None:
        if self._over:
            return
        self._over = True
        self._forget_pause()
        self._outbox.clear()
        self._task.cancel()
        self._on_error(error)

    def _forget_pause(self) -> None:
        self._pause = None
        if self._late is not None:
            self._late.cancel()
            self._late = None
