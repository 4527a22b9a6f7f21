"""One call's conversation as it stands, and the moves that the bot makes in it.

What leads to a move is decided above: by the call's events and the time in :mod:`machine`, by what
the caller says in :mod:`answering` and :mod:`flow`. Here is what they all share: what is known of
the caller, which question is open, who speaks, and the verbs (``ask``, ``say``, ``move``,
``want_human``, …), each of which adds to the commands of the event that is being handled.
"""

from __future__ import annotations

from collections import Counter

from voicebot.dialogue.commands import (
    Answer,
    CheckTechnician,
    Command,
    EndCall,
    Expect,
    NextStep,
    Note,
    Prepare,
    StoreCallback,
)
from voicebot.dialogue.filler import LateWatch
from voicebot.dialogue.floor import After, Floor
from voicebot.dialogue.history import History
from voicebot.dialogue.keypad import Keypad
from voicebot.dialogue.questions import ASKING, Question
from voicebot.dialogue.script import Prompt, Script
from voicebot.dialogue.silence import SilenceWatch
from voicebot.dialogue.slots import Limits, Slots
from voicebot.dialogue.states import State, Trigger, after

MOST_PUT = 6
"""Times that one question is put in a call, however understandable what the caller says to it."""


class Conversation:
    """Of one call (and of each return from a transfer)."""

    def __init__(self, script: Script, limits: Limits, *, ask_model: bool) -> None:
        self.script = script
        self.model = script.model if ask_model else None
        """What the language model is told; None if none is asked."""
        self.state = State.INIT
        self.slots = Slots()
        self.history = History()
        self.question = Question.REASON
        self.tries = 0
        """How often the current question was not answered."""
        self.was_present = False
        """Whether all that came of the current question was that somebody is there."""
        self.keypad = Keypad(script)
        self.silence = SilenceWatch(
            limits.silence_warning, limits.silence_hangup, script.timings.patience
        )
        self.floor = Floor()
        self.late = LateWatch()
        self.asked_presence = False
        self.gave_up = False
        """Whether the technician was our idea, not the caller's."""
        self.pending_end: EndCall | None = None
        """What comes after the last words, once they are being said."""
        self.awaiting_answer = False
        """A technician check or a callback is under way; the caller's words change nothing."""
        self.pause_until: float | None = None
        """When whoever tries the solution will be asked whether it works."""
        self.now = 0.0
        self._put: Counter[Question] = Counter()
        """How often each question was put, in whatever words."""
        self._commands: list[Command] = []

    def take_commands(self) -> list[Command]:
        """What the moves since the last time come to, in order."""
        commands, self._commands = self._commands, []
        return commands

    @property
    def deaf(self) -> bool:
        """Whether nothing that the caller does changes anything any more, or just now."""
        return self.pending_end is not None or self.awaiting_answer

    # ---- the way through the call -----------------------------------------------------------

    def move(self, trigger: Trigger) -> None:
        """Go to the state that *trigger* leads to."""
        before, self.state = self.state, after(self.state, trigger)
        self.note("state", state=self.state.value, before=before.value, trigger=trigger.value)

    def ask(self, question: Question, *lead: Prompt, prompt: Prompt | None = None) -> None:
        """Put *question*, after the *lead* prompts, in its own words or those of *prompt*."""
        self.question = question
        if not self.put_again():
            return
        self.tries = 0
        self.was_present = False
        self.silence.patient = False
        self.keypad.clear()
        asking = ASKING[question]
        self._commands.append(Expect(asking.answer))
        self.say(self.sentences(*lead, prompt or asking.prompt))
        if asking.leads_to is not None and self.slots.number is not None:
            self._commands.append(Prepare(self.sentences(asking.leads_to)))

    def put_again(self) -> bool:
        """Whether the current question may be put once more; if not, a person takes over.

        Every way round comes by here: a conversation in which each turn is understood, and none
        gets any further, has to end too.
        """
        self._put[self.question] += 1
        if self._put[self.question] <= MOST_PUT:
            return True
        self.give_up(why="round_limit")
        return False

    def repeat(self) -> None:
        """Say the last thing again."""
        if self.put_again():
            self.say(self.floor.last_said, self.floor.after)

    def give_up(self, why: str = "no_match_limit") -> None:
        """We do not get any further: a person takes over, or, where there was none, goodbye."""
        if self.state is State.TRANSFER:
            self.move(Trigger.ARRANGED)
            self.say_goodbye(Prompt.GOODBYE, outcome="failed", failure="not_understood")
        else:
            self.want_human(gave_up=True, why=why)

    def say_solution(self) -> None:
        """Say the solution for the caller's problem; the pause and the question follow."""
        assert self.slots.problem is not None
        problem = self.script.problems[self.slots.problem]
        self.question, self.tries = Question.WORKS, 0
        self._commands.append(Expect(Answer.YES_NO))
        self.say(self.script.split(problem.solution), After.SOLUTION_PAUSE)

    def say_goodbye(self, *prompts: Prompt, outcome: str = "completed", failure: str = "") -> None:
        """The last words; nothing interrupts them."""
        self.end_with(prompts, EndCall(NextStep.HANGUP, outcome, failure))

    def be_patient(self) -> None:
        """The caller is busy: allow a long silence before asking again."""
        self.silence.patient = True

    def carry_on(self) -> None:
        """Say what was cut, if anything was; otherwise let things take their course."""
        if self.floor.cut:
            self.resume("backchannel")

    def want_human(self, *, gave_up: bool = False, why: str = "technician_asked") -> None:
        """A technician, if one can be had."""
        self.gave_up = gave_up
        self.note("fallback", reason=why)
        self.move(Trigger.HUMAN_WANTED)
        if not self.floor.filling:
            self.act(*self.floor.hush())
        self.silence.stop(self.now)
        self.pause_until = None
        self.awaiting_answer = True
        self._commands.append(CheckTechnician())

    def trouble(self, stage: str) -> None:
        """Too many provider errors in a row, the last in *stage*: a person takes over."""
        self.note("fallback", reason="provider_errors")
        self.move(Trigger.TROUBLE)
        self.end_with((Prompt.ERROR, Prompt.TRANSFER), EndCall(NextStep.TRANSFER, "failed", stage))

    def store_callback(self) -> None:
        assert self.slots.number is not None
        self.awaiting_answer = True
        self._commands.append(StoreCallback(self.slots.name, self.slots.number, self.slots.problem))

    # ---- speaking ---------------------------------------------------------------------------

    def say(
        self, sentences: tuple[str, ...], then: After = After.LISTEN, *, keep: bool = False
    ) -> None:
        self.silence.stop(self.now)
        self.pause_until = None
        self.asked_presence = False
        self._commands += self.floor.say(sentences, then, keep=keep)

    def begin(self, sentence: str, then: After, closing: tuple[str, ...]) -> None:
        """Begin to speak what is not known to its end yet; it will end with *closing*."""
        self.silence.stop(self.now)
        self.pause_until = None
        self.asked_presence = False
        self.act(*self.floor.begin(sentence, then, closing))

    def fill(self, waiting_for: str) -> None:
        """A sign of life, and whatever is late, by *waiting_for*, after it."""
        self.late.stop()
        self.note("filler", waiting_for=waiting_for)
        self.silence.stop(self.now)
        self.pause_until = None
        self.act(*self.floor.fill(self.sentences(Prompt.WAIT)))

    def resume(self, why: str) -> None:
        """Nothing was meant by the interruption: go on from the sentence that was cut."""
        self.note("barge_in", outcome=why)
        self.silence.stop(self.now)
        self._commands += self.floor.carry_on()

    def end_with(self, prompts: tuple[Prompt, ...], end: EndCall) -> None:
        """Say *prompts*, which nothing interrupts; then the call ends as *end* says."""
        self.say(self.sentences(*prompts), After.END)
        self.pending_end = end

    def pause(self) -> None:
        """The solution has been said: leave the caller the time to try it."""
        self.pause_until = self.now + self.script.timings.after_solution

    # ---- small parts ------------------------------------------------------------------------

    def sentences(self, *prompts: Prompt) -> tuple[str, ...]:
        slots = self.slots
        number = self.script.phone.spoken(slots.number) if slots.number else ""
        blanks = {"name": slots.name or "", "number": number, "problem": slots.problem or ""}
        return tuple(s for prompt in prompts for s in self.script.say(prompt, **blanks))

    def act(self, *commands: Command) -> None:
        """Have *commands* carried out, after those that were decided on before."""
        self._commands += commands

    def note(self, kind: str, **fields: object) -> None:
        self._commands.append(Note(kind, fields))
