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
from voicebot.dialogue.script import Prompt
from voicebot.dialogue.states import State, Trigger
from voicebot.dialogue.understanding import Meaning, understand
from voicebot.turns.events import SpeechLasted

if TYPE_CHECKING:
    from voicebot.dialogue.conversation import Conversation
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
    | ev.CallerSaid
    | ev.DigitPressed
    | ev.ModelWrote
    | ev.ModelEnded
    | ev.ModelFailed
)


class Answering:
    """Of one call; acts through *talk*. Where no model is asked the rules understand alone."""

    def __init__(self, talk: Conversation, limits: Limits) -> None:
        self._talk = talk
        self._model = Consultation(talk, self, limits)
        self._errors = 0
        self._unheard: tuple[str, ...] = ()
        """What the caller had not heard when they interrupted by what the model is asked."""

    @property
    def asking(self) -> bool:
        """Whether the caller waits for what will be made of the model's reply."""
        return self._model.waiting

    def can_answer(self, text: str) -> bool:
        """Whether a reply of the model's to *text* has begun, and makes something of it."""
        return self._model.can_answer(text)

    def drop_model(self) -> None:
        """Nothing that the model says matters any more, or just now."""
        self._model.drop()

    def handle(self, event: Handled) -> None:
        match event:
            case ev.ModelWrote() | ev.ModelEnded() | ev.ModelFailed():
                if self._model.reads(event.request):
                    self._on_reply(event)
            case SpeechLasted():
                self._on_speech_lasted()
            case ev.WordsSoFar():
                self._on_words_so_far(event)
            case ev.CallerSaid():
                self._on_caller_said(event)
            case ev.DigitPressed():
                self._on_digit(event.digit)

    # ---- the caller speaks ----------------------------------------------------------------

    def _on_speech_lasted(self) -> None:
        talk = self._talk
        if talk.pending_end is not None:
            return
        if talk.floor.speaking:
            talk.act(StopPlayout())
        self._model.interrupted()

    def _on_words_so_far(self, event: ev.WordsSoFar) -> None:
        """Think ahead, if thinking it is that the answer will need."""
        talk = self._talk
        if not event.early:
            talk.late.stop()
        elif not event.text.strip():
            self._model.drop_ahead()
        if talk.deaf or talk.model is None or not event.text.strip() or self._model.waiting:
            return
        meaning = understand(talk.script, event.text, event.yes)
        if worth_asking(talk, rule_for(talk, meaning), meaning):
            self._model.speculate(event.text)
        else:
            self._model.drop()

    def _on_caller_said(self, event: ev.CallerSaid) -> None:
        talk = self._talk
        if talk.deaf:
            return
        talk.late.turn_ended(event.speech_ended, talk.now)
        if not event.text.strip():
            self._on_nothing_said(event.speech_seconds)
            return
        talk.silence.reset()
        talk.history.caller(event.text)
        meaning = understand(talk.script, event.text, event.yes)
        if talk.floor.cut is not None and not adds_nothing(talk, meaning):
            talk.note("barge_in", outcome="accepted")
        self._answer(event.text, meaning)
        talk.floor.cut = None
        self._listen_if_idle()

    def _answer(self, text: str, meaning: Meaning) -> None:
        talk = self._talk
        rule = rule_for(talk, meaning)
        if worth_asking(talk, rule, meaning):
            self._unheard = talk.floor.cut or ()
            self._model.ask(text, meaning)
        else:
            self._errors = 0
            self._model.turn_understood()
            self._carry_out(rule, meaning)

    def _carry_out(self, rule: Rule | None, meaning: Meaning, *, by: str = "") -> None:
        talk, floor = self._talk, self._talk.floor
        if rule is None or (rule is Rule.PRESENT and talk.was_present):
            self.no_match()  # who is there for the second time has not understood us
            return
        talk.note("understood", rule=by + rule.value, question=talk.question.value)
        match rule:
            case Rule.NO_RECORDING:
                talk.act(StopRecording())
                stopped = talk.sentences(Prompt.RECORDING_STOPPED)
                if talk.put_again():
                    talk.say((*stopped, *floor.last_said[-1:]), floor.after, keep=True)
            case Rule.TECHNICIAN:
                talk.want_human()
            case Rule.PRESENT | Rule.REPEAT:
                talk.was_present = rule is Rule.PRESENT
                talk.repeat()
            case Rule.BACKCHANNEL:
                talk.carry_on()
            case Rule.ANSWER:
                ANSWERS[talk.question].then(talk, meaning)
            case Rule.GOODBYE:
                talk.move(Trigger.CALLER_DONE)
                talk.say_goodbye(Prompt.GOODBYE)

    def _on_nothing_said(self, speech_seconds: float) -> None:
        talk, floor = self._talk, self._talk.floor
        self._model.drop_ahead()
        if floor.cut:
            talk.resume("false")
        elif self._model.resume():
            pass
        elif speech_seconds >= SPEECH_WORTH_ASKING and (not floor.speaking or floor.filling):
            talk.silence.reset()
            self.no_match()
        self._listen_if_idle()

    def _listen_if_idle(self) -> None:
        """Whatever happened, the caller's silence counts when nobody speaks and nothing is due."""
        talk = self._talk
        if talk.deaf or self._model.waiting:
            return
        if talk.floor.filling:
            talk.act(*talk.floor.close())  # nothing comes after it: it was for nothing
        if talk.floor.speaking:
            return
        if talk.state is State.SOLUTION:
            talk.pause()
        else:
            talk.silence.start(talk.now)

    def no_match(self) -> None:
        """Nothing was understood: ask again in other words, or pass the caller on."""
        talk = self._talk
        talk.tries += 1
        talk.note("no_match", question=talk.question.value, tries=talk.tries)
        retries = ASKING[talk.question].retries
        if talk.tries <= len(retries):
            talk.say(talk.sentences(*retries[talk.tries - 1]))
        else:
            talk.give_up()

    # ---- the caller presses keys ----------------------------------------------------------

    def _on_digit(self, digit: str) -> None:
        talk = self._talk
        if talk.deaf:
            return
        if digit == END_KEY and ASKING[talk.question].answer is not Answer.NUMBER:
            return  # it ended a number that was complete without it
        talk.silence.reset()
        self._model.turn_understood()
        talk.act(*talk.floor.hush())
        talk.note("digit", digit=digit)
        talk.floor.cut = None
        talk.late.turn_ended(None, talk.now)
        pressed = talk.keypad.press(digit, talk.question, talk.now)
        if pressed.technician and talk.state is not State.TRANSFER:
            talk.want_human()
        elif pressed.repeat:
            talk.repeat()
        elif pressed.meaning is not None:
            talk.note("understood", rule="keys", question=talk.question.value)
            answer = ANSWERS[talk.question]
            if answer.fits(talk, pressed.meaning):
                answer.then(talk, pressed.meaning)
            else:
                self.no_match()
        elif pressed.wrong:
            self.no_match()
        self._listen_if_idle()

    # ---- what the model made of it --------------------------------------------------------

    def _on_reply(self, event: ev.ModelWrote | ev.ModelEnded | ev.ModelFailed) -> None:
        match event:
            case ev.ModelWrote():
                self._model.wrote(event.text)
            case ev.ModelEnded():
                self._model.ended()
            case ev.ModelFailed():
                self._model.failed()
        self._listen_if_idle()

    def understood(self, meaning: Meaning, by_rules: Meaning) -> None:
        """The model says that the caller meant *meaning*; the rules had made *by_rules* of it."""
        talk = self._talk
        self._errors = 0
        talk.floor.cut = self._unheard or None
        rule = rule_for(talk, meaning)
        if rule is None:
            self._by_rules(by_rules)
        else:
            self._carry_out(rule, meaning, by=BY_MODEL)
        talk.floor.cut = None

    def not_understood(self, by_rules: Meaning) -> None:
        """The model's reply is of no use: what remains is what the rules made of it."""
        self._errors = 0
        self._by_rules(by_rules)

    def not_answered(self, by_rules: Meaning) -> None:
        """The model did not answer."""
        self._talk.note("model", outcome="failed", reason="failed")
        if not self._one_too_many("llm"):
            self._by_rules(by_rules)

    def _by_rules(self, meaning: Meaning) -> None:
        talk = self._talk
        rule = rule_for(talk, meaning)
        looks_like_a_name = rule is Rule.ANSWER and talk.question in TAKE_NAMES
        self._carry_out(None if looks_like_a_name else rule, meaning)

    def say_free_answer(self, sentence: str, *, first: bool) -> None:
        """Speak the model's own words; what the caller has not heard, or was asked, follows."""
        talk, floor = self._talk, self._talk.floor
        if not first:
            talk.act(*floor.more(sentence))
            return
        self._errors = 0
        asked = () if floor.after is After.SOLUTION_PAUSE else floor.last_said[-1:]
        talk.note("understood", rule=f"{BY_MODEL}question", question=talk.question.value)
        talk.begin(sentence, floor.after, self._unheard or asked)

    def end_free_answer(self) -> None:
        """There is no more of it."""
        self._talk.act(*self._talk.floor.close())

    # ---- providers ------------------------------------------------------------------------

    def on_provider_failed(self, stage: str) -> None:
        """A provider of *stage* failed: an apology, and the question once more."""
        talk = self._talk
        if talk.deaf:
            return
        self._model.drop()
        if not self._one_too_many(stage):
            question = talk.floor.last_said[-1:]
            talk.say((*talk.sentences(Prompt.PARDON), *question), talk.floor.after)

    def _one_too_many(self, stage: str) -> bool:
        """A provider failed; True if it was one time too many, and the call is ending."""
        self._errors += 1
        self._talk.note("provider_failed", stage=stage, errors=self._errors)
        if self._errors < MOST_ERRORS:
            return False
        self._talk.trouble(stage)
        return True
