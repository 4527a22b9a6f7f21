"""The bot's voice in one call: sentences in, frames out, and what of them was heard.

A sentence that is in the prompt cache is ready at once; another is synthesised while those before
it play. What was synthesised is kept for the call, and an interruption does not stop the sentence
being made: an utterance that is carried on, or repeated, then costs nothing. Sentences are the
playout's utterances here: cutting one tells how far into it the caller heard, and so which words.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Protocol

from voicebot.audio import pcm
from voicebot.audio.playout import PlayoutBuffer
from voicebot.dialogue.events import PlayoutEnded, PlayoutStopped
from voicebot.dialogue.history import words_heard
from voicebot.providers.interfaces import ProviderError, TextToSpeech

MOST_CLIPS = 8
"""Synthesised sentences kept of a call, 100 kB each; the one used longest ago goes first."""


class Prompts(Protocol):
    """Rendered sentences, in memory."""

    def get(self, text: str) -> bytes | None: ...


class SpeakerListener(Protocol):
    """Who is told how it goes; called on the event loop's thread."""

    def audio_ready(self) -> None:
        """The first audio of the utterance can be played."""

    def audio_sent(self) -> None:
        """The first frame of the utterance has been handed over."""

    def utterance_ended(self, event: PlayoutEnded) -> None:
        """The caller has heard all of it."""

    def prompt_looked_up(self, found: bool) -> None:
        """A sentence was looked for among the rendered prompts."""

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
    seconds: float = 0.0
    """Audio so far."""


@dataclass(slots=True)
class _Utterance:
    number: int
    sentences: dict[int, _Sentence] = field(default_factory=dict)
    ready: bool = False
    sent: bool = False

    @property
    def text(self) -> str:
        return " ".join(sentence.text for sentence in self.sentences.values())


class Speaker:
    """One utterance at a time; ask :meth:`next_frame` once for each 20 ms slot."""

    def __init__(self, tts: TextToSpeech, prompts: Prompts, listener: SpeakerListener) -> None:
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

    def say(self, number: int, sentences: tuple[str, ...]) -> None:
        """Begin an utterance. Call :meth:`stop` first if another is playing."""
        assert self._utterance is None, "stop() comes before say()"
        utterance = self._utterance = _Utterance(number)
        for text in sentences:
            self._sentence_numbers += 1
            utterance.sentences[self._sentence_numbers] = _Sentence(text)
        waiting = list(utterance.sentences.items())
        while waiting and self._play_prompt(utterance, *waiting[0]):
            del waiting[0]
        if waiting:
            self._task = asyncio.get_running_loop().create_task(self._speak(utterance, waiting))
        elif not sentences:
            self._end(utterance)

    def prepare(self, sentences: tuple[str, ...]) -> None:
        """Synthesise what is not at hand, so that it is when it is said."""
        for text in sentences:
            if self._prompts.get(text) is None:
                self._clip(text)

    def stop(self) -> PlayoutStopped | None:
        """Fall silent now; None if nothing was being said."""
        utterance, self._utterance = self._utterance, None
        if utterance is None:
            return None
        self._cancel()
        heard = self._playout.flush()
        numbers = list(utterance.sentences)
        cut = heard.utterance if heard is not None else numbers[0]
        words = [utterance.sentences[n].text for n in numbers if n < cut]
        sentence = utterance.sentences[cut]
        if heard is not None and sentence.seconds:
            words.append(words_heard(sentence.text, heard.seconds / sentence.seconds))
        unheard = tuple(utterance.sentences[n].text for n in numbers if n >= cut)
        return PlayoutStopped(utterance.number, " ".join(words).strip(), unheard)

    def next_frame(self) -> bytes | None:
        """The next 20 ms, or None for silence."""
        frame = self._playout.pop()
        utterance = self._utterance
        if frame is not None and utterance is not None and not utterance.sent:
            utterance.sent = True
            self._listener.audio_sent()
        for number in self._playout.take_heard():
            if utterance is not None and number == max(utterance.sentences):
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
        self._listener.utterance_ended(PlayoutEnded(utterance.number, utterance.text))

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _play_prompt(self, utterance: _Utterance, number: int, sentence: _Sentence) -> bool:
        audio = self._prompts.get(sentence.text)
        self._listener.prompt_looked_up(audio is not None)
        if audio is None:
            return False
        self._push(utterance, number, audio)
        self._playout.finish(number)
        return True

    def _push(self, utterance: _Utterance, number: int, audio: bytes) -> None:
        self._playout.push(number, audio)
        utterance.sentences[number].seconds += pcm.seconds(audio)
        if not utterance.ready:
            utterance.ready = True
            self._listener.audio_ready()

    async def _speak(self, utterance: _Utterance, waiting: list[tuple[int, _Sentence]]) -> None:
        for number, sentence in waiting:
            if number != waiting[0][0] and self._play_prompt(utterance, number, sentence):
                continue  # the first one was looked up before
            clip = self._clip(sentence.text)
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
            if self._utterance is not utterance:
                return  # stopped meanwhile; its place in the playout is gone
            self._playout.finish(number)

    def _clip(self, text: str) -> _Clip:
        """The audio of *text*, made or in the making."""
        clip = self._clips.get(text)
        if clip is None:
            clip = self._clips[text] = _Clip()
            clip.task = asyncio.get_running_loop().create_task(self._synthesize(text, clip))
            if len(self._clips) > MOST_CLIPS:
                _, oldest = self._clips.popitem(last=False)
                if oldest.task is not None:
                    oldest.task.cancel()
        self._clips.move_to_end(text)
        return clip

    async def _synthesize(self, text: str, clip: _Clip) -> None:
        try:
            async for audio in self._tts.synthesize(text):
                clip.pieces.append(audio)
                clip.more.set()
        except ProviderError as error:
            clip.error = error
            self._clips.pop(text, None)  # the next attempt is a new one
        finally:
            clip.complete = True
            clip.more.set()
