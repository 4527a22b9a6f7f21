"""What the bot is saying: started, ended, cut, carried on, repeated.

An utterance that the caller interrupts is kept from the sentence that was cut on, so that a cough
or an "mm-hm" does not cost the caller the rest.

An utterance may be *open*: begun before all of it is known. A filler ("un instant") is the
beginning of one, and the answer goes on from it; it is no part of what is repeated or carried on.
"""

from __future__ import annotations

from enum import Enum, auto

from voicebot.dialogue.commands import Command, Say, SayMore, StopPlayout
from voicebot.dialogue.events import PlayoutEnded, PlayoutStopped

MOST_RESUMED = 2
"""Times in a row an utterance is carried on; a caller who keeps saying "yes" over it means it."""


class After(Enum):
    """What the end of an utterance leads to."""

    LISTEN = auto()
    SOLUTION_PAUSE = auto()
    END = auto()


class Floor:
    """The bot's side of the floor; quiet at first."""

    def __init__(self) -> None:
        self.speaking = False
        self.after = After.LISTEN
        self.cut: tuple[str, ...] | None = None
        """Sentences the caller has not heard of the utterance they interrupted."""
        self.put = True
        """Whether they had heard half of its last sentence, the question, or more."""
        self.last_said: tuple[str, ...] = ()
        """What "repeat that" repeats."""
        self.audible = False
        """Whether the caller hears the utterance already."""
        self._utterance = 0
        self._resumed = 0
        self._open = False
        self._sentences: tuple[str, ...] = ()
        """All of the utterance, as far as it is known."""
        self._closing: tuple[str, ...] = ()
        """What an open utterance will end with."""
        self._filler: tuple[str, ...] = ()

    def say(
        self, sentences: tuple[str, ...], then: After = After.LISTEN, *, keep: bool = False
    ) -> list[Command]:
        """Speak, falling silent first if need be (but for a filler, which this is the answer to);
        *keep* leaves ``last_said`` as it was."""
        if not keep:
            self.last_said = sentences
            self._resumed = 0
        return self._begin(sentences, then, more=False)

    def begin(self, sentence: str, then: After, closing: tuple[str, ...]) -> list[Command]:
        """Begin an utterance of which more will come, and which will end with *closing*."""
        self.last_said = (sentence, *closing)
        self._resumed = 0
        commands = self._begin((sentence,), then, more=True)
        self._closing = closing
        return commands

    def more(self, sentence: str) -> list[Command]:
        """Go on with the open utterance; nothing if it was stopped."""
        if not self._open:
            return []
        self._sentences += (sentence,)
        self.last_said = (*self.last_said[: -len(self._closing) or None], sentence, *self._closing)
        return [SayMore(self._utterance, (sentence,), last=False)]

    def close(self) -> list[Command]:
        """End the open utterance as it was meant to; nothing if it was stopped."""
        if not self._open:
            return []
        self._open = False
        self._sentences += self._closing
        return [SayMore(self._utterance, self._closing, last=True)]

    def fill(self, filler: tuple[str, ...]) -> list[Command]:
        """Say *filler* before what is late: the utterance that nobody hears yet, or one to come."""
        self._filler = filler
        if not self.speaking:
            return self._begin(filler, self.after, more=True, filler=len(filler))
        closing, is_open = self._closing, self._open
        self._open = False
        sentences = (*filler, *self._sentences)
        commands = self._begin(sentences, self.after, more=is_open, filler=len(filler))
        self._closing = closing
        return commands

    @property
    def filling(self) -> bool:
        """Whether a filler is all that was said of what is owed."""
        return self.speaking and self._open and self._sentences == self._filler

    def _begin(
        self, sentences: tuple[str, ...], then: After, *, more: bool, filler: int = 0
    ) -> list[Command]:
        if self.filling:
            self._sentences += sentences
            self.after, self._open, self._closing = then, more, ()
            return [SayMore(self._utterance, sentences, last=not more)]
        commands = self.hush()
        self._utterance += 1
        self.speaking, self.audible = True, False
        self.after, self._open, self._closing = then, more, ()
        self._sentences = sentences
        return [*commands, Say(self._utterance, sentences, more=more, filler=filler)]

    def hush(self) -> list[Command]:
        """Fall silent for good."""
        was_speaking, self.speaking = self.speaking, False
        self._open = False
        return [StopPlayout()] if was_speaking else []

    def began(self, utterance: int) -> None:
        """The caller hears the first of it."""
        if utterance == self._utterance:
            self.audible = True

    def ended(self, event: PlayoutEnded) -> After | None:
        """What to do now; None if *event* is about an utterance that is history."""
        if event.utterance != self._utterance or not self.speaking:
            return None
        self.speaking = False
        self._open = False
        return self.after

    def stopped(self, event: PlayoutStopped) -> None:
        if event.utterance == self._utterance and self.speaking:
            self.speaking = False
            unheard = (*event.unheard, *(self._closing if self._open else ()))
            self._open = False
            self.cut = tuple(s for s in unheard if s not in self._filler)
            self.put = len(self.cut) <= 1 and self._half_heard(event)

    def _half_heard(self, event: PlayoutStopped) -> bool:
        """Of the sentence that was cut."""
        if not event.unheard:
            return True
        whole = self._sentences[: len(self._sentences) - len(event.unheard)]
        heard = len(event.heard.split()) - sum(len(sentence.split()) for sentence in whole)
        return 2 * heard >= len(event.unheard[0].split())

    @property
    def may_resume(self) -> bool:
        """Whether something was cut that is worth carrying on with."""
        return bool(self.cut) and self._resumed < MOST_RESUMED

    def carry_on(self) -> list[Command]:
        """Say what was cut; nothing if nothing was."""
        cut, self.cut = self.cut, None
        self._resumed += 1
        return self.say(cut, self.after, keep=True) if cut else []
