"""One call's conversation: ``handle(event, now)`` returns the commands that follow from it.

The machine owns what is common to every question: speaking and being interrupted, silence, the
keypad, repeating, the no-match ladder, the technician, the limits, the end. What each answer leads
to is :mod:`voicebot.dialogue.flow`; the ways between states are :mod:`voicebot.dialogue.states`.

Contract: call :meth:`handle` for each event, in order, with a monotonic ``now`` in seconds; carry
out the commands in order; call it with ``Tick()`` when :meth:`deadline` is reached. Events that
commands answer with (``PlayoutStopped``, ``TechnicianChecked``, …) are handled after all commands
of the batch have been carried out. Every ``Say`` is answered by ``PlayoutEnded`` or
``PlayoutStopped``, also when a sentence of it could not be spoken. Nothing but a bug makes it
raise.
"""

from __future__ import annotations

from voicebot.dialogue import events as ev
from voicebot.dialogue.commands import (
    Answer,
    CheckTechnician,
    Command,
    EndCall,
    Expect,
    Next,
    Note,
    Prepare,
    StopPlayout,
    StopRecording,
    StoreCallback,
)
from voicebot.dialogue.floor import After, Floor
from voicebot.dialogue.flow import ANSWERS
from voicebot.dialogue.history import History
from voicebot.dialogue.keypad import Keypad
from voicebot.dialogue.questions import ASKING, END_KEY, Question, completeness
from voicebot.dialogue.script import Intent, Prompt, Script
from voicebot.dialogue.silence import Lapse, SilenceWatch
from voicebot.dialogue.slots import Limits, Slots
from voicebot.dialogue.states import State, Trigger, after
from voicebot.dialogue.understanding import Meaning, understand
from voicebot.turns.endpointing import Completeness
from voicebot.turns.events import SpeechLasted, SpeechStarted

MOST_ERRORS = 3
"""Provider errors in a row after which the caller is handed to a person (the reference's rule)."""
SPEECH_WORTH_ASKING = 1.0
"""Seconds of speech without any recognised word that count as a no-match; less is noise."""


class DialogueMachine:
    """See the module. One instance for each call (and for each return from a transfer)."""

    def __init__(self, script: Script, limits: Limits) -> None:
        self.script = script
        self.state = State.INIT
        self.slots = Slots()
        self.history = History()
        self.question = Question.REASON
        self.tries = 0
        """How often the current question was not answered."""
        self._longest_call = limits.call
        self._keypad = Keypad(script)
        self._silence = SilenceWatch(
            limits.silence_warning, limits.silence_hangup, script.timings.patience
        )
        self._floor = Floor()
        self._asked_presence = False
        self._ending: EndCall | None = None
        self._gave_up = False
        self._awaiting_answer = False
        """A technician check or a callback is under way; the caller's words change nothing."""
        self._errors = 0
        self._limit_at: float | None = None
        self._pause_until: float | None = None
        self._now = 0.0
        self._commands: list[Command] = []

    # ---- the contract ---------------------------------------------------------------------

    def handle(self, event: ev.Event, now: float) -> list[Command]:
        self._now = now
        self._commands = []
        match event:
            case ev.CallStarted():
                self._on_call_started(event)
            case SpeechStarted():
                self._silence.stop(now)
                self._pause_until = None
            case SpeechLasted():
                self._on_speech_lasted()
            case ev.TurnEnded():
                self._on_turn_ended(event)
            case ev.DigitPressed():
                self._on_digit(event.digit)
            case ev.PlayoutEnded():
                self._on_playout_ended(event)
            case ev.PlayoutStopped():
                self._on_playout_stopped(event)
            case ev.TechnicianChecked():
                self._on_technician_checked(event.available)
            case ev.CallbackStored():
                self._on_callback_stored(event.stored)
            case ev.ProviderFailed():
                self._on_provider_failed(event.stage)
            case ev.Tick():
                self._on_tick()
        return self._commands

    def deadline(self) -> float | None:
        """When to call ``handle(Tick())``, as things stand."""
        if self._ending is not None:
            return None
        times = (self._limit_at, self._pause_until, self._keypad.deadline(), self._silence.due())
        return min((t for t in times if t is not None), default=None)

    def completeness(self, text: str, yes: bool | None) -> Completeness:
        """Whether the words so far answer the question; decides how long to wait for more."""
        return completeness(self.question, understand(self.script, text, yes))

    # ---- verbs of the flow ----------------------------------------------------------------

    def move(self, trigger: Trigger) -> None:
        """Go to the state that *trigger* leads to."""
        before, self.state = self.state, after(self.state, trigger)
        self._note("state", state=self.state.value, before=before.value, trigger=trigger.value)

    def ask(self, question: Question, *lead: Prompt, prompt: Prompt | None = None) -> None:
        """Put *question*, after the *lead* prompts, in its own words or those of *prompt*."""
        self.question = question
        self.tries = 0
        self._silence.patient = False
        self._keypad.clear()
        asking = ASKING[question]
        self._commands.append(Expect(asking.answer))
        self._say(self._sentences(*lead, prompt or asking.prompt))
        if asking.leads_to is not None and self.slots.number is not None:
            self._commands.append(Prepare(self._sentences(asking.leads_to)))

    def say_solution(self) -> None:
        """Say the solution for the caller's problem; the pause and the question follow."""
        assert self.slots.problem is not None
        problem = self.script.problems[self.slots.problem]
        self.question, self.tries = Question.WORKS, 0
        self._commands.append(Expect(Answer.YES_NO))
        self._say(self.script.split(problem.solution), After.SOLUTION_PAUSE)

    def say_goodbye(self, *prompts: Prompt, outcome: str = "completed", failure: str = "") -> None:
        """The last words; nothing interrupts them."""
        self._end_with(prompts, EndCall(Next.HANGUP, outcome, failure))

    def be_patient(self) -> None:
        """The caller is busy: allow a long silence before asking again."""
        self._silence.patient = True

    def carry_on(self) -> bool:
        """Say what was cut, if anything was; otherwise let things take their course. True."""
        if self._floor.cut:
            self._resume("backchannel")
        return True

    def want_human(self, *, gave_up: bool = False, why: str = "technician_asked") -> None:
        """A technician, if one can be had."""
        self._gave_up = gave_up
        self._note("fallback", reason="no_match_limit" if gave_up else why)
        self.move(Trigger.HUMAN_WANTED)
        self._commands += self._floor.hush()
        self._silence.stop(self._now)
        self._pause_until = None
        self._awaiting_answer = True
        self._commands.append(CheckTechnician())

    def store_callback(self) -> None:
        assert self.slots.number is not None
        self._awaiting_answer = True
        self._commands.append(StoreCallback(self.slots.name, self.slots.number, self.slots.problem))

    # ---- the caller speaks ----------------------------------------------------------------

    def _on_call_started(self, event: ev.CallStarted) -> None:
        self._limit_at = self._now + self._longest_call
        if event.came_back:
            self.slots = Slots(event.name, True, event.number, event.number is not None)
            self.slots.problem = event.problem
            self.move(Trigger.CAME_BACK)
            self.ask(Question.CALLBACK, Prompt.WELCOME_BACK, Prompt.TECHNICIAN_BUSY)
        else:
            self.move(Trigger.ANSWERED)
            self.ask(Question.REASON)

    def _on_speech_lasted(self) -> None:
        if self._floor.speaking and self._ending is None:
            self._commands.append(StopPlayout())

    def _on_turn_ended(self, event: ev.TurnEnded) -> None:
        if self._ending is not None or self._awaiting_answer:
            return
        if not event.text.strip():
            self._on_nothing_said(event.speech_seconds)
            return
        self._silence.reset()
        self._errors = 0
        self.history.caller(event.text)
        meaning = understand(self.script, event.text, event.yes)
        if self._floor.cut is not None and not self._is_only_backchannel(meaning):
            self._note("barge_in", outcome="accepted")
        self._answer(meaning)
        self._floor.cut = None
        self._listen_if_idle()

    def _answer(self, meaning: Meaning) -> None:
        if Intent.NO_RECORDING in meaning.intents:
            self._understood("no recording")
            self._stop_recording()
        elif Intent.TECHNICIAN in meaning.intents and self.state is not State.TRANSFER:
            self._understood("technician")
            self.want_human()
        elif self._asked_presence and meaning.only_present:
            # "Oui, je suis là" answers the "allô", not the question before it.
            self._understood("present")
            self._say(self._floor.last_said, self._floor.after)
        elif self._floor.may_resume and self._is_only_backchannel(meaning):
            self._understood("backchannel")
            self.carry_on()
        elif meaning.wants_repeat:
            self._understood("repeat")
            self._say(self._floor.last_said, self._floor.after)
        elif ANSWERS[self.question](self, meaning):
            self._understood("answer")
        elif Intent.GOODBYE in meaning.intents:
            self._understood("goodbye")
            self.move(Trigger.CALLER_DONE)
            self.say_goodbye(Prompt.GOODBYE)
        else:
            self._no_match()

    def _stop_recording(self) -> None:
        self._commands.append(StopRecording())
        question = self._floor.last_said[-1:]
        stopped = self._sentences(Prompt.RECORDING_STOPPED)
        self._say((*stopped, *question), self._floor.after, keep=True)

    def _is_only_backchannel(self, meaning: Meaning) -> bool:
        """ "Oui, oui" over a question that was not put yet answers nothing."""
        question_heard = self._floor.cut is not None and len(self._floor.cut) <= 1
        takes_yes = ASKING[self.question].answer is Answer.YES_NO
        return meaning.only_backchannel and not (question_heard and takes_yes)

    def _on_nothing_said(self, speech_seconds: float) -> None:
        if self._floor.cut:
            self._resume("false")
        elif speech_seconds >= SPEECH_WORTH_ASKING and not self._floor.speaking:
            self._silence.reset()
            self._no_match()
        else:
            self._listen_if_idle()

    def _no_match(self) -> None:
        self.tries += 1
        self._note("no_match", question=self.question.value, tries=self.tries)
        retries = ASKING[self.question].retries
        if self.tries <= len(retries):
            self._say(self._sentences(*retries[self.tries - 1]))
        elif self.state is State.TRANSFER:
            self.move(Trigger.ARRANGED)
            self.say_goodbye(Prompt.GOODBYE, outcome="failed", failure="not_understood")
        else:
            self.want_human(gave_up=True)

    # ---- the caller presses keys ----------------------------------------------------------

    def _on_digit(self, digit: str) -> None:
        if self._ending is not None or self._awaiting_answer:
            return
        if digit == END_KEY and ASKING[self.question].answer is not Answer.NUMBER:
            return  # it ended a number that was complete without it
        self._silence.reset()
        self._commands += self._floor.hush()
        self._note("digit", digit=digit)
        self._floor.cut = None
        pressed = self._keypad.press(digit, self.question, self._now)
        if pressed.technician and self.state is not State.TRANSFER:
            self.want_human()
        elif pressed.repeat:
            self._say(self._floor.last_said, self._floor.after)
        elif pressed.meaning is not None:
            self._answer_keys(pressed.meaning)
        elif pressed.wrong:
            self._no_match()
        self._listen_if_idle()

    def _answer_keys(self, meaning: Meaning) -> None:
        self._understood("keys")
        if not ANSWERS[self.question](self, meaning):
            self._no_match()

    # ---- speaking -------------------------------------------------------------------------

    def _say(
        self, sentences: tuple[str, ...], then: After = After.LISTEN, *, keep: bool = False
    ) -> None:
        self._silence.stop(self._now)
        self._pause_until = None
        self._asked_presence = False
        self._commands += self._floor.say(sentences, then, keep=keep)

    def _resume(self, why: str) -> None:
        """Nothing was meant by the interruption: go on from the sentence that was cut."""
        self._note("barge_in", outcome=why)
        self._silence.stop(self._now)
        self._commands += self._floor.carry_on()

    def _on_playout_ended(self, event: ev.PlayoutEnded) -> None:
        self.history.bot(event.text)
        match self._floor.ended(event):
            case After.LISTEN:
                self._silence.start(self._now)
            case After.SOLUTION_PAUSE:
                self._pause_until = self._now + self.script.timings.after_solution
            case After.END:
                assert self._ending is not None
                self._commands.append(self._ending)

    def _on_playout_stopped(self, event: ev.PlayoutStopped) -> None:
        self.history.bot(event.heard)
        self._floor.stopped(event)

    def _listen_if_idle(self) -> None:
        """Whatever happened, the caller's silence counts when nobody speaks and nothing is due."""
        if self._floor.speaking or self._ending is not None:
            return
        if self.state is State.SOLUTION:
            self._pause_until = self._now + self.script.timings.after_solution
        elif not self._awaiting_answer:
            self._silence.start(self._now)

    # ---- silence and limits ---------------------------------------------------------------

    def _on_tick(self) -> None:
        now = self._now
        if self._ending is not None:
            return
        if self._limit_at is not None and now >= self._limit_at:
            self._note("fallback", reason="call_limit")
            self.move(Trigger.TOO_LONG)
            self.say_goodbye(Prompt.LIMIT_GOODBYE)
        elif self._pause_until is not None and now >= self._pause_until:
            self._pause_until = None
            self.move(Trigger.SOLUTION_GIVEN)
            self.ask(Question.WORKS)
        elif (keys_at := self._keypad.deadline()) is not None and now >= keys_at:
            self._keypad.clear()
            self._no_match()
        elif (silent_at := self._silence.due()) is not None and now >= silent_at:
            self._on_silence()

    def _on_silence(self) -> None:
        self._note("no_input", question=self.question.value)
        match self._silence.lapse():
            case Lapse.PATIENCE:
                self._silence.reset()
                self.ask(Question.WORKS, prompt=Prompt.ASK_WORKS_AGAIN)
            case Lapse.WARNING:
                self._say(self._sentences(Prompt.STILL_THERE), keep=True)
                self._asked_presence = True
            case Lapse.HANGUP:
                self._note("fallback", reason="silence")
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
        self._errors += 1
        self._note("provider_failed", stage=stage, errors=self._errors)
        if self._errors >= MOST_ERRORS:
            self._note("fallback", reason="provider_errors")
            self.move(Trigger.TROUBLE)
            self._end_with((Prompt.ERROR, Prompt.TRANSFER), EndCall(Next.TRANSFER, "failed", stage))
        else:
            question = self._floor.last_said[-1:]
            self._say((*self._sentences(Prompt.PARDON), *question), self._floor.after)

    # ---- small parts ----------------------------------------------------------------------

    def _end_with(self, prompts: tuple[Prompt, ...], ending: EndCall) -> None:
        self._say(self._sentences(*prompts), After.END)
        self._ending = ending

    def _sentences(self, *prompts: Prompt) -> tuple[str, ...]:
        slots = self.slots
        number = self.script.phone.spoken(slots.number) if slots.number else ""
        blanks = {"name": slots.name or "", "number": number, "problem": slots.problem or ""}
        return tuple(s for prompt in prompts for s in self.script.say(prompt, **blanks))

    def _understood(self, rule: str) -> None:
        self._note("understood", rule=rule, question=self.question.value)

    def _note(self, kind: str, **fields: object) -> None:
        self._commands.append(Note(kind, fields))
