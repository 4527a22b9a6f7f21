"""What a speech provider must offer, whoever makes it.

Audio is slin (see :mod:`voicebot.audio.pcm`). Calls that take audio never wait: the event
loop that makes them also owes every caller a frame each 20 ms. Results come back through
callbacks on that loop. A provider reports trouble as :class:`ProviderError` and nothing else;
any other exception that escapes is a bug.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol


class Stage(Enum):
    """The three kinds of provider; the value is the metric label."""

    STT = "stt"
    LLM = "llm"
    TTS = "tts"


class ProviderError(Exception):
    """A provider failed. ``str()`` says what happened and what to do, without personal data."""

    def __init__(self, stage: Stage, provider: str, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.stage = stage
        self.provider = provider
        self.retryable = retryable


class Expectation(Enum):
    """What kind of answer the bot's last question asked for; lets an engine listen better."""

    ANYTHING = "anything"
    YES_NO = "yes_no"
    NUMBER = "number"


@dataclass(frozen=True, slots=True)
class Transcript:
    """What the caller said from the start of the turn up to one pause."""

    text: str
    """Empty when the audio held no words."""
    pause: int
    """Number of the pause it answers (see :meth:`SpeechStream.speech_paused`)."""
    confidence: float
    """0 to 1; engines differ, compare only within one."""
    yes: bool | None = None
    """For ``Expectation.YES_NO``: the engine's own verdict, ``None`` if it has none."""
    audio_seconds: float = 0.0
    compute_seconds: float = 0.0
    early: bool = False
    """Nobody asked, and it answers no pause (which is 0): the engine guesses that the turn is over
    with these words. Good enough to begin thinking, not to answer by. Without words it takes its
    guess back: the caller goes on."""


class SpeechStream(Protocol):
    """The caller's audio of one call, being transcribed. All methods return at once."""

    def push(self, pcm: bytes) -> None:
        """Take the next piece of caller audio (any even size), speech or not."""

    def expect(self, expectation: Expectation) -> None:
        """Say what the next answers are likely to be."""

    def speech_started(self) -> None:
        """Our VAD heard speech begin (a little pre-roll has been pushed already)."""

    def speech_paused(self, pause: int) -> None:
        """The caller paused: deliver a :class:`Transcript` of the turn so far.

        A later pause of the same turn replaces an earlier one that is still being worked on.
        """

    def turn_ended(self) -> None:
        """The turn is over: forget its audio; the next speech starts a new one."""

    async def close(self) -> None:
        """Release everything. No callback comes after this returns. Idempotent."""


class SpeechToText(Protocol):
    """Opens one :class:`SpeechStream` for each call."""

    name: str

    def open(
        self,
        call_id: str,
        on_transcript: Callable[[Transcript], None],
        on_error: Callable[[ProviderError], None],
    ) -> SpeechStream: ...


class TextToSpeech(Protocol):
    """Turns one sentence into audio."""

    name: str
    voice: str

    def synthesize(self, text: str) -> AsyncIterator[bytes]:
        """Yield slin as it becomes available, in pieces of any even size.

        Closing the iterator cancels the work. Raises :class:`ProviderError`.
        """


class Role(Enum):
    """Who a message to a language model is from; the value is what chat services call it."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation with a language model."""

    role: Role
    content: str


Judge = Callable[[str], float | None]
"""Of one reply: told each piece, it says for how many seconds the caller is served by all that has
come; None: nothing can be done with it yet."""


def any_words() -> Judge:
    """Whatever is written is of use, and nobody waits for more."""
    return lambda piece: math.inf


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """What a language model is asked. It holds personal data: never log it."""

    messages: tuple[Message, ...]
    max_tokens: int
    """The longest reply, reasoning included."""
    call_id: str = ""
    """For the provider's log line and trace only; not sent as content."""
    speculative: bool = False
    """Asked before the turn is certain to be over: worth no retry, no hedge; counted apart."""
    new_judge: Callable[[], Judge] = any_words
    """Makes a judge of one reply. Until it finds it of use, another provider may still answer."""


class LanguageModel(Protocol):
    """Answers a conversation, as a stream of text."""

    name: str

    def answer(self, request: ModelRequest) -> AsyncIterator[str]:
        """Yield the reply in pieces of any size as they arrive; none is empty.

        Closing the iterator cancels the request. Raises :class:`ProviderError`. Tokens used are
        counted by the provider.
        """
