"""Every run of digits that somebody says, once, and as a telephone number where it is one."""

from __future__ import annotations

import pytest

from voicebot import script_file
from voicebot.dialogue.numbers import find_phone, heard_numbers
from voicebot.dialogue.words import tokens

SCRIPT = script_file.load()
ONE, OTHER = "0612345678", "0711223344"


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ("rien", []),
        ("le 12", [(None, "12")]),
        ("06 12 34 56 78", [(ONE, ONE)]),
        ("le 06 12 34 56 78, non, le 07 11 22 33 44", [(ONE, ONE), (OTHER, OTHER)]),
        ("le 12, puis le 06 12 34 56 78", [(None, "12"), (ONE, ONE)]),
    ],
)
def test_each_is_heard_once(said: str, heard: list[tuple[str | None, str]]) -> None:
    found = heard_numbers(tokens(said), SCRIPT.numbers, SCRIPT.phone)
    assert [(one.number, one.digits) for one in found] == heard


def test_a_whole_number_is_taken_before_a_longer_piece_of_another() -> None:
    said = tokens("le 12 34 56 78 90 12 34, enfin le 06 12 34 56 78")
    found = find_phone(said, SCRIPT.numbers, SCRIPT.phone)
    assert found is not None
    assert found.number == ONE
