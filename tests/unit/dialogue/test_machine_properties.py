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
from voicebot.turns.events import SpeechLasted, SpeechStarted

SCRIPT = script_file.load()
TEXTS = st.sampled_from(
    [
        "", "oui", "non", "internet", "mon mobile", "Pierre Dupont, 06 12 34 56 78", "06 12",
        "un technicien", "répétez", "au revoir", "attendez", "c'est fait", "d'accord", "euh",
        "il fait beau aujourd'hui dans le nord", "non, le nom est faux", "Marie", "06 12 34 56 78",
    ]
)  # fmt: skip


class AnyCall(RuleBasedStateMachine):
    """A world that answers commands as the session does, and a caller who does anything."""

    def __init__(self) -> None:
        super().__init__()
        self.machine = DialogueMachine(SCRIPT, Limits(8, 15, 600))
        self.now = 0.0
        self.playing: do.Say | None = None
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
                        self.playing = command
                    case do.StopPlayout() if self.playing is not None:
                        said, self.playing = self.playing, None
                        inbox.append(ev.PlayoutStopped(said.utterance, "", said.sentences))
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
        self.tell(ev.TurnEnded(text, yes, speech))

    @rule(digit=st.sampled_from("0123456789*#"))
    def caller_presses(self, digit: str) -> None:
        self.tell(ev.DigitPressed(digit))

    @precondition(lambda self: self.playing is not None)
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
        self.tell(ev.ProviderFailed(stage))

    @precondition(lambda self: self.playing is None)
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
        if not self.ended and self.playing is None and not self.asked:
            assert self.machine.deadline() is not None


AnyCall.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestAnyCall = AnyCall.TestCase
