"""Nobody goes round for ever: a caller who is understood each time, and never gets any further, is
passed on to a person, or told goodbye, after a bounded number of turns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import cycle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.playbook import (
    caller,
    checks_technician,
    ends,
    heard,
    moves,
    notes,
    presses,
    says,
    seconds,
    technician,
)
from voicebot import script_file
from voicebot.dialogue import commands as do
from voicebot.dialogue import events as ev
from voicebot.dialogue.commands import NextStep
from voicebot.dialogue.conversation import MOST_PUT
from voicebot.dialogue.machine import DialogueMachine
from voicebot.dialogue.slots import Limits
from voicebot.turns.events import SpeechStarted

SCRIPT = script_file.load()
NO_LIMIT = Limits(8, 15, call=1e9)
MOST_TURNS = 100
"""Of the caller, in a whole call: the worst of 30,000 that were drawn has 67."""
TEXTS = (
    "oui", "non", "mon internet", "Pierre Dupont", "06 12 34 56 78", "07 42 08 15 23", "06 12",
    "répétez", "attendez", "c'est fait", "d'accord", "mm-hm", "je suis là", "pardon",
    "il fait beau aujourd'hui dans le nord", "combien de temps ça prend ?", "pourquoi",
    "ne m'enregistrez pas", "non, le nom est faux", "je ne sais pas", "*", "3", "#",
)  # fmt: skip
ANSWER = '{"intent": "question"}\nCela dépend de votre abonnement.'
REPLIES = (ANSWER, '{"intent": "unclear"}', '{"intent": "repeat"}', '{"intent": "wait"}')


def turns_until_the_end(
    said: Iterable[str], *, after: float, replies: Iterator[str], technicians: bool
) -> int:
    """How often a caller speaks or presses a key, *after* so many seconds of silence each time."""
    machine = DialogueMachine(SCRIPT, NO_LIMIT, ask_model=True)
    now, turns = 0.0, 0
    inbox: list[ev.Event] = [ev.CallStarted()]
    playing: do.Say | None = None
    sentences: tuple[str, ...] = ()
    for text in said:
        while True:
            while inbox:
                for command in machine.handle(inbox.pop(0), now):
                    match command:
                        case do.EndCall():
                            return turns
                        case do.Say():
                            playing, sentences = command, command.sentences
                            inbox.append(ev.PlayoutBegan(command.utterance))
                        case do.SayMore():
                            sentences += command.sentences
                        case do.StopPlayout() if playing is not None:
                            inbox.append(ev.PlayoutStopped(playing.utterance, "", sentences))
                            playing = None
                        case do.CheckTechnician():
                            inbox.append(ev.TechnicianChecked(technicians))
                        case do.StoreCallback():
                            inbox.append(ev.CallbackStored(True))
                        case do.AskModel():
                            inbox.append(ev.ModelWrote(command.request, next(replies)))
                            inbox.append(ev.ModelEnded(command.request))
            if playing is not None:
                now += 2.0
                inbox.append(ev.PlayoutEnded(playing.utterance, " ".join(sentences)))
                playing = None
                continue
            deadline = machine.deadline()
            if deadline is None or deadline > now + after:
                break
            now = max(now, deadline)
            inbox.append(ev.Tick())
        now += after
        turns += 1
        if len(text) == 1:
            inbox.append(ev.DigitPressed(text))
        else:
            inbox += [SpeechStarted(now), ev.CallerSaid(text, None, 1.0, now + 1.0)]
            now += 1.0
    raise AssertionError(f"still talking after {turns} turns")


@pytest.mark.parametrize("technicians", [True, False])
@pytest.mark.parametrize("reply", REPLIES)
@pytest.mark.parametrize("after", [0.5, 3.0, 9.0], ids=["soon", "late", "when asked"])
@pytest.mark.parametrize("text", TEXTS)
def test_who_says_always_the_same_comes_to_an_end(
    text: str, after: float, reply: str, technicians: bool
) -> None:
    said = [text] * MOST_TURNS
    turns_until_the_end(said, after=after, replies=cycle([reply]), technicians=technicians)


@given(
    said=st.lists(st.sampled_from(TEXTS), min_size=1, max_size=6),
    replies=st.lists(st.sampled_from(REPLIES), min_size=1, max_size=4),
    after=st.sampled_from([0.5, 9.0]),
    technicians=st.booleans(),
)
@settings(max_examples=500)
def test_who_goes_round_comes_to_an_end(
    said: list[str], replies: list[str], after: float, technicians: bool
) -> None:
    rounds = (said * MOST_TURNS)[:MOST_TURNS]
    turns_until_the_end(rounds, after=after, replies=cycle(replies), technicians=technicians)


def test_who_is_there_and_does_not_answer_is_helped_and_then_passed_on(until) -> None:
    play = until("verification")
    for expected in (("Est-ce que ça marche",), ("n'ai pas bien compris",), ("tapez 1 pour oui",)):
        play >> heard() >> seconds(8)
        play << notes("no_input") << says("toujours là")
        play >> caller("Oui, je suis là.")
        play << says(*expected)
    play >> heard() >> seconds(8)
    play << notes("no_input") << says("toujours là")
    play >> caller("Oui, je suis là.")
    play << notes("no_match", tries=3) << moves("transfer") << checks_technician()


def test_who_is_there_and_nobody_can_take_over_is_told_goodbye(until) -> None:
    play = until("verification")
    play >> caller("Non, ça ne marche pas.", yes=False)
    play << moves("transfer") << checks_technician()
    play >> technician(available=False)
    play << says("Aucun technicien", "vous rappelle")
    for expected in ("vous rappelle", "n'ai pas bien compris", "tapez 1 pour oui"):
        play >> heard() >> seconds(8)
        play << notes("no_input") << says("toujours là")
        play >> caller("Oui, je suis là.")
        play << says(expected)
    play >> heard() >> seconds(8)
    play << notes("no_input") << says("toujours là")
    play >> caller("Oui, je suis là.")
    play << moves("goodbye") << says("Au revoir")
    play >> heard()
    play << ends(NextStep.HANGUP, "failed")


def test_who_asks_to_repeat_again_and_again_is_passed_on(until) -> None:
    play = until("verification")
    for _ in range(MOST_PUT - 1):
        play >> presses("*")
        play << says("Est-ce que ça marche")
    play >> presses("*")
    play << notes("fallback", reason="round_limit") << moves("transfer") << checks_technician()
    play >> technician(available=True)
    play << says("passer quelqu'un", "transfère")
