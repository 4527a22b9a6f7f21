"""Stages tile the response time exactly, whatever overlapped."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebot.turns.timeline import TurnTimeline


@given(st.lists(st.floats(0.0, 1e6), min_size=5, max_size=5))
def test_stages_add_up_to_the_response(marks: list[float]) -> None:
    ended, *rest = marks
    timeline = TurnTimeline(ended, *rest)
    stages = timeline.stages()
    assert stages is not None
    assert list(stages) == ["endpointing", "llm", "tts", "playout"]
    assert all(seconds >= 0 for seconds in stages.values())
    assert timeline.response() == sum(stages.values())
    assert timeline.response() == pytest.approx(max(0.0, max(rest) - ended))


def test_an_unanswered_turn_has_no_response() -> None:
    timeline = TurnTimeline(1.0, turn_ended=1.5, answer_ready=1.5)
    assert timeline.stages() is None
    assert timeline.response() is None


def test_a_cached_answer_costs_nothing_beyond_the_end_of_turn() -> None:
    timeline = TurnTimeline(1.0, 1.5, 1.5, 1.5, 1.5)
    assert timeline.stages() == {"endpointing": 0.5, "llm": 0.0, "tts": 0.0, "playout": 0.0}
