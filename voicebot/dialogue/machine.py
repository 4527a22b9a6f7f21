"""One call's dialogue: ``handle(event, now)`` returns the commands that follow from it.

The machine is what happens by itself or by others: the call begins, a sentence has been heard to
its end, nobody speaks, a limit is reached, a technician has been looked for. What becomes of what
the caller says or presses is :mod:`voicebot.dialogue.answering`; what each answer leads to is
:mod:`voicebot.dialogue.flow`; the moves that they all make are those of
:mod:`voicebot.dialogue.conversation`; the ways between states are :mod:`voicebot.dialogue.states`.

Contract: call :meth:`handle` for each event, in order, with a monotonic ``now`` in seconds; carry
out the commands in order; call it with ``Tick()`` when :meth:`deadline` is reached. Events that
commands answer with (``PlayoutStopped``, ``TechnicianChecked``, …) are handled after all commands
of the batch have been carried out. Every ``Say`` is answered by ``PlayoutEnded`` or
``PlayoutStopped``, also when a sentence of it could not be spoken. Nothing but a bug makes it
raise.
"""

from __future__ import annotations

from voicebot.dialogue import events as ev
from voicebot.dialogue.answering import Answering
from voicebot.dialogue.commands import Command, EndCall, NextStep
from voicebot.dialogue.conversation import Conversation
from voicebot.dialogue.deciding import is_question, rest_of_answer
from voicebot.dialogue.floor import After
from voicebot.dialogue.questions import Question, completeness
from voicebot.dialogue.script import Prompt, Script
from voicebot.dialogue.silence import Lapse
from voicebot.dialogue.slots import Limits, Slots
from voicebot.dialogue.states import State, Trigger
from voicebot.dialogue.understanding import understand
from voicebot.turns.endpointing import Completeness
from voicebot.turns.events import Paused, SpeechLasted, SpeechStarted


class DialogueMachine:
    """See the module. One instance for each call (and for each return from a transfer)."""

    def __init__(self, script: Script, limits: Limits, *, ask_model: bool = False) -> None:
        """*ask_model*: somebody answers ``AskModel``, if the script says what to tell it."""
        self.talk = Conversation(script, limits, ask_model=ask_model)
        self._answering = Answering(self.talk, limits)
        self._longest_call = limits.call
        self._limit_at: float | None = None

    @property
    def state(self) -> State:
        return self.talk.state

    @property
    def slots(self) -> Slots:
        """What is known of the caller."""
        return self.talk.slots

    # ---- the contract ---------------------------------------------------------------------

    def handle(self, event: ev.Event, now: float) -> list[Command]:
        talk = self.talk
        talk.now = now
        match event:
            case ev.CallStarted():
                self._on_call_started(event)
            case SpeechStarted():
                talk.silence.stop(now)
                talk.late.stop()
                talk.pause_until = None
            case Paused():
                talk.late.caller_paused(event.at)
            case SpeechLasted() | ev.WordsSoFar() | ev.CallerSaid() | ev.DigitPressed():
                self._answering.handle(event)
            case ev.ModelWrote() | ev.ModelEnded() | ev.ModelFailed():
                self._answering.handle(event)
            case ev.PlayoutBegan():
                talk.floor.began(event.utterance)
            case ev.PlayoutEnded():
                self._on_playout_ended(event)
            case ev.PlayoutStopped():
                talk.history.bot(event.heard)
                talk.floor.stopped(event)
            case ev.TechnicianChecked():
                self._on_technician_checked(event.available)
            case ev.CallbackStored():
                self._on_callback_stored(event.stored)
            case ev.ProviderFailed():
                talk.late.turn_ended(None, now)
                self._answering.on_provider_failed(event.stage)
            case ev.Tick():
                self._on_tick()
        if talk.deaf:
            self._answering.drop_model()
        if not self._owes_something:
            talk.late.stop()
        return talk.take_commands()

    def deadline(self) -> float | None:
        """When to call ``handle(Tick())``, as things stand."""
        talk = self.talk
        if talk.pending_end is not None:
            return None
        times = (
            self._limit_at, talk.pause_until, talk.late.due, talk.keypad.deadline(),
            talk.silence.due(),
        )  # fmt: skip
        return min((t for t in times if t is not None), default=None)

    @property
    def _owes_something(self) -> bool:
        """Whether the caller waits for us and hears nothing."""
        talk = self.talk
        if talk.pending_end is not None:
            return False
        if talk.floor.speaking:
            return not talk.floor.audible
        return talk.late.for_words or talk.awaiting_answer or self._answering.asking

    def completeness(self, text: str, yes: bool | None) -> Completeness:
        """Whether the words so far answer the question; decides how long to wait for more."""
        talk = self.talk
        meaning = understand(talk.script, text, yes)
        found = completeness(talk.question, meaning)
        looks_like_a_name = found is Completeness.INCOMPLETE  # after which a number would come
        if looks_like_a_name and (is_question(talk, meaning) or rest_of_answer(talk, meaning)):
            found = Completeness.OPEN
        if found is Completeness.OPEN and self._answering.can_answer(text):
            return Completeness.ANSWERABLE
        return found

    # ---- the call begins, sentences end -----------------------------------------------------

    def _on_call_started(self, event: ev.CallStarted) -> None:
        talk = self.talk
        self._limit_at = talk.now + self._longest_call
        if event.came_back:
            talk.slots = Slots(
                name=event.name,
                name_settled=True,
                number=event.number,
                confirmed=event.confirmed,
                problem=event.problem,
            )
            talk.move(Trigger.CAME_BACK)
            talk.ask(Question.CALLBACK, Prompt.WELCOME_BACK, Prompt.TECHNICIAN_BUSY)
        else:
            talk.move(Trigger.ANSWERED)
            talk.ask(Question.REASON)

    def _on_playout_ended(self, event: ev.PlayoutEnded) -> None:
        talk = self.talk
        talk.history.bot(event.text)
        match talk.floor.ended(event):
            case After.LISTEN:
                talk.silence.start(talk.now)
            case After.SOLUTION_PAUSE:
                talk.pause()
            case After.END:
                assert talk.pending_end is not None
                talk.act(talk.pending_end)

    # ---- silence and limits -----------------------------------------------------------------

    def _on_tick(self) -> None:
        talk, now = self.talk, self.talk.now
        if talk.pending_end is not None:
            return
        if self._limit_at is not None and now >= self._limit_at:
            talk.note("fallback", reason="call_limit")
            talk.move(Trigger.TOO_LONG)
            talk.say_goodbye(Prompt.LIMIT_GOODBYE)
        elif talk.pause_until is not None and now >= talk.pause_until:
            talk.pause_until = None
            talk.move(Trigger.SOLUTION_GIVEN)
            talk.ask(Question.WORKS)
        elif talk.late.due is not None and now >= talk.late.due:
            self._fill()
        elif (keys_at := talk.keypad.deadline()) is not None and now >= keys_at:
            talk.keypad.clear()
            self._answering.no_match()
        elif (silent_at := talk.silence.due()) is not None and now >= silent_at:
            self._on_silence()

    def _fill(self) -> None:
        """Nothing has been heard for too long."""
        if self.talk.awaiting_answer:
            self.talk.fill("storage")
        elif self.talk.floor.speaking:
            self.talk.fill("tts")
        else:
            self.talk.fill("llm" if self._answering.asking else "stt")

    def _on_silence(self) -> None:
        talk = self.talk
        talk.note("no_input", question=talk.question.value)
        match talk.silence.lapse():
            case Lapse.PATIENCE:
                talk.silence.reset()
                talk.ask(Question.WORKS, prompt=Prompt.ASK_WORKS_AGAIN)
            case Lapse.WARNING:
                talk.say(talk.sentences(Prompt.STILL_THERE), keep=True)
                talk.asked_presence = True
            case Lapse.HANGUP:
                talk.note("fallback", reason="silence")
                talk.move(Trigger.NOBODY_THERE)
                talk.say_goodbye(Prompt.SILENCE_GOODBYE, outcome="no_input")

    # ---- a person instead -------------------------------------------------------------------

    def _on_technician_checked(self, available: bool) -> None:
        talk = self.talk
        talk.awaiting_answer = False
        if talk.pending_end is not None:
            return
        lead = (Prompt.GIVE_UP_TRANSFER,) if talk.gave_up else ()
        if available:
            talk.end_with((*lead, Prompt.TRANSFER), EndCall(NextStep.TRANSFER, "transferred"))
        else:
            talk.ask(Question.CALLBACK, Prompt.NO_TECHNICIAN)

    def _on_callback_stored(self, stored: bool) -> None:
        talk = self.talk
        talk.awaiting_answer = False
        if talk.pending_end is not None:
            return
        talk.move(Trigger.ARRANGED)
        prompt = Prompt.CALLBACK_STORED if stored else Prompt.CALLBACK_FAILED
        outcome, failure = ("callback", "") if stored else ("failed", "storage")
        talk.say_goodbye(prompt, Prompt.GOODBYE, outcome=outcome, failure=failure)
