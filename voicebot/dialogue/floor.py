"""What the bot is saying: started, ended, cut, carried on, repeated.

An utterance that the caller interrupts is kept from the sentence that was cut on, so that a cough
or an "mm-hm" does not cost the caller the rest.
"""

from __future__ import annotations

from enum import Enum, auto

from voicebot.dialogue.commands import Command, Say, StopPlayout
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
        self.last_said: tuple[str, ...] = ()
        """What "repeat that" repeats."""
        self._utterance = 0
        self._resumed = 0

    def say(
        self, sentences: tuple[str, ...], then: After = After.LISTEN, *, keep: bool = False
    ) -> list[Command]:
        """Speak, falling silent first if need be; *keep* leaves ``last_said`` as it was."""
        commands = self.hush()
        self._utterance += 1
        self.speaking = True
        self.after = then
        if not keep:
            self.last_said = sentences
            self._resumed = 0
        return [*commands, Say(self._utterance, sentences)]

    def hush(self) -> list[Command]:
        """Fall silent for good."""
        was_speaking, self.speaking = self.speaking, False
        return [StopPlayout()] if was_speaking else []

    def ended(self, event: PlayoutEnded) -> After | None:
        """What to do now; None if *event* is about an utterance that is history."""
        if event.utterance != self._utterance or not self.speaking:
            return None
        self.speaking = False
        return self.after

    def stopped(self, event: PlayoutStopped) -> None:
        if event.utterance == self._utterance and self.speaking:
            self.speaking = False
            self.cut = event.unheard

    @property
    def may_resume(self) -> bool:
        """Whether something was cut that is worth carrying on with."""
        return bool(self.cut) and self._resumed < MOST_RESUMED

    def carry_on(self) -> list[Command]:
        """Say what was cut; nothing if nothing was."""
        cut, self.cut = self.cut, None
        self._resumed += 1
        return self.say(cut, self.after, keep=True) if cut else []
