"""What the probe does in a call, and what it makes of it: frames in, frames out, no clock."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.support.stage import tone
from voicebot.audio.pcm import FRAME_SECONDS, SILENCE_FRAME
from voicebot.probe import caller as probe
from voicebot.probe.caller import ProbeCaller, Timeline, failed_step
from voicebot.simulator.leg import End
from voicebot.simulator.lines import make_line

LOUD = tone(FRAME_SECONDS)
WORDS = make_line("Au revoir.", SILENCE_FRAME * 5 + tone(0.4) + SILENCE_FRAME * 5)
DIALLED, ANSWERED = 100.0, 100.1

Part = tuple[float, bool]  # seconds, and whether the bot is heard


def hold(parts: Sequence[Part]) -> tuple[Timeline, float | None, list[float]]:
    """Play the bot; the timeline, when the probe hung up, and when it sent something audible."""
    timeline = Timeline(DIALLED)
    caller = ProbeCaller(WORDS, timeline)
    now = ANSWERED
    caller.answered(now)
    sounds = []
    for seconds, loud in parts:
        for _ in range(round(seconds / FRAME_SECONDS)):
            caller.frame_heard(LOUD if loud else SILENCE_FRAME, now)
            if any(caller.next_frame(now)):
                sounds.append(now)
            if caller.wants_hangup(now):
                return timeline, now, sounds
            now += FRAME_SECONDS
    return timeline, None, sounds


def test_it_hears_the_greeting_out_and_measures_from_its_last_sound() -> None:
    # The greeting pauses for 0.8 s between two sentences.
    timeline, hung_up, sounds = hold(
        [
            (0.5, False),
            (3, True),
            (0.8, False),
            (2, True),
            (1.5 + 0.7, False),
            (1, True),
            (1, False),
        ]
    )
    assert hung_up is None
    assert timeline.first_audio == pytest.approx(0.6, abs=0.03)
    assert timeline.spoke == pytest.approx(ANSWERED + 6.3 + probe.PAUSE, abs=0.03)
    assert (sounds[0], sounds[-1]) == pytest.approx(
        (timeline.spoke + 0.1, timeline.spoke + 0.48), abs=0.03
    )
    assert timeline.said == pytest.approx(timeline.spoke + 0.5, abs=0.01)
    assert timeline.response == pytest.approx(0.7, abs=0.03)
    assert failed_step(timeline, End.BOT, let_go=True) is None
    assert failed_step(timeline, End.BOT, let_go=False) == "goodbye"
    assert failed_step(timeline, End.CALLER, let_go=True) == "goodbye"
    assert failed_step(timeline, End.LOST, let_go=True) == "goodbye"


def test_silence_after_the_answer() -> None:
    timeline, hung_up, sounds = hold([(30, False)])
    assert hung_up == pytest.approx(ANSWERED + probe.GREETING_LIMIT, abs=0.03)
    assert sounds == []
    assert failed_step(timeline, End.CALLER, let_go=False) == "greeting"


def test_a_bot_that_never_stops_talking() -> None:
    timeline, hung_up, _ = hold([(100, True)])
    assert hung_up == pytest.approx(ANSWERED + probe.TALK_LIMIT, abs=0.03)
    assert failed_step(timeline, End.CALLER, let_go=False) == "greeting"


def test_no_answer_to_what_it_said() -> None:
    timeline, hung_up, _ = hold([(2, True), (30, False)])
    assert timeline.said is not None
    assert hung_up == pytest.approx(timeline.said + probe.REPLY_LIMIT, abs=0.03)
    assert timeline.response is None
    assert failed_step(timeline, End.CALLER, let_go=False) == "reply"


def test_sound_over_its_own_words_is_no_answer() -> None:
    timeline, _, _ = hold([(2, True), (1.2, False), (0.1, True), (3, False)])
    assert timeline.reply is None


def test_a_bot_that_answers_and_does_not_let_go() -> None:
    timeline, hung_up, _ = hold([(2, True), (2, False), (1, True), (60, False)])
    assert timeline.reply is not None
    assert hung_up == pytest.approx(timeline.reply + probe.GOODBYE_LIMIT, abs=0.03)
    assert failed_step(timeline, End.CALLER, let_go=False) == "goodbye"


def test_a_call_that_was_never_up() -> None:
    assert failed_step(Timeline(DIALLED), End.LOST, let_go=False) == "connect"
