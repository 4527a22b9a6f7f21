"""The price table: what is shipped is whole, and what is wrong is named."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from voicebot import config
from voicebot.providers import prices
from voicebot.providers.prices import PriceError, Unit
from voicebot.speech import chains

GOOD = "currency: EUR\ndate: 2026-11-01\nmodels:\n  m: {audio_minute: 0.6}\n"


def table(directory: Path, text: str) -> prices.Prices:
    path = directory / "prices.yaml"
    path.write_text(text, encoding="utf-8")
    return prices.load(path)


def test_the_shipped_table_has_every_model_of_the_default_settings() -> None:
    settings = config.Settings(deepgram_api_key="d", openai_api_key="o", groq_api_key="g")
    assert chains.unpriced(settings, prices.load()) == []


def test_prices_are_of_one_unit(tmp_path: Path) -> None:
    found = table(tmp_path, GOOD)
    assert (found.currency, found.day) == ("EUR", date(2026, 11, 1))
    assert found.cost("m", Unit.AUDIO_SECONDS, 30.0) == pytest.approx(0.3)
    assert found.cost("m", Unit.CHARACTERS, 1000) == 0.0
    assert found.cost("other", Unit.AUDIO_SECONDS, 1.0) is None


def test_cached_tokens_cost_what_others_do_unless_there_is_a_price(tmp_path: Path) -> None:
    text = "currency: USD\ndate: 2026-11-01\nmodels: {m: {million_input_tokens: 2}}\n"
    assert table(tmp_path, text).cost("m", Unit.CACHED_TOKENS, 1e6) == 2.0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("EUR", "euros"), "currency: must be three capitals"),
        (("2026-11-01", "yesterday"), "date: must be the day"),
        (("2026-11-01", "2026-13-01"), "month must be"),
        (("audio_minute", "audio_hour"), "models: m: audio_hour: no such price"),
        (("0.6", "-1"), "models: m: audio_minute: must be an amount"),
        (("0.6", "true"), "models: m: audio_minute: must be an amount"),
        (("0.6", ".nan"), "models: m: audio_minute: must be an amount"),
        (("{audio_minute: 0.6}", "{}"), "models: m: must have one or more"),
        (("models", "modles"), "modles: no such key"),
        ((GOOD, "- 1"), "must have the keys"),
        ((GOOD, "a: [1"), "line 1"),
    ],
)
def test_a_fault_is_named_with_the_file(tmp_path: Path, change: tuple[str, str], says: str) -> None:
    with pytest.raises(PriceError) as caught:
        table(tmp_path, GOOD.replace(*change))
    assert str(tmp_path / "prices.yaml") in caught.value.faults[0]
    assert any(says in fault for fault in caught.value.faults), caught.value.faults


def test_a_table_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(PriceError, match="PRICES_FILE"):
        prices.load(tmp_path / "nothing.yaml")
