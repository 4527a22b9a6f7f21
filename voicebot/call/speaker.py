"""The bot's voice in one call: sentences in, frames out, and what of them was heard.

A sentence that is in the prompt cache is ready at once; another is synthesised while those before
it play. What was synthesised is kept for the call, and an interruption does not stop the sentence
being made: an utterance that is carried on, or repeated, then costs nothing. Sentences are the
playout's utterances here: cutting one tells how far into it the caller heard, and so which words.

An *open* utterance is one whose last sentences are still being thought of: more may be added while
it plays, and it ends only once it has been closed.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from math import inf
from typing import Protocol

import structlog

from voicebot.audio import pcm
from voicebot.audio.playout import PlayoutBuffer
from voicebot.dialogue.events import PlayoutEnded, PlayoutStopped
from voicebot.dialogue.history import words_heard
from voicebot.providers.interfaces import ProviderError, Stage, TextToSpeech

log = structlog.get_logger(__name__)

KEPT_SECONDS = 12.0
"""Synthesised speech that is kept of a call, 16 kB a second: the last two or three answers. The
sentence used longest ago goes first."""


class Prompts(Protocol):
    """Rendered sentences, in memory."""

    def get(self, text: str) -> bytes | None: ...


class SpeakerListener(Protocol):
    """Who is told how it goes; called on the event loop's thread."""

    def audio_ready(self) -> None:
        """The first audio of the utterance can be played, its filler not counted."""

    def audio_sent(self, utterance: int) -> None:
        """The first frame of *utterance* has been handed over."""

    def answer_sent(self) -> None:
        """The first frame of it that is no filler's has been handed over."""

    def utterance_ended(self, event: PlayoutEnded) -> None:
        """The caller has heard all of it."""

    def prompt_looked_up(self, found: bool) -> None:
        """A sentence was looked for among the rendered prompts."""

    def sentence_made(self, text: str) -> None:
        """*text* was no prompt, and has been synthesised to its end."""

    def speech_failed(self, error: ProviderError) -> None:
        """A sentence could not be spoken; the rest of the utterance goes on."""


@dataclass(slots=True)
class _Clip:
    """A sentence that is being synthesised, or was."""

    pieces: list[bytes] = field(default_factory=list)
    task: asyncio.Task[None] | None = None
    error: ProviderError | None = None
    more: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a piece or the end has come."""
    complete: bool = False


@dataclass(slots=True)
class _Sentence:
    text: str
    filler: bool
    """It only bridges the time until the answer comes."""
    seconds: float = 0.0
    """Audio so far."""


@dataclass(slots=True)
class _Utterance:
    number: int
    open: bool
    """More sentences may come."""
    sentences: dict[int, _Sentence] = field(default_factory=dict)
    waiting: deque[int] = field(default_factory=deque)
    """Those nobody works on yet."""
    busy: bool = False
    """One of them is being synthesised."""
    heard: int = 0
    """The last one the caller has heard to its end."""
    sent: bool = False
    ready: bool = False
    """There is audio of more than its filler."""
    answered: bool = False
    """And of that a frame has been handed over."""

    @property
    def over(self) -> bool:
        return not self.open and self.heard == max(self.sentences, default=0)

    def text(self, before: float = inf) -> str:
        """Its sentences up to the one numbered *before*; but for those that could not be spoken."""
        spoken = (s.text for number, s in self.sentences.items() if number < before and s.seconds)
        return " ".join(spoken)


class Speaker:
    """One utterance at a time; ask :meth:`next_frame` once for each 20 ms slot."""

    def __init__(
        self,
        tts: TextToSpeech,
        prompts: Prompts,
        listener: SpeakerListener,
        context: Context | None = None,
    ) -> None:
        """*context*: of the call, for what is synthesised (see :mod:`voicebot.providers.usage`)."""
        self._context = context or copy_context()
        self._tts = tts
        self._prompts = prompts
        self._listener = listener
        self._playout = PlayoutBuffer()
        self._utterance: _Utterance | None = None
        self._sentence_numbers = 0
        self._task: asyncio.Task[None] | None = None
        self._clips: OrderedDict[str, _Clip] = OrderedDict()

    @property
    def speaking(self) -> bool:
        return self._utterance is not None

    @property
    def underruns(self) -> int:
        """20 ms slots, since the start, in which a sentence had to wait for its next audio."""
        return self._playout.underruns

    def say(
        self, number: int, sentences: tuple[str, ...], *, more: bool = False, filler: int = 0
    ) -> None:
        """Begin an utterance (*more* of it may come), of which the first *filler* sentences are no
        answer yet. If another is playing, :meth:`stop` first."""
        assert self._utterance is None, "stop() comes before say()"
        self._utterance = _Utterance(number, open=True)
        self._add(self._utterance, sentences, last=not more, filler=filler)

    def say_more(self, number: int, sentences: tuple[str, ...], *, last: bool) -> None:
        """Add to the open utterance *number*; no effect if it was stopped meanwhile."""
        utterance = self._utterance
        if utterance is None or utterance.number != number:
            return
        assert utterance.open, "the utterance was closed"
        self._add(utterance, sentences, last=last)

    def _add(
        self, utterance: _Utterance, sentences: tuple[str, ...], *, last: bool, filler: int = 0
    ) -> None:
        for position, text in enumerate(sentences):
            self._sentence_numbers += 1
            utterance.sentences[self._sentence_numbers] = _Sentence(text, position < filler)
            utterance.waiting.append(self._sentence_numbers)
        utterance.open = not last
        if not utterance.busy:
            self._play_prompts(utterance)
            if utterance.waiting:
                utterance.busy = True
                self._task = asyncio.get_running_loop().create_task(self._speak(utterance))
        if utterance.over:
            self._end(utterance)

    def prepare(self, sentences: tuple[str, ...]) -> None:
        """Synthesise what is not at hand, so that it is when it is said."""
        for text in sentences:
            if self._prompts.get(text) is None:
                self._clip(text)

    def forget(self, sentences: tuple[str, ...]) -> None:
        """Stop making what was prepared, but for what is being said."""
        said = self._utterance.sentences.values() if self._utterance is not None else ()
        for text in sentences:
            if not any(sentence.text == text for sentence in said):
                clip = self._clips.pop(text, None)
                if clip is not None and clip.task is not None:
                    clip.task.cancel()

    def stop(self) -> PlayoutStopped | None:
        """Fall silent now; None if nothing was being said."""
        utterance, self._utterance = self._utterance, None
        if utterance is None:
            return None
        self._cancel()
        heard = self._playout.flush()
        numbers = list(utterance.sentences)
        cut = heard.utterance if heard is not None else utterance.heard + 1
        text = utterance.text(cut)
        if heard is not None and (sentence := utterance.sentences[cut]).seconds:
            text += " " + words_heard(sentence.text, heard.seconds / sentence.seconds)
        unheard = tuple(utterance.sentences[n].text for n in numbers if n >= cut)
        return PlayoutStopped(utterance.number, text.strip(), unheard)

    def next_frame(self) -> bytes | None:
        """The next 20 ms, or None for silence."""
        frame = self._playout.pop()
        utterance = self._utterance
        if frame is not None and utterance is not None and not utterance.answered:
            if not utterance.sent:
                utterance.sent = True
                self._listener.audio_sent(utterance.number)
            if not utterance.sentences[frame.utterance].filler:
                utterance.answered = True
                self._listener.answer_sent()
        for number in self._playout.take_heard():
            if utterance is not None and number in utterance.sentences:
                utterance.heard = number
                if utterance.over:
                    self._end(utterance)
        return frame.pcm if frame is not None else None

    async def close(self) -> None:
        """Stop for good and wait for what was being synthesised to let go."""
        self._utterance = None
        tasks = [self._task, *(clip.task for clip in self._clips.values())]
        live = [task for task in tasks if task is not None]
        self._task = None
        self._clips.clear()
        for task in live:
            task.cancel()
        await asyncio.gather(*live, return_exceptions=True)

    def _end(self, utterance: _Utterance) -> None:
        self._utterance = None
        self._listener.utterance_ended(PlayoutEnded(utterance.number, utterance.text()))

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _play_prompts(self, utterance: _Utterance) -> None:
        """Take what needs no synthesis from the front of what waits."""
        while utterance.waiting:
            number = utterance.waiting[0]
            audio = self._prompts.get(utterance.sentences[number].text)
            self._listener.prompt_looked_up(audio is not None)
            if audio is None:
                return
            utterance.waiting.popleft()
            self._push(utterance, number, audio)
            self._playout.finish(number)

    def _push(self, utterance: _Utterance, number: int, audio: bytes) -> None:
        self._playout.push(number, audio)
        sentence = utterance.sentences[number]
        sentence.seconds += pcm.seconds(audio)
        if not utterance.ready and not sentence.filler:
            utterance.ready = True
            self._listener.audio_ready()

    async def _speak(self, utterance: _Utterance) -> None:
        """Speak what waits, starting with a sentence that has to be synthesised."""
        while utterance.waiting:
            number = utterance.waiting.popleft()
            clip = self._clip(utterance.sentences[number].text)
            position = 0
            while True:
                for piece in clip.pieces[position:]:
                    self._push(utterance, number, piece)
                position = len(clip.pieces)
                if clip.complete:
                    break
                clip.more.clear()
                await clip.more.wait()
            if clip.error is not None:
                self._listener.speech_failed(clip.error)
            else:
                self._listener.sentence_made(utterance.sentences[number].text)
            if self._utterance is not utterance:
                return  # stopped meanwhile; its place in the playout is gone
            self._playout.finish(number)
            self._play_prompts(utterance)
        utterance.busy = False

    def _clip(self, text: str) -> _Clip:
        """The audio of *text*, made or in the making."""
        clip = self._clips.get(text)
        if clip is None:
            clip = self._clips[text] = _Clip()
            clip.task = asyncio.get_running_loop().create_task(
                self._synthesize(text, clip), context=self._context.copy()
            )
        self._clips.move_to_end(text)
        return clip

    def _make_room(self) -> None:
        """Forget what was used longest ago, beyond what is kept; nothing that is in the making, and
        not the last sentence, however long it is."""
        made = [
            (text, sum(map(pcm.seconds, clip.pieces)))
            for text, clip in self._clips.items()
            if clip.complete
        ]
        excess = sum(seconds for _, seconds in made) - KEPT_SECONDS
        for text, seconds in made[:-1]:
            if excess <= 0:
                return
            del self._clips[text]
            excess -= seconds

    async def _synthesize(self, text: str, clip: _Clip) -> None:
        try:
            async for audio in self._tts.synthesize(text):
                clip.pieces.append(audio)
                clip.more.set()
        except ProviderError as error:
            clip.error = error
            self._clips.pop(text, None)  # the next attempt is a new one
        except Exception:
            # A bug in a voice must not pass for a sentence that was said.
            log.exception("voice failed", provider=self._tts.name)
            message = f"{self._tts.name} failed by a bug; the log has its trace"
            clip.error = ProviderError(Stage.TTS, self._tts.name, message, retryable=False)
            self._clips.pop(text, None)
        finally:
            clip.complete = True
            clip.more.set()
            self._make_room()
