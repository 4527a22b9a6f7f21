"""How a finished call is judged, on calls that were never held."""

from __future__ import annotations

from dataclasses import replace

import pytest

from voicebot.simulator.activity import Segment
from voicebot.simulator.customer import Kind
from voicebot.simulator.judge import Facts, failures, hesitations, pause_before, warnings
from voicebot.simulator.leg import End
from voicebot.simulator.measure import Level, Measures, Response, Turn
from voicebot.simulator.scenario import parse
from voicebot.simulator.tape import Gap
from voicebot.simulator.transcript import Entry, Who

GOOD_LEVEL = Level(speech_rms=-19.0, peak=-3.0, clipped=0, speech_seconds=5.0)
MEASURES = Measures(
    duration=30.0,
    turns=(),
    bot_segments=(Segment(0.2, 3.0), Segment(11.0, 12.5), Segment(19.5, 21.0)),
    first_audio=0.2,
    caller=GOOD_LEVEL,
    bot=GOOD_LEVEL,
    gaps=(),
    dropouts=(),
)
FACTS = Facts(
    end=End.BOT,
    fault="",
    outcome="no_input",
    entries=(
        Entry(0.2, Who.BOT, "Bonjour, je vous écoute."),
        Entry(11.0, Who.BOT, "Allô, vous êtes toujours là ?"),
        Entry(19.5, Who.BOT, "Au revoir !"),
    ),
    unanswered=(),
    measures=MEASURES,
)
TURN = Turn(
    number=1,
    kind=Kind.SPEECH,
    question="Ça marche ?",
    said="Oui.",
    start=5.0,
    end=5.5,
    response=Response.ANSWERED,
    latency=0.9,
    barge_in=None,
)


def expecting(expect: str) -> list[str]:
    return failures(parse(f"rules: []\nexpect: {expect}", "test"), FACTS)


def test_expecting_nothing_is_always_met() -> None:
    assert failures(parse("rules: []", "test"), FACTS) == []


@pytest.mark.parametrize(
    ("expect", "fault"),
    [
        ("{bot_says: [{words: 'toujours là', pause_before: [7.5, 9]}]}", None),
        ("{bot_says: [{words: 'toujours là', pause_before: [4, 6]}]}", "silence before"),
        ("{bot_says: [{words: 'au revoir', pause_before: 7}]}", None),
        ("{outcome: [completed, no_input]}", None),
        ("{outcome: completed}", "outcome no_input, expected completed"),
        ("{max_duration: 20}", "lasted 30.0 s, expected 20"),
    ],
)
def test_what_is_expected_is_checked(expect: str, fault: str | None) -> None:
    found = expecting(expect)
    assert found == [] if fault is None else fault in found[0]


def test_states_must_come_in_order_but_others_may_lie_between() -> None:
    visited = [Entry(0.0, Who.STATE, state) for state in ("welcome", "diagnostic", "goodbye")]
    facts = replace(FACTS, entries=visited)
    good = parse("rules: []\nexpect: {states: [WELCOME, goodbye]}", "test")
    assert failures(good, facts) == []
    swapped = parse("rules: []\nexpect: {states: [goodbye, welcome]}", "test")
    assert failures(swapped, facts) == [
        "state welcome was not visited in its place; visited: welcome → diagnostic → goodbye"
    ]


def test_an_outcome_that_nobody_told_is_not_taken_for_granted() -> None:
    facts = replace(FACTS, outcome=None)
    scenario = parse("rules: []\nexpect: {outcome: completed}", "test")
    assert failures(scenario, facts) == ["outcome unknown, expected completed"]


def test_a_failure_comes_with_what_the_customer_could_not_answer() -> None:
    facts = replace(FACTS, unanswered=["Quel temps fait-il ?"])
    scenario = parse("rules: []\nexpect: {outcome: completed}", "test")
    assert failures(scenario, facts)[-1] == "the customer had no answer to: Quel temps fait-il ?"
    assert failures(parse("rules: []", "test"), facts) == []


def test_a_broken_feed_is_a_failure_of_its_own() -> None:
    facts = replace(FACTS, feed_fault="the event feed broke off")
    assert failures(parse("rules: []", "test"), facts) == ["the event feed broke off"]


def test_the_pause_before_an_utterance_is_the_bots_own_silence() -> None:
    segments = MEASURES.bot_segments
    assert pause_before(0.2, segments) == pytest.approx(0.2)
    assert pause_before(10.95, segments) == pytest.approx(8.0)
    assert pause_before(25.0, segments) is None


def test_what_a_busy_machine_can_spoil_is_a_warning() -> None:
    scenario = parse("rules: []\nexpect: {max_latency: 0.5}", "test")
    spoilt = replace(
        MEASURES,
        turns=(TURN, replace(TURN, number=2, response=Response.PREMATURE, latency=None)),
        gaps=(Gap(1.0, 0.12), Gap(2.0, 0.3)),
        dropouts=(Segment(3.0, 3.04),),
        bot=Level(speech_rms=-38.0, peak=-0.1, clipped=12, speech_seconds=1.0),
    )
    facts = replace(FACTS, measures=spoilt)
    assert failures(scenario, facts) == []
    assert warnings(scenario, facts) == [
        "turn 1: answered after 0.90 s, expected 0.5 s",
        "turn 2 (Oui.): the bot spoke before the customer had finished",
        "2 gaps from late frames, the longest 0.30 s",
        "1 dropouts inside the bot's speech",
        "12 clipped samples in the bot's speech",
        "the bot's speech is at -38 dBFS; -30 to -10 is good",
    ]
    assert warnings(scenario, FACTS) == []


def test_a_pause_within_an_utterance_is_noticed_but_not_one_between_two() -> None:
    pauses = replace(
        MEASURES,
        turns=(replace(TURN, start=20.0, end=21.0),),
        bot_segments=(
            Segment(0.2, 1.5),
            Segment(2.5, 4.0),  # within the first utterance
            Segment(8.0, 9.0),  # the second one begins
            Segment(9.5, 19.0),  # a breath
            Segment(22.0, 23.0),  # after the customer's answer
        ),
    )
    entries = [Entry(0.15, Who.BOT, "Merci. C'est bien ça ?"), Entry(8.05, Who.BOT, "Allô ?")]
    facts = replace(FACTS, measures=pauses, entries=entries)
    assert hesitations(facts) == [(1.5, pytest.approx(1.0))]
    assert "the bot paused 1.0 s within an utterance (1.5 s into the call)" in warnings(
        parse("rules: []", "test"), facts
    )
