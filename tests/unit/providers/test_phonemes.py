"""Text to phonemes: what is respelled, and what becomes of espeak-ng's habits."""

import subprocess
from pathlib import Path

import pytest

from voicebot.providers.phonemes import PhonemeError, phonemes, spell


def test_words_are_respelled_whole_and_in_any_case() -> None:
    respellings = (("box", "boxe"), ("SAV", "S A V"))

    assert spell("Box, boxer, le sav", respellings) == "boxe, boxer, le S A V"


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("au 06 12 34 56 78.", "au 06, 12, 34, 56, 78."),
        ("12 34", "12, 34"),
        ("1 000 euros", "1 000 euros"),
        ("en 2024 10 fois", "en 2024 10 fois"),
        ("à 10 h 30", "à 10 h 30"),
        ("12 34,5", "12 34,5"),
    ],
)
def test_pairs_of_digits_are_read_with_small_pauses(text: str, spelled: str) -> None:
    assert spell(text) == spelled


def test_typographic_marks_are_made_plain() -> None:
    assert spell("l’«\u00a0appel\u202f»") == "l'“ appel ”"


def test_punctuation_survives_and_signs_are_kokoros() -> None:
    assert phonemes("Bonjour, email !", "fr") == "bɔ̃ʒˈuʁ, ˈiːmAl!"


def test_a_word_from_another_language_leaves_no_flag() -> None:
    sounds = phonemes("le week-end", "fr")

    assert "(" not in sounds
    assert "en" not in sounds


def test_what_espeak_cuts_into_two_lines_stays_in_its_place() -> None:
    first, second = phonemes("M. Martin, bonjour", "fr").split(", ")

    assert "maʁtˈɛ̃" in first
    assert second == "bɔ̃ʒˈuʁ"


@pytest.mark.parametrize("text", ["", " ", "...", "?!"])
def test_no_words_make_no_sounds(text: str) -> None:
    assert not any(sign.isalpha() for sign in phonemes(text, "fr"))


def test_an_unknown_language_is_named() -> None:
    with pytest.raises(PhonemeError, match="'xx'"):
        phonemes("bonjour", "xx")


def test_a_missing_program_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(PhonemeError, match="apt-get install espeak-ng"):
        phonemes("bonjour", "fr")


def test_a_program_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*args: object, **kwargs: object) -> None:
        raise subprocess.TimeoutExpired("espeak-ng", 5)

    monkeypatch.setattr(subprocess, "run", hang)

    with pytest.raises(PhonemeError, match="did not answer"):
        phonemes("bonjour", "fr")
