"""When models end, and what an operator may correct."""

from __future__ import annotations

from datetime import date

from voicebot.providers import sunset

THE_DAY = date(2027, 1, 6)


def test_a_model_is_there_until_its_day_and_announced_before() -> None:
    end = sunset.of("gpt-4o-mini-tts", ())
    assert end.day == THE_DAY
    assert not end.passed(date(2027, 1, 5))
    assert end.passed(THE_DAY)
    assert end.near(date(2026, 11, 23))
    assert not end.near(date(2026, 10, 1))
    assert end.timestamp == 1_799_193_600.0


def test_a_model_of_which_nothing_is_known_stays() -> None:
    end = sunset.of("nova-3", ())
    assert end.timestamp == 0.0
    assert not end.passed(date(2099, 1, 1))
    assert not end.near(date(2099, 1, 1))


def test_an_operator_knows_better() -> None:
    corrections = ("tts-1=2027-03-01", "gpt-4o-mini-tts=never", "nova-3=2028-01-01")
    assert sunset.of("tts-1", corrections).day == date(2027, 3, 1)
    assert sunset.of("gpt-4o-mini-tts", corrections).day is None
    assert sunset.of("nova-3", corrections).day == date(2028, 1, 1)
    assert sunset.of("tts-1-hd", corrections).day == THE_DAY
