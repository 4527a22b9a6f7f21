"""A whole call without sockets, engines or waiting: the real session between scripted doubles.

The stage plays the connection: it asks the session for a frame each 20 ms and hands it the
caller's. Speech is any loud frame (the VAD double says so); what was "said" is scripted, and so are
the bot's sentences: 0.1 s of sound for each word, at once from the prompts, or later from the
synthesiser.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cache

from voicebot import script_file
from voicebot.audio import pcm
from voicebot.call.detector import Detector, VoiceActivity
from voicebot.call.recorder import Recorder
from voicebot.call.services import Services
from voicebot.call.session import CallMemory, CallSession
from voicebot.dialogue.script import Script
from voicebot.dialogue.slots import Limits
from voicebot.journal.records import CallbackRequest, CallEndRecord, CallStartRecord, TurnRecord
from voicebot.prompts.learned import Learned
from voicebot.providers.instrumented import InstrumentedSpeechToText, InstrumentedTextToSpeech
from voicebot.providers.interfaces import (
    Expectation,
    LanguageModel,
    ModelRequest,
    ProviderError,
    Stage,
    Transcript,
)
from voicebot.providers.turn_ends import TurnEnds
from voicebot.telemetry.metrics import Metrics
from voicebot.telemetry.tracing import OFF, Tracing

SPEECH = b"\x00\x20" * pcm.FRAME_SAMPLES
BOT_FRAME = b"\x00\x10" * pcm.FRAME_SAMPLES
SECONDS_PER_WORD = 0.1


class LoudnessVad:
    """Certain about every window."""

    def caller(self) -> None: ...

    def process(self, callers: Sequence[None], windows: Sequence[bytes]) -> list[float]:
        return [self.judge(window) for window in windows]

    def judge(self, window: bytes) -> float:
        return 1.0 if any(window) else 0.0


@dataclass
class ScriptedStt:
    """Answers each pause with the next text, *delay* seconds later. A text of None is a failure,
    an answer of Ellipsis never comes."""

    texts: list[object] = field(default_factory=list)
    delay: float = 0.1
    name: str = "local"
    expectations: list[Expectation] = field(default_factory=list)
    said: str = ""

    def open(
        self,
        call_id: str,
        on_transcript: Callable[[Transcript], None],
        on_error: Callable[[ProviderError], None],
    ) -> ScriptedStt:
        self._on_transcript, self._on_error = on_transcript, on_error
        self._timers: list[asyncio.TimerHandle] = []
        return self

    def push(self, pcm: bytes) -> None: ...

    def expect(self, expectation: Expectation) -> None:
        self.expectations.append(expectation)

    def speech_started(self) -> None: ...

    def speech_paused(self, pause: int) -> None:
        text = self.texts.pop(0) if self.texts else ""
        loop = asyncio.get_running_loop()
        if text is ...:
            return
        if text is None:
            error = ProviderError(Stage.STT, self.name, "broken", retryable=True)
            self._timers.append(loop.call_later(self.delay, self._on_error, error))
        else:
            transcript = Transcript(str(text), pause, 0.9, compute_seconds=self.delay)
            self._timers.append(loop.call_later(self.delay, self._on_transcript, transcript))

    def turn_ended(self) -> None: ...

    async def close(self) -> None:
        for timer in self._timers:
            timer.cancel()


@cache
def _script() -> Script:
    """The shipped one; nobody can change it."""
    return script_file.load()


def speech_of(text: str) -> bytes:
    return BOT_FRAME * round(len(text.split()) * SECONDS_PER_WORD / pcm.FRAME_SECONDS)


@dataclass
class ScriptedTts:
    """Synthesises after *delay*; texts that hold *fails_on* fail."""

    delay: float = 0.3
    fails_on: str | None = None
    name: str = "local"
    voice: str = "test"
    made: list[str] = field(default_factory=list)

    async def synthesize(self, text: str) -> AsyncIterator[bytes]:
        await asyncio.sleep(self.delay)
        if self.fails_on is not None and self.fails_on in text:
            raise ProviderError(Stage.TTS, self.name, "broken", retryable=True)
        self.made.append(text)
        yield speech_of(text)


@dataclass
class ScriptedModel:
    """For each request one script: text, seconds to wait, or what to raise; the last goes on."""

    scripts: list[list[object]] = field(default_factory=list)
    name: str = "groq"
    requests: list[ModelRequest] = field(default_factory=list)
    running: int = 0

    async def answer(self, request: ModelRequest) -> AsyncIterator[str]:
        script = self.scripts[min(len(self.requests), len(self.scripts) - 1)]
        self.requests.append(request)
        self.running += 1
        try:
            for step in script:
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, str):
                    yield step
                else:
                    await asyncio.sleep(step)  # type: ignore[arg-type]
        finally:
            self.running -= 1


class Prompts:
    """Every fixed sentence of the shipped script."""

    def __init__(self) -> None:
        self._audio = {text: speech_of(text) for text in _script().fixed_texts()}

    def get(self, text: str) -> bytes | None:
        return self._audio.get(text)


class NotedJournal:
    """Keeps the records; ``answers`` False leaves callbacks unanswered."""

    def __init__(self, *, answers: bool = True) -> None:
        self.started: list[CallStartRecord] = []
        self.turns: list[TurnRecord] = []
        self.callbacks: list[CallbackRequest] = []
        self.ended: list[CallEndRecord] = []
        self.call_started = self.started.append
        self.turn_ended = self.turns.append
        self.call_ended = self.ended.append
        self._answers = answers

    def callback_requested(self, request: CallbackRequest) -> Future[int]:
        self.callbacks.append(request)
        future: Future[int] = Future()
        if self._answers:
            future.set_result(1)
        return future


class CallStage:
    """One call. ``await stage.say(1.0)`` lets the caller speak for a second, and so on."""

    def __init__(
        self,
        stt: ScriptedStt | None = None,
        *,
        tts: ScriptedTts | None = None,
        llm: LanguageModel | None = None,
        journal: NotedJournal | None = None,
        technician: bool = True,
        recorder: Recorder | None = None,
        call_id: uuid.UUID | None = None,
        tracing: Tracing = OFF,
        metrics: Metrics | None = None,
        measured: bool = False,
        learned: Learned | None = None,
        vad: VoiceActivity | None = None,
        turn_ends: Callable[[Metrics], TurnEnds] | None = None,
    ) -> None:
        """*measured*: the providers are wrapped as the service wraps them."""
        self.loop = asyncio.get_running_loop()
        self.metrics = metrics or Metrics()
        self.stt = stt or ScriptedStt()
        self.tts = tts or ScriptedTts()
        self.llm = llm
        self.journal = journal or NotedJournal()
        self.heard: list[bytes | None] = []
        self.memory: CallMemory | None = None
        self.hung_up_by_bot = False
        self.late_frames = 0
        services = Services(
            script=_script(),
            limits=Limits(8, 15, 600),
            stt=InstrumentedSpeechToText(self.stt, self.metrics) if measured else self.stt,
            llm=llm,
            tts=InstrumentedTextToSpeech(self.tts, self.metrics) if measured else self.tts,
            prompts=Prompts(),
            detector=Detector(vad or LoudnessVad(), self.loop),
            metrics=self.metrics,
            journal=self.journal,  # type: ignore[arg-type]
            recorder=recorder,
            technician_available=lambda: technician,
            currency="USD",
            tracing=tracing,
            learned=learned,
            turn_ends=turn_ends(self.metrics) if turn_ends is not None else None,
        )
        self.session = CallSession(
            call_id or uuid.uuid4(),
            self,  # type: ignore[arg-type]
            services,
            self.loop,
            self._on_ended,
        )
        self.watch = self.session.feed.subscribe()

    # -- the connection, as the session sees it

    def end(self) -> None:
        self.hung_up_by_bot = True

    def fail(self, error: Exception) -> None:
        raise error

    # -- the story

    async def start(self, came_back: CallMemory | None = None) -> None:
        self.session.start(came_back)
        await self.slots(3)

    async def slots(self, count: int, frame: bytes | None = pcm.SILENCE_FRAME) -> None:
        """*count* times 20 ms; *frame* is what the caller sends, None for nothing at all."""
        for _ in range(count):
            if self.memory is not None:
                return
            if frame is not None:
                self.session.audio_received(frame, self.loop.time())
            self.heard.append(self.session.next_frame())
            if self.hung_up_by_bot:
                self.session.connection_lost(None)
            await asyncio.sleep(pcm.FRAME_SECONDS)

    async def say(self, seconds: float) -> None:
        await self.slots(round(seconds / pcm.FRAME_SECONDS), SPEECH)

    async def listen(self, seconds: float) -> None:
        await self.slots(round(seconds / pcm.FRAME_SECONDS))

    async def listen_until_silent(self, longest: float = 30.0) -> None:
        """Hear the bot out: until it has been quiet for half a second."""
        quiet = 0
        for _ in range(round(longest / pcm.FRAME_SECONDS)):
            await self.slots(1)
            quiet = 0 if self.heard[-1] is not None else quiet + 1
            if quiet * pcm.FRAME_SECONDS >= 0.5 or self.memory is not None:
                return
        raise AssertionError("the bot does not stop talking")

    async def answer(self, seconds: float = 1.0) -> None:
        """Hear the bot out, speak for *seconds*, and wait until it speaks again."""
        await self.listen_until_silent()
        await self.say(seconds)
        await self.slots(1)
        for _ in range(300):
            if self.heard[-1] is not None or self.memory is not None:
                return
            await self.slots(1)
        raise AssertionError("the bot does not answer")

    async def hang_up(self) -> None:
        self.session.connection_lost(None)
        await self.session.released()

    def _on_ended(self, session: CallSession, memory: CallMemory) -> None:
        self.memory = memory

    # -- what is looked at

    def events(self, kind: str | None = None) -> list[dict[str, object]]:
        """What the event feed told since the last look; of *kind* only, if given."""
        events = []
        while (event := self.watch.get(timeout=0)) is not None:
            events.append(dict(event))
        return [event for event in events if kind in (None, event["event"])]

    def metric(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0
