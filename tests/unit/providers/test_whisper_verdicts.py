"""When a decoding is believed, and when a yes is a yes."""

import numpy as np
import pytest

from voicebot.providers.whisper import is_speech, judge_yes_no

YES, NO, SIZE = [3, 4], [7], 1000


@pytest.mark.parametrize(
    ("text", "log_probability", "no_speech", "believed"),
    [
        ("J'ai un problème avec mon internet.", -0.3, 0.04, True),
        ("Oui.", -1.2, 0.32, True),
        ("", -0.1, 0.1, True),
        ("Un", -0.5, 0.61, False),
        ("Un", -1.7, 0.1, False),
        ("A" * 300, -0.2, 0.1, False),
        ("et puis " * 30, -0.2, 0.1, False),
        ("06 12 34 56 78, oui c'est le 06 12 34 56 78.", -0.4, 0.1, True),
    ],
)
def test_noise_and_loops_are_not_speech(
    text: str, log_probability: float, no_speech: float, believed: bool
) -> None:
    assert is_speech(text, log_probability, no_speech) is believed


@pytest.mark.parametrize(
    ("yes", "no", "verdict"),
    [
        (0.9, 0.01, True),
        (0.01, 0.9, False),
        (0.4, 0.5, None),  # could be both
        (0.02, 0.005, None),  # something else was said
        (0.05, 0.01, True),
    ],
)
def test_a_verdict_needs_weight_and_a_margin(yes: float, no: float, verdict: bool | None) -> None:
    odds = np.full(SIZE, (1 - yes - no) / (SIZE - 3))
    odds[YES] = yes / 2
    odds[NO] = no

    assert judge_yes_no(np.log(odds).astype(np.float32), YES, NO) is verdict
