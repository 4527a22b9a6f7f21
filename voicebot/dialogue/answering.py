"""What the caller does, and what comes of it: by the script's rules, by a model, or not at all.

The caller's words go to the rules first (:mod:`deciding`). What they do not understand goes to the
language model, if there is one (:mod:`consulting`), and its reply comes back as words would. What
nobody understands goes down the no-match ladder: the question in other words, twice, then a person.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from voicebot.dialogue import events as ev
from voicebot.dialogue.commands import Answer, StopPlayout, StopRecording
from voicebot.dialogue.consulting import Consultation
from voicebot.dialogue.deciding import (
    TAKE_NAMES,
    Rule,
    adds_nothing,
    rule_for,
    worth_asking,
)
from voicebot.dialogue.floor import After
from voicebot.dialogue.flow import ANSWERS
from voicebot.dialogue.questions import ASKING, END_KEY
from voicebot.dialogue.script import ModelScript, Prompt
from voicebot.dialogue.states import State, Trigger
from voicebot.dialogue.understanding import Meaning, understand
from voicebot.turns.events import SpeechLasted

if TYPE_CHECKING:
    from voicebot.dialogue.machine import DialogueMachine
    from voicebot.dialogue.slots import Limits

MOST_ERRORS = 3
"""Provider errors in a row after which the caller is handed to a person (the reference's rule)."""
SPEECH_WORTH_ASKING = 1.0
"""Seconds of speech without any recognised word that count as a no-match; less is noise."""
BY_MODEL = "model: "
"""Before the rule, in the journal, when it was the model that understood."""

Handled = (
    SpeechLasted
    | ev.WordsSoFar
    | ev.TurnEnded
    | ev.DigitPressed
    | ev.ModelWrote
    | ev.ModelEnded
    | ev.ModelFailed
)


class Answering:
    """Of one call; acts through *machine*. Without *model* the rules understand alone."""

    def __init__(self, machine: DialogueMachine, model: ModelScript | None, limits: Limits) -> None:
        self._machine = machine
        self.model = Consultation(machine, self, model, limits)
        self._errors = 0
        self._unheard: tuple[str, ...] = ()
        """What the caller had not heard when they interrupted by what the model is asked."""

    @property
    def waits_for(self) -> str:
        """The stage of whoever owes something, if it is not the voice."""
        return "llm" if self.model.waiting else "stt"

    def is_question(self, meaning: Meaning) -> bool:
        """Whether the caller asks something that the model will be asked."""
        script = self.model.script
        if script is None or meaning.heard_number is not None:
            return False
        return bool(script.asks.find(meaning.words))

    def handle(self, event: Handled) -> None:
        match event:
            case ev.ModelWrote() | ev.ModelEnded() | ev.ModelFailed():
                if self.model.reads(event.request):
                    self._on_reply(event)
            case SpeechLasted():
                self._on_speech_lasted()
            case ev.WordsSoFar():
                self._on_words_so_far(event)
            case ev.TurnEnded():
                self._on_turn_ended(event)
            case ev.DigitPressed():
                self._on_digit(event.digit)

    # ---- the caller speaks ----------------------------------------------------------------

    def _on_speech_lasted(self) -> None:
        machine = self._machine
        if machine.ending:
            return
        if machine.floor.speaking:
            machine.act(StopPlayout())
        self.model.interrupted()

    def _on_words_so_far(self, event: ev.WordsSoFar) -> None:
        """Think ahead, if thinking it is that the answer will need."""
        machine = self._machine
        if not event.early:
            machine.late.stop()
        elif not event.text.strip():
            self.model.drop_ahead()
        script = self.model.script
        if machine.deaf or script is None or not event.text.strip() or self.model.waiting:
            return
        meaning = understand(machine.script, event.text, event.yes)
        if worth_asking(rule_for(machine, meaning), meaning, machine.question, script):
            self.model.speculate(event.text)
        else:
            self.model.drop()

    def _on_turn_ended(self, event: ev.TurnEnded) -> None:
        machine = self._machine
        if machine.deaf:
            return
        machine.late.turn_ended(event.speech_ended, machine.now)
        if not event.text.strip():
            self._on_nothing_said(event.speech_seconds)
            return
        machine.silence.reset()
        machine.history.caller(event.text)
        meaning = understand(machine.script, event.text, event.yes)
        if machine.floor.cut is not None and not adds_nothing(machine, meaning):
            machine.note("barge_in", outcome="accepted")
        self._answer(event.text, meaning)
        machine.floor.cut = None
        machine.listen_if_idle()

    def _answer(self, text: str, meaning: Meaning) -> None:
        machine, script = self._machine, self.model.script
        rule = rule_for(machine, meaning)
        if script is not None and worth_asking(rule, meaning, machine.question, script):
            self._unheard = machine.floor.cut or ()
            self.model.ask(text, meaning)
        else:
            self._errors = 0
            self.model.turn_understood()
            self._carry_out(rule, meaning)

    def _carry_out(self, rule: Rule | None, meaning: Meaning, *, by: str = "") -> None:
        machine, floor = self._machine, self._machine.floor
        if rule is None or (rule is Rule.PRESENT and machine.was_present):
            self.no_match()  # who is there for the second time has not understood us
            return
        machine.note("understood", rule=by + rule.value, question=machine.question.value)
        match rule:
            case Rule.NO_RECORDING:
                machine.act(StopRecording())
                stopped = machine.sentences(Prompt.RECORDING_STOPPED)
                if machine.put_again():
                    machine.say((*stopped, *floor.last_said[-1:]), floor.after, keep=True)
            case Rule.TECHNICIAN:
                machine.want_human()
            case Rule.PRESENT | Rule.REPEAT:
                machine.was_present = rule is Rule.PRESENT
                machine.repeat()
            case Rule.BACKCHANNEL:
                machine.carry_on()
            case Rule.ANSWER:
                ANSWERS[machine.question].then(machine, meaning)
            case Rule.GOODBYE:
                machine.move(Trigger.CALLER_DONE)
                machine.say_goodbye(Prompt.GOODBYE)

    def _on_nothing_said(self, speech_seconds: float) -> None:
        machine, floor = self._machine, self._machine.floor
        self.model.drop_ahead()
        if floor.cut:
            machine.resume("false")
        elif self.model.resume():
            pass
        elif speech_seconds >= SPEECH_WORTH_ASKING and (not floor.speaking or floor.filling):
            machine.silence.reset()
            self.no_match()
        machine.listen_if_idle()

    def no_match(self) -> None:
        """Nothing was understood: ask again in other words, or pass the caller on."""
        machine = self._machine
        machine.tries += 1
        machine.note("no_match", question=machine.question.value, tries=machine.tries)
        retries = ASKING[machine.question].retries
        if machine.tries <= len(retries):
            machine.say(machine.sentences(*retries[machine.tries - 1]))
        else:
            machine.give_up()

    # ---- the caller presses keys ----------------------------------------------------------

    def _on_digit(self, digit: str) -> None:
        machine = self._machine
        if machine.deaf:
            return
        if digit == END_KEY and ASKING[machine.question].answer is not Answer.NUMBER:
            return  # it ended a number that was complete without it
        machine.silence.reset()
        self.model.turn_understood()
        machine.act(*machine.floor.hush())
        machine.note("digit", digit=digit)
        machine.floor.cut = None
        machine.late.turn_ended(None, machine.now)
        pressed = machine.keypad.press(digit, machine.question, machine.now)
        if pressed.technician and machine.state is not State.TRANSFER:
            machine.want_human()
        elif pressed.repeat:
            machine.repeat()
        elif pressed.meaning is not None:
            machine.note("understood", rule="keys", question=machine.question.value)
            answer = ANSWERS[machine.question]
            if answer.fits(machine, pressed.meaning):
                answer.then(machine, pressed.meaning)
            else:
                self.no_match()
        elif pressed.wrong:
            self.no_match()
        machine.listen_if_idle()

    # ---- what the model made of it --------------------------------------------------------

    def _on_reply(self, event: ev.ModelWrote | ev.ModelEnded | ev.ModelFailed) -> None:
        match event:
            case ev.ModelWrote():
                self.model.wrote(event.text)
            case ev.ModelEnded():
                self.model.ended()
            case ev.ModelFailed():
                self.model.failed()
        self._machine.listen_if_idle()

    def understood(self, meaning: Meaning, by_rules: Meaning) -> None:
        """The model says that the caller meant *meaning*; the rules had made *by_rules* of it."""
        machine = self._machine
        self._errors = 0
        machine.floor.cut = self._unheard or None
        rule = rule_for(machine, meaning)
        if rule is None:
            self._by_rules(by_rules)
        else:
            self._carry_out(rule, meaning, by=BY_MODEL)
        machine.floor.cut = None

    def not_understood(self, by_rules: Meaning) -> None:
        """The model's reply is of no use: what remains is what the rules made of it."""
        self._errors = 0
        self._by_rules(by_rules)

    def not_answered(self, by_rules: Meaning) -> None:
        """The model did not answer."""
        self._machine.note("model", outcome="failed", reason="failed")
        if not self.failed("llm"):
            self._by_rules(by_rules)

    def _by_rules(self, meaning: Meaning) -> None:
        machine = self._machine
        rule = rule_for(machine, meaning)
        looks_like_a_name = rule is Rule.ANSWER and machine.question in TAKE_NAMES
        self._carry_out(None if looks_like_a_name else rule, meaning)

    def say_free_answer(self, sentence: str, *, first: bool) -> None:
        """Speak the model's own words; what the caller has not heard, or was asked, follows."""
        machine, floor = self._machine, self._machine.floor
        if not first:
            machine.act(*floor.more(sentence))
            return
        self._errors = 0
        asked = () if floor.after is After.SOLUTION_PAUSE else floor.last_said[-1:]
        machine.note("understood", rule=f"{BY_MODEL}question", question=machine.question.value)
        machine.begin(sentence, floor.after, self._unheard or asked)

    def end_free_answer(self) -> None:
        """There is no more of it."""
        self._machine.act(*self._machine.floor.close())

    # ---- providers ------------------------------------------------------------------------

    def failed(self, stage: str) -> bool:
        """A provider failed; True if it was one time too many, and the call is ending."""
        self._errors += 1
        self._machine.note("provider_failed", stage=stage, errors=self._errors)
        if self._errors < MOST_ERRORS:
            return False
        self._machine.trouble(stage)
        return True
