"""Whatever happens in whatever order, the machine keeps its promises."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from voicebot import script_file
from voicebot.dialogue import commands as do
from voicebot.dialogue import events as ev
from voicebot.dialogue.machine import DialogueMachine
from voicebot.dialogue.slots import Limits
from voicebot.turns.events import Paused, SpeechLasted, SpeechStarted

SCRIPT = script_file.load()
TEXTS = st.sampled_from(
    [
        "", "oui", "non", "internet", "mon mobile", "Pierre Dupont, 06 12 34 56 78", "06 12",
        "un technicien", "répétez", "au revoir", "attendez", "c'est fait", "d'accord", "euh",
        "il fait beau aujourd'hui dans le nord", "combien de temps ça prend ?", "pourquoi",
        "non, le nom est faux", "Marie", "06 12 34 56 78",
    ]
)  # fmt: skip
WRITTEN = st.sampled_from(
    [
        '{"intent": "question"}', '{"intent": "answer", "problem": "mobile"}', '{"intent": "no"}',
        '{"intent": "answer", "name": "Marie"}', '{"intent": "technician"}', '{"intent": "done"}',
        '{"intent": "answer", "number": "0612345678"}', '{"intent": "unclear"}', '{"intent"',
        '{"intent": "no_recording"}', "Deux minutes. ", "Cela ", "dépend. ", "On rembourse. ", "",
        "Je ne peux pas répondre.", "x" * 300,
    ]
)  # fmt: skip


class AnyCall(RuleBasedStateMachine):
    """A world that answers commands as the session does, and a caller who does anything."""

    def __init__(self) -> None:
        super().__init__()
        self.machine = DialogueMachine(SCRIPT, Limits(8, 15, 600), ask_model=True)
        self.now = 0.0
        self.playing: do.Say | None = None
        self.heard = False
        self.requests: list[int] = []
        """Those that are still being answered."""
        self.words_owed = False
        self.asked: list[ev.Event] = []
        self.ended: list[do.EndCall] = []
        self.tell(ev.CallStarted())

    def tell(self, event: ev.Event) -> None:
        if self.ended:
            return
        inbox = [event]
        while inbox:
            for command in self.machine.handle(inbox.pop(0), self.now):
                match command:
                    case do.Say():
                        assert self.playing is None, "said over its own words"
                        assert command.sentences, "said nothing"
                        self.playing, self.heard = command, False
                    case do.SayMore():
                        playing = self.playing
                        assert playing is not None, "went on with what was stopped"
                        assert playing.more, "went on with what was closed"
                        assert playing.utterance == command.utterance
                        said = (*playing.sentences, *command.sentences)
                        self.playing = do.Say(command.utterance, said, more=not command.last)
                    case do.AskModel():
                        assert command.messages[-1][0] == "user"
                        self.requests.append(command.request)
                    case do.DropModel():
                        assert command.request in self.requests, "dropped what was over"
                        self.requests.remove(command.request)
                    case do.StopPlayout() if self.playing is not None:
                        stopped, self.playing = self.playing, None
                        inbox.append(ev.PlayoutStopped(stopped.utterance, "", stopped.sentences))
                    case do.CheckTechnician():
                        self.asked.append(ev.TechnicianChecked(True))
                    case do.StoreCallback():
                        assert SCRIPT.phone.national(command.number) == command.number
                        self.asked.append(ev.CallbackStored(True))
                    case do.EndCall():
                        self.ended.append(command)

    @rule(text=TEXTS, yes=st.sampled_from([None, True, False]), speech=st.floats(0.1, 3.0))
    def caller_speaks(self, text: str, yes: bool | None, speech: float) -> None:
        self.tell(SpeechStarted(self.now))
        if speech > 0.2:
            self.tell(SpeechLasted(self.now))
        self.now += speech
        self.words_owed = False
        self.tell(ev.CallerSaid(text, yes, speech, self.now))

    @rule(text=TEXTS, late=st.booleans())
    def caller_pauses(self, text: str, late: bool) -> None:
        self.tell(SpeechStarted(self.now))
        self.tell(SpeechLasted(self.now))
        self.now += 0.5
        self.tell(Paused(1, self.now))
        self.words_owed = True
        if not late:
            self.tell(ev.WordsSoFar(text))

    @precondition(lambda self: self.words_owed)
    @rule(text=TEXTS)
    def the_turn_ends(self, text: str) -> None:
        self.words_owed = False
        self.tell(ev.CallerSaid(text, None, 0.5, self.now))

    @precondition(lambda self: self.requests)
    @rule(pieces=st.lists(WRITTEN, max_size=4), end=st.sampled_from(["", "ended", "failed"]))
    def model_writes(self, pieces: list[str], end: str) -> None:
        number = self.requests[-1]
        for piece in pieces:
            if number in self.requests:
                self.tell(ev.ModelWrote(number, piece))
        if end and number in self.requests:
            self.requests.remove(number)
            self.tell(ev.ModelEnded(number) if end == "ended" else ev.ModelFailed(number))

    @rule(number=st.integers(0, 5))
    def a_reply_comes_that_nobody_wants(self, number: int) -> None:
        if number not in self.requests:
            self.tell(ev.ModelWrote(number, '{"intent": "technician"}'))
            self.tell(ev.ModelEnded(number))

    @precondition(lambda self: self.playing is not None and not self.heard)
    @rule()
    def utterance_begins(self) -> None:
        assert self.playing is not None
        self.heard = True
        self.tell(ev.PlayoutBegan(self.playing.utterance))

    @rule(digit=st.sampled_from("0123456789*#"))
    def caller_presses(self, digit: str) -> None:
        self.tell(ev.DigitPressed(digit))

    @precondition(lambda self: self.playing is not None and not self.playing.more)
    @rule()
    def utterance_is_heard(self) -> None:
        said, self.playing = self.playing, None
        assert said is not None
        self.now += 2.0
        self.tell(ev.PlayoutEnded(said.utterance, " ".join(said.sentences)))

    @rule(available=st.booleans())
    def question_is_answered(self, available: bool) -> None:
        if self.asked:
            event = self.asked.pop(0)
            if isinstance(event, ev.TechnicianChecked):
                event = ev.TechnicianChecked(available)
            self.tell(event)

    @rule(stage=st.sampled_from(["stt", "tts"]))
    def provider_fails(self, stage: str) -> None:
        self.words_owed = self.words_owed and stage != "stt"
        self.tell(ev.ProviderFailed(stage))

    @precondition(lambda self: self.playing is None or not self.heard or self.playing.more)
    @rule()
    def time_passes(self) -> None:
        deadline = self.machine.deadline()
        if deadline is not None:
            self.now = max(self.now, deadline)
            self.tell(ev.Tick())

    @invariant()
    def a_call_ends_once_and_after_its_last_words(self) -> None:
        assert len(self.ended) <= 1
        if self.ended:
            assert self.playing is None

    @invariant()
    def a_quiet_call_always_has_something_to_wait_for(self) -> None:
        """Nobody is left on a dead line: silence has a deadline, or an answer is on its way."""
        owed = self.asked or self.requests or self.words_owed
        if not self.ended and self.playing is None and not owed:
            assert self.machine.deadline() is not None

    @invariant()
    def what_was_begun_is_finished(self) -> None:
        """An utterance stays open only for somebody who owes the rest of it."""
        if not self.ended and self.playing is not None and self.playing.more:
            assert self.asked or self.requests or self.words_owed

    @invariant()
    def nothing_is_asked_for_an_answer_that_nobody_will_hear(self) -> None:
        if self.ended:
            assert not self.machine._answering.asking


AnyCall.TestCase.settings = settings(max_examples=150, stateful_step_count=40)
TestAnyCall = AnyCall.TestCase
