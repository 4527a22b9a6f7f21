"""One call's conversation: ``handle(event, now)`` returns the commands that follow from it.

The machine owns what is common to every question: speaking and being interrupted, silence, the
technician, the limits, the end. What becomes of what the caller says or presses is
:mod:`voicebot.dialogue.answering`; what each answer leads to is :mod:`voicebot.dialogue.flow`; the
ways between states are :mod:`voicebot.dialogue.states`.

Contract: call :meth:`handle` for each event, in order, with a monotonic ``now`` in seconds; carry
out the commands in order; call it with ``Tick()`` when :meth:`deadline` is reached. Events that
commands answer with (``PlayoutStopped``, ``TechnicianChecked``, …) are handled after all commands
of the batch have been carried out. Every ``Say`` is answered by ``PlayoutEnded`` or
``PlayoutStopped``, also when a sentence of it could not be spoken. Nothing but a bug makes it
raise.
"""

from __future__ import annotations

from collections import Counter

from voicebot.dialogue import events as ev
from voicebot.dialogue.answering import Answering
from voicebot.dialogue.commands import (
    Answer,
    CheckTechnician,
    Command,
    EndCall,
    Expect,
    Next,
    Note,
    Prepare,
    StoreCallback,
)
from voicebot.dialogue.deciding import rest_of_answer
from voicebot.dialogue.filler import LateWatch
from voicebot.dialogue.floor import After, Floor
from voicebot.dialogue.history import History
from voicebot.dialogue.keypad import Keypad
from voicebot.dialogue.questions import ASKING, Question, completeness
from voicebot.dialogue.script import Prompt, Script
from voicebot.dialogue.silence import Lapse, SilenceWatch
from voicebot.dialogue.slots import Limits, Slots
from voicebot.dialogue.states import State, Trigger, after
from voicebot.dialogue.understanding import understand
from voicebot.turns.endpointing import Completeness
from voicebot.turns.events import Paused, SpeechLasted, SpeechStarted

MOST_PUT = 6
"""Times that one question is put in a call, however understandable what the caller says to it."""


class DialogueMachine:
    """See the module. One instance for each call (and for each return from a transfer)."""

    def __init__(self, script: Script, limits: Limits, *, ask_model: bool = False) -> None:
        """*ask_model*: somebody answers ``AskModel``, if the script says what to tell it."""
        self.script = script
        self.state = State.INIT
        self.slots = Slots()
        self.history = History()
        self.question = Question.REASON
        self.tries = 0
        """How often the current question was not answered."""
        self.was_present = False
        """Whether all that came of the current question was that somebody is there."""
        self._put: Counter[Question] = Counter()
        """How often each question was put, in whatever words."""
        self._longest_call = limits.call
        self.keypad = Keypad(script)
        self.silence = SilenceWatch(
            limits.silence_warning, limits.silence_hangup, script.timings.patience
        )
        self.floor = Floor()
        self.answering = Answering(self, script.model if ask_model else None, limits)
        self.late = LateWatch()
        self.asked_presence = False
        self._ending: EndCall | None = None
        self._gave_up = False
        self._awaiting_answer = False
        """A technician check or a callback is under way; the caller's words change nothing."""
        self._limit_at: float | None = None
        self._pause_until: float | None = None
        self.now = 0.0
        self._commands: list[Command] = []

    # ---- the contract ---------------------------------------------------------------------

    def handle(self, event: ev.Event, now: float) -> list[Command]:
        self.now = now
        self._commands = []
        match event:
            case ev.CallStarted():
                self._on_call_started(event)
            case SpeechStarted():
                self.silence.stop(now)
                self.late.stop()
                self._pause_until = None
            case Paused():
                self.late.caller_paused(event.at)
            case SpeechLasted() | ev.WordsSoFar() | ev.TurnEnded() | ev.DigitPressed():
                self.answering.handle(event)
            case ev.ModelWrote() | ev.ModelEnded() | ev.ModelFailed():
                self.answering.handle(event)
            case ev.PlayoutBegan():
                self.floor.began(event.utterance)
            case ev.PlayoutEnded():
                self._on_playout_ended(event)
            case ev.PlayoutStopped():
                self._on_playout_stopped(event)
            case ev.TechnicianChecked():
                self._on_technician_checked(event.available)
            case ev.CallbackStored():
                self._on_callback_stored(event.stored)
            case ev.ProviderFailed():
                self.late.turn_ended(None, now)
                self._on_provider_failed(event.stage)
            case ev.Tick():
                self._on_tick()
        if not self._owes_something:
            self.late.stop()
        return self._commands

    def deadline(self) -> float | None:
        """When to call ``handle(Tick())``, as things stand."""
        if self._ending is not None:
            return None
        times = (
            self._limit_at, self._pause_until, self.late.due, self.keypad.deadline(),
            self.silence.due(),
        )  # fmt: skip
        return min((t for t in times if t is not None), default=None)

    @property
    def _owes_something(self) -> bool:
        """Whether the caller waits for us and hears nothing."""
        if self._ending is not None:
            return False
        if self.floor.speaking:
            return not self.floor.audible
        return self.late.for_words or self._awaiting_answer or self.answering.model.waiting

    @property
    def ending(self) -> bool:
        """Whether the last words are being said."""
        return self._ending is not None

    @property
    def deaf(self) -> bool:
        """Whether nothing that the caller does changes anything any more, or just now."""
        return self._ending is not None or self._awaiting_answer

    def completeness(self, text: str, yes: bool | None) -> Completeness:
        """Whether the words so far answer the question; decides how long to wait for more."""
        meaning = understand(self.script, text, yes)
        found = completeness(self.question, meaning)
        looks_like_a_name = found is Completeness.INCOMPLETE  # after which a number would come
        if looks_like_a_name and (
            self.answering.is_question(meaning) or rest_of_answer(self, meaning)
        ):
            found = Completeness.OPEN
        if found is Completeness.OPEN and self.answering.model.can_answer(text):
            return Completeness.ANSWERABLE
        return found

    # ---- verbs of the flow ----------------------------------------------------------------

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
        self._end_with(prompts, EndCall(Next.HANGUP, outcome, failure))

    def be_patient(self) -> None:
        """The caller is busy: allow a long silence before asking again."""
        self.silence.patient = True

    def carry_on(self) -> None:
        """Say what was cut, if anything was; otherwise let things take their course."""
        if self.floor.cut:
            self.resume("backchannel")

    def want_human(self, *, gave_up: bool = False, why: str = "technician_asked") -> None:
        """A technician, if one can be had."""
        self._gave_up = gave_up
        self.note("fallback", reason=why)
        self.move(Trigger.HUMAN_WANTED)
        self.answering.model.drop()
        if not self.floor.filling:
            self.act(*self.floor.hush())
        self.silence.stop(self.now)
        self._pause_until = None
        self._awaiting_answer = True
        self._commands.append(CheckTechnician())

    def trouble(self, stage: str) -> None:
        """Too many provider errors in a row, the last in *stage*: a person takes over."""
        self.note("fallback", reason="provider_errors")
        self.move(Trigger.TROUBLE)
        self._end_with((Prompt.ERROR, Prompt.TRANSFER), EndCall(Next.TRANSFER, "failed", stage))

    def store_callback(self) -> None:
        assert self.slots.number is not None
        self._awaiting_answer = True
        self._commands.append(StoreCallback(self.slots.name, self.slots.number, self.slots.problem))

    # ---- the call begins, and ends ----------------------------------------------------------

    def _on_call_started(self, event: ev.CallStarted) -> None:
        self._limit_at = self.now + self._longest_call
        if event.came_back:
            self.slots = Slots(event.name, True, event.number, event.number is not None)
            self.slots.problem = event.problem
            self.move(Trigger.CAME_BACK)
            self.ask(Question.CALLBACK, Prompt.WELCOME_BACK, Prompt.TECHNICIAN_BUSY)
        else:
            self.move(Trigger.ANSWERED)
            self.ask(Question.REASON)

    # ---- speaking -------------------------------------------------------------------------

    def say(
        self, sentences: tuple[str, ...], then: After = After.LISTEN, *, keep: bool = False
    ) -> None:
        self.silence.stop(self.now)
        self._pause_until = None
        self.asked_presence = False
        self._commands += self.floor.say(sentences, then, keep=keep)

    def begin(self, sentence: str, then: After, closing: tuple[str, ...]) -> None:
        """Begin to speak what is not known to its end yet; it will end with *closing*."""
        self.silence.stop(self.now)
        self._pause_until = None
        self.asked_presence = False
        self.act(*self.floor.begin(sentence, then, closing))

    def resume(self, why: str) -> None:
        """Nothing was meant by the interruption: go on from the sentence that was cut."""
        self.note("barge_in", outcome=why)
        self.silence.stop(self.now)
        self._commands += self.floor.carry_on()

    def _fill(self) -> None:
        """Nothing has been heard for too long: a sign of life, and whatever is late after it."""
        self.late.stop()
        late = "tts" if self.floor.speaking else self.answering.waits_for
        self.note("filler", waiting_for="storage" if self._awaiting_answer else late)
        self.silence.stop(self.now)
        self._pause_until = None
        self.act(*self.floor.fill(self.sentences(Prompt.WAIT)))

    def _on_playout_ended(self, event: ev.PlayoutEnded) -> None:
        self.history.bot(event.text)
        match self.floor.ended(event):
            case After.LISTEN:
                self.silence.start(self.now)
            case After.SOLUTION_PAUSE:
                self._pause_until = self.now + self.script.timings.after_solution
            case After.END:
                assert self._ending is not None
                self._commands.append(self._ending)

    def _on_playout_stopped(self, event: ev.PlayoutStopped) -> None:
        self.history.bot(event.heard)
        self.floor.stopped(event)

    def listen_if_idle(self) -> None:
        """Whatever happened, the caller's silence counts when nobody speaks and nothing is due."""
        if self._ending is not None or self._awaiting_answer or self.answering.model.waiting:
            return
        if self.floor.filling:
            self.act(*self.floor.close())  # nothing comes after it: it was for nothing
        if self.floor.speaking:
            return
        if self.state is State.SOLUTION:
            self._pause_until = self.now + self.script.timings.after_solution
        else:
            self.silence.start(self.now)

    # ---- silence and limits ---------------------------------------------------------------

    def _on_tick(self) -> None:
        now = self.now
        if self._ending is not None:
            return
        if self._limit_at is not None and now >= self._limit_at:
            self.note("fallback", reason="call_limit")
            self.move(Trigger.TOO_LONG)
            self.say_goodbye(Prompt.LIMIT_GOODBYE)
        elif self._pause_until is not None and now >= self._pause_until:
            self._pause_until = None
            self.move(Trigger.SOLUTION_GIVEN)
            self.ask(Question.WORKS)
        elif self.late.due is not None and now >= self.late.due:
            self._fill()
        elif (keys_at := self.keypad.deadline()) is not None and now >= keys_at:
            self.keypad.clear()
            self.answering.no_match()
        elif (silent_at := self.silence.due()) is not None and now >= silent_at:
            self._on_silence()

    def _on_silence(self) -> None:
        self.note("no_input", question=self.question.value)
        match self.silence.lapse():
            case Lapse.PATIENCE:
                self.silence.reset()
                self.ask(Question.WORKS, prompt=Prompt.ASK_WORKS_AGAIN)
            case Lapse.WARNING:
                self.say(self.sentences(Prompt.STILL_THERE), keep=True)
                self.asked_presence = True
            case Lapse.HANGUP:
                self.note("fallback", reason="silence")
                self.move(Trigger.NOBODY_THERE)
                self.say_goodbye(Prompt.SILENCE_GOODBYE, outcome="no_input")

    # ---- a person instead -----------------------------------------------------------------

    def _on_technician_checked(self, available: bool) -> None:
        self._awaiting_answer = False
        if self._ending is not None:
            return
        lead = (Prompt.GIVE_UP_TRANSFER,) if self._gave_up else ()
        if available:
            self._end_with((*lead, Prompt.TRANSFER), EndCall(Next.TRANSFER, "transferred"))
        else:
            self.ask(Question.CALLBACK, Prompt.NO_TECHNICIAN)

    def _on_callback_stored(self, stored: bool) -> None:
        self._awaiting_answer = False
        if self._ending is not None:
            return
        self.move(Trigger.ARRANGED)
        prompt = Prompt.CALLBACK_STORED if stored else Prompt.CALLBACK_FAILED
        outcome, failure = ("callback", "") if stored else ("failed", "storage")
        self.say_goodbye(prompt, Prompt.GOODBYE, outcome=outcome, failure=failure)

    def _on_provider_failed(self, stage: str) -> None:
        if self._ending is not None or self._awaiting_answer:
            return
        self.answering.model.drop()
        if not self.answering.failed(stage):
            question = self.floor.last_said[-1:]
            self.say((*self.sentences(Prompt.PARDON), *question), self.floor.after)

    # ---- small parts ----------------------------------------------------------------------

    def _end_with(self, prompts: tuple[Prompt, ...], ending: EndCall) -> None:
        self.answering.model.drop()
        self.say(self.sentences(*prompts), After.END)
        self._ending = ending

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
