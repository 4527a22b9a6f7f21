"""The same machine, another script: a whole call in English, with numbers of seven digits."""

from __future__ import annotations

from pathlib import Path

from tests.support.playbook import (
    Playbook,
    answered,
    caller,
    checks_technician,
    ends,
    heard,
    moves,
    says,
    seconds,
    stores_callback,
    technician,
)
from voicebot import script_file
from voicebot.dialogue.commands import NextStep

ENGLISH = script_file.load(Path(__file__).parents[1] / "data" / "help.en.yaml")


def test_a_whole_call_in_english() -> None:
    with Playbook(ENGLISH) as play:
        play >> answered()
        play << moves("welcome") << says("Hello")
        play >> caller("My phone is dead.")
        play << says("I see", "your name")
        play >> caller(
            "My name is Ada Byron, and my number is five five five, oh one twenty-three."
        )
        play << says("Ada Byron", "555 0123", "Is that right")
        play >> caller("Yeah.")
        play << moves("solution") << says("switch it off")
        play >> heard()
        play >> seconds(1)
        play << moves("verification") << says("Does it work")
        play >> caller("It does not work.")
        play << moves("transfer") << checks_technician()
        play >> technician(available=False)
        play << says("Nobody is free", "call you back")
        play >> caller("Nope, bye.")
        play << moves("goodbye") << says("Goodbye")
        play >> heard()
        play << ends(NextStep.HANGUP, "completed")


def test_a_callback_in_english() -> None:
    with Playbook(ENGLISH) as play:
        play >> answered()
        play << says("Hello")
        play >> caller("A human, please.")
        play << moves("transfer") << checks_technician()
        play >> technician(available=False)
        play << says("Nobody is free")
        play >> caller("Yes.")
        play << says("On which number")
        play >> caller("5550123")
        play << says("555 0123")
        play >> caller("That is right.")
        play << stores_callback("5550123")
