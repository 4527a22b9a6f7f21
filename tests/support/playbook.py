"""A conversation as a screenplay: ``>>`` something happens, ``<<`` the bot does this and no more.

    play = Playbook(script)
    play >> answered()
    play << says("Bonjour", "votre problème")
    play >> caller("J'ai un problème avec mon internet.")
    play << moves("identification") << says("votre nom")

Time passes with ``>> seconds(8)``: deadlines that fall into it fire at their exact time, until the
bot speaks. ``>> heard()`` ends the current utterance; ``>> caller(...)`` hears it out first. What
the bot says, and every act of its, must be expected (``<< says(...)``); notes and states may be. A
playbook that ends with commands nobody looked at fails: use it as a context manager.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from voicebot.dialogue import commands as do
from voicebot.dialogue import events as ev
from voicebot.dialogue.machine import DialogueMachine
from voicebot.dialogue.script import Script
from voicebot.dialogue.slots import Limits
from voicebot.turns.events import Paused, SpeechLasted, SpeechStarted

LIMITS = Limits(silence_warning=8, silence_hangup=15, call=600)


@dataclass(frozen=True)
class Step:
    """Something that happens, told to the machine as one or more events."""

    events: Callable[[Playbook], list[ev.Event]]
    takes: float = 0.0
    shown: str = ""


@dataclass(frozen=True)
class Expected:
    """One command, described; *matches* says whether it is the one."""

    matches: Callable[[do.Command], bool]
    shown: str


class Playbook:
    """See the module."""

    def __init__(self, script: Script, limits: Limits = LIMITS, *, ask_model: bool = False) -> None:
        self.machine = DialogueMachine(script, limits, ask_model=ask_model)
        self.voice_is_late = False
        """Nothing of what is said is heard yet."""
        self.now = 100.0
        self.utterance: do.Say | None = None
        self.heard = ""
        """What the caller will have heard of it when they interrupt."""
        self.request: do.AskModel | None = None
        """What the model was asked last."""
        self._pending: list[do.Command] = []
        self._story: list[str] = []

    # -- what a test reads

    @property
    def notes(self) -> list[do.Note]:
        return [c for c in self._all if isinstance(c, do.Note)]

    @property
    def said(self) -> str:
        """The current utterance."""
        assert self.utterance is not None, "the bot has said nothing"
        return " ".join(self.utterance.sentences)

    # -- the screenplay

    def __rshift__(self, step: Step) -> Playbook:
        assert not self._loud(), self._tell(f"nobody expected {self._loud()} before {step.shown}")
        self._pending.clear()
        self._story.append(f">> {step.shown}")
        self._let_time_pass(step.takes)
        for event in step.events(self):
            self._feed(event)
        return self

    def __lshift__(self, expected: Expected) -> Playbook:
        self._story.append(f"<< {expected.shown}")
        for i, command in enumerate(self._pending):
            if expected.matches(command):
                skipped = [c for c in self._pending[:i] if not _quiet(c)]
                assert not skipped, self._tell(f"before {expected.shown} came {skipped}")
                del self._pending[: i + 1]
                return self
        raise AssertionError(self._tell(f"expected {expected.shown}, got {self._pending}"))

    def __enter__(self) -> Playbook:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if error is None:
            assert not self._loud(), self._tell(f"nobody expected {self._loud()} at the end")

    # -- how it works

    _all: list[do.Command]

    def _feed(self, event: ev.Event) -> None:
        self._all = getattr(self, "_all", [])
        inbox = [event]
        while inbox:
            for command in self.machine.handle(inbox.pop(0), self.now):
                self._all.append(command)
                self._pending.append(command)
                if isinstance(command, do.StopPlayout) and self.utterance is not None:
                    said, self.utterance = self.utterance, None
                    heard, self.heard = self.heard, ""
                    inbox.append(ev.PlayoutStopped(said.utterance, heard, said.sentences))
                if isinstance(command, do.Say):
                    self.utterance = command
                    if not self.voice_is_late:
                        inbox.append(ev.PlayoutBegan(command.utterance))
                if isinstance(command, do.SayMore) and self.utterance is not None:
                    assert self.utterance.utterance == command.utterance
                    assert self.utterance.more, "it was closed"
                    self.utterance = do.Say(
                        command.utterance,
                        self.utterance.sentences + command.sentences,
                        more=not command.last,
                    )
                if isinstance(command, do.AskModel):
                    self.request = command

    def _let_time_pass(self, span: float) -> None:
        until = self.now + span
        while (deadline := self.machine.deadline()) is not None and deadline <= until:
            self.now = max(self.now, deadline)
            before = len(self._pending)
            self._feed(ev.Tick())
            assert len(self._pending) > before, self._tell("a deadline led to nothing")
            if self.utterance is not None:
                break
        else:
            self.now = until

    def _loud(self) -> list[do.Command]:
        return [command for command in self._pending if not _quiet(command)]

    def _tell(self, what: str) -> str:
        return "\n".join([what, "so far:", *self._story])


def _quiet(command: do.Command) -> bool:
    """Commands that a story need not mention."""
    quiet = do.Note | do.Expect | do.Prepare | do.Forget | do.StopPlayout | do.DropModel
    return isinstance(command, quiet | do.WaitLess)


# -- what happens


def _always(event: ev.Event, shown: str) -> Step:
    return Step(lambda _: [event], shown=shown)


def answered() -> Step:
    return _always(ev.CallStarted(), "the call is answered")


def came_back(
    number: str | None = None, name: str | None = None, *, confirmed: bool = True
) -> Step:
    event = ev.CallStarted(came_back=True, name=name, number=number, confirmed=confirmed)
    return _always(event, "the caller comes back")


def heard() -> Step:
    """The current utterance has been heard to its end."""

    def events(play: Playbook) -> list[ev.Event]:
        said, play.utterance = play.utterance, None
        assert said is not None, "nothing is being said"
        assert not said.more, "it is not over yet"
        return [ev.PlayoutEnded(said.utterance, " ".join(said.sentences))]

    return Step(events, shown="heard to the end")


def caller(text: str, *, yes: bool | None = None, speech: float = 1.0) -> Step:
    """The caller hears the bot out, then says *text*."""

    def events(play: Playbook) -> list[ev.Event]:
        happens: list[ev.Event] = []
        if play.utterance is not None:
            happens += heard().events(play)
        return [*happens, SpeechStarted(play.now), ev.CallerSaid(text, yes, speech)]

    return Step(events, shown=f"the caller: {text!r}")


def interrupts(
    text: str,
    *,
    unheard: int | None = None,
    yes: bool | None = None,
    speech: float = 0.6,
    heard: str = "",
) -> Step:
    """The caller speaks over the bot; *unheard* is how many sentences were left (default: all),
    *heard* the words that were not."""

    def events(play: Playbook) -> list[ev.Event]:
        said = play.utterance
        assert said is not None, "nothing to interrupt"
        play._feed(SpeechStarted(play.now))
        play.heard = heard
        if unheard is not None:
            left = said.sentences[len(said.sentences) - unheard :]
            play.utterance = do.Say(said.utterance, left)
        play._feed(SpeechLasted(play.now))
        return [ev.CallerSaid(text, yes, speech)]

    return Step(events, shown=f"the caller interrupts: {text!r}")


def presses(digits: str) -> Step:
    return Step(lambda _: [ev.DigitPressed(d) for d in digits], shown=f"keys {digits}")


def seconds(span: float) -> Step:
    """Time passes; the first thing the bot says in it ends the wait."""
    return Step(lambda _: [], takes=span, shown=f"{span:g} s pass")


def technician(available: bool) -> Step:
    return _always(ev.TechnicianChecked(available), f"technician available: {available}")


def callback_stored(stored: bool = True) -> Step:
    return _always(ev.CallbackStored(stored), f"callback stored: {stored}")


def fails(stage: str) -> Step:
    return _always(ev.ProviderFailed(stage), f"{stage} fails")


def pauses(text: str, *, yes: bool | None = None) -> Step:
    """The caller hears the bot out, says *text*, and may go on."""

    def events(play: Playbook) -> list[ev.Event]:
        happens: list[ev.Event] = []
        if play.utterance is not None:
            happens += heard().events(play)
        at = play.now
        return [*happens, SpeechStarted(at), Paused(1, at), ev.WordsSoFar(text, yes)]

    return Step(events, shown=f"the caller pauses after {text!r}")


def guesses(text: str) -> Step:
    """The recogniser guesses that the caller, who has heard the bot out and speaks, is done."""

    def events(play: Playbook) -> list[ev.Event]:
        happens: list[ev.Event] = []
        if play.utterance is not None:
            happens += heard().events(play)
        return [*happens, SpeechStarted(play.now), ev.WordsSoFar(text, early=True)]

    return Step(events, shown=f"the recogniser guesses that {text!r} is all")


def goes_on() -> Step:
    """The caller speaks again before the turn was over."""
    return Step(lambda play: [SpeechStarted(play.now), SpeechLasted(play.now)], shown="goes on")


def turn_over(text: str, *, yes: bool | None = None) -> Step:
    """The turn that :func:`pauses` began ends."""
    return Step(
        lambda play: [ev.CallerSaid(text, yes, 1.0, play.now)], shown=f"turn over: {text!r}"
    )


def writes(*pieces: str, end: bool = True) -> Step:
    """The model answers the last request, in these pieces."""

    def events(play: Playbook) -> list[ev.Event]:
        assert play.request is not None, "the model was not asked"
        number = play.request.request
        written: list[ev.Event] = [ev.ModelWrote(number, piece) for piece in pieces]
        return [*written, ev.ModelEnded(number)] if end else written

    return Step(events, shown=f"the model writes {pieces}")


def model_fails() -> Step:
    def events(play: Playbook) -> list[ev.Event]:
        assert play.request is not None, "the model was not asked"
        return [ev.ModelFailed(play.request.request)]

    return Step(events, shown="the model fails")


def late_voice() -> Step:
    """From now on nothing is heard of what the bot says."""

    def events(play: Playbook) -> list[ev.Event]:
        play.voice_is_late = True
        return []

    return Step(events, shown="the voice is late")


# -- what is expected


def asks_model(*words: str, speculative: bool = False) -> Expected:
    """A request in whose last message all *words* are."""

    def matches(command: do.Command) -> bool:
        return (
            isinstance(command, do.AskModel)
            and command.speculative is speculative
            and all(word in command.messages[-1][1] for word in words)
        )

    return Expected(matches, f"asks the model {words}")


def drops_model() -> Expected:
    return Expected(lambda c: isinstance(c, do.DropModel), "drops the request")


def forgets(*words: str) -> Expected:
    return Expected(
        lambda c: isinstance(c, do.Forget) and all(w in " ".join(c.sentences) for w in words),
        f"forgets {words}",
    )


def says(*words: str) -> Expected:
    """An utterance that holds all *words*."""

    def matches(command: do.Command) -> bool:
        if not isinstance(command, do.Say | do.SayMore):
            return False
        text = " ".join(command.sentences)
        return all(word in text for word in words)

    return Expected(matches, f"says {words}")


def moves(state: str) -> Expected:
    return Expected(
        lambda c: isinstance(c, do.Note) and c.kind == "state" and c.fields["state"] == state,
        f"moves to {state}",
    )


def notes(kind: str, **fields: Any) -> Expected:
    return Expected(
        lambda c: (
            isinstance(c, do.Note)
            and c.kind == kind
            and all(c.fields.get(key) == value for key, value in fields.items())
        ),
        f"notes {kind} {fields or ''}",
    )


def stops() -> Expected:
    return Expected(lambda c: isinstance(c, do.StopPlayout), "falls silent")


def expects(answer: do.Answer) -> Expected:
    return Expected(lambda c: c == do.Expect(answer), f"expects {answer.value}")


def prepares(*words: str) -> Expected:
    """Has audio made of sentences that hold all *words*."""

    def matches(command: do.Command) -> bool:
        return isinstance(command, do.Prepare) and all(
            word in " ".join(command.sentences) for word in words
        )

    return Expected(matches, f"prepares {words}")


def words_suffice() -> Expected:
    """Need not wait for more words."""
    return Expected(lambda c: isinstance(c, do.WaitLess), "has words enough")


def checks_technician() -> Expected:
    return Expected(lambda c: isinstance(c, do.CheckTechnician), "looks for a technician")


def stores_callback(number: str, name: str | None = None, problem: str | None = None) -> Expected:
    wanted = do.StoreCallback(name, number, problem)
    return Expected(lambda c: c == wanted, f"stores {wanted}")


def ends(next_step: do.NextStep, outcome: str) -> Expected:
    return Expected(
        lambda c: isinstance(c, do.EndCall) and (c.next_step, c.outcome) == (next_step, outcome),
        f"ends: {outcome}",
    )
