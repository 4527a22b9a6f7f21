"""What the clouds charge: the price table, read and checked.

The one that is shipped has list prices; ``PRICES_FILE`` names another. A model that is not in the
table has no price, which is not the same as costing nothing: whatever it is used for has no known
cost, and nor has the call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import Enum
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

SHIPPED = Path(str(resources.files("voicebot") / "data" / "prices.yaml"))


class Unit(Enum):
    """What use is counted in; the value is its name in the journal."""

    AUDIO_SECONDS = "audio_seconds"
    """Of a caller's audio, sent to a recogniser. Sent twice counts twice."""
    SPEECH_SECONDS = "speech_seconds"
    """Of audio that a voice has sent."""
    CHARACTERS = "characters"
    """Sent to a voice."""
    INPUT_TOKENS = "input_tokens"
    """Of a language model, without the cached ones."""
    CACHED_TOKENS = "cached_tokens"
    """Of the input, charged less because the model had read them before."""
    OUTPUT_TOKENS = "output_tokens"


_PRICED = {
    "audio_minute": (Unit.AUDIO_SECONDS, 60.0),
    "speech_minute": (Unit.SPEECH_SECONDS, 60.0),
    "million_characters": (Unit.CHARACTERS, 1e6),
    "million_input_tokens": (Unit.INPUT_TOKENS, 1e6),
    "million_cached_tokens": (Unit.CACHED_TOKENS, 1e6),
    "million_output_tokens": (Unit.OUTPUT_TOKENS, 1e6),
}
"""What a price in the file is for: so many of a unit."""


class PriceError(Exception):
    """The price table is of no use. ``faults`` names the file and the line of each fault."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


@dataclass(frozen=True, slots=True)
class Prices:
    """A price table."""

    currency: str
    """ISO 4217, as USD."""
    day: date
    """As of when."""
    models: Mapping[str, Mapping[Unit, float]]
    """Model to what one of each unit costs; a unit that is not there is not charged."""

    def cost(self, model: str, unit: Unit, amount: float) -> float | None:
        """Of *amount*, in :attr:`currency`; None if *model* has no price."""
        prices = self.models.get(model)
        return None if prices is None else prices.get(unit, 0.0) * amount

    @property
    def timestamp(self) -> float:
        """Seconds since 1970 of the day's beginning (UTC)."""
        return datetime(self.day.year, self.day.month, self.day.day, tzinfo=UTC).timestamp()


def load(path: Path | None = None) -> Prices:
    """The table at *path*, or the shipped one. Raises PriceError."""
    path = path or SHIPPED
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PriceError([f"{path}: no such file (PRICES_FILE)"]) from None
    except OSError as error:
        raise PriceError([f"{path}: cannot be read: {error.strerror} (PRICES_FILE)"]) from None
    except UnicodeDecodeError as error:
        raise PriceError([f"{path}: is not UTF-8 text (byte {error.start})"]) from None
    except (yaml.YAMLError, ValueError) as error:  # a ValueError: 2026-13-01 looks like a date
        where = getattr(error, "problem_mark", None)
        line = f" line {where.line + 1}" if where else ""
        problem = getattr(error, "problem", None) or error
        raise PriceError([f"{path}:{line} {problem}"]) from None
    return _parse(data, path)


def _parse(data: Any, path: Path) -> Prices:
    faults: list[str] = []
    if not isinstance(data, dict):
        raise PriceError([f"{path}: must have the keys currency, date and models"])
    faults += [f"{key}: no such key" for key in data.keys() - {"currency", "date", "models"}]
    currency, day, models = data.get("currency"), data.get("date"), data.get("models")
    if not isinstance(currency, str) or len(currency) != 3 or not currency.isupper():
        faults.append(f"currency: must be three capitals such as EUR, not {currency!r}")
    if not isinstance(day, date) or isinstance(day, datetime):
        faults.append(f"date: must be the day of these prices, such as 2026-11-26, not {day!r}")
    if not isinstance(models, dict) or not models:
        faults.append("models: must name models and what they cost")
        models = {}
    table = {str(name): _model(str(name), of, faults) for name, of in models.items()}
    if faults:
        raise PriceError([f"{path}: {fault}" for fault in faults])
    return Prices(str(currency), day, table)  # type: ignore[arg-type]  # checked above


def _model(name: str, prices: Any, faults: list[str]) -> dict[Unit, float]:
    found: dict[Unit, float] = {}
    if not isinstance(prices, dict) or not prices:
        faults.append(f"models: {name}: must have one or more of {', '.join(_PRICED)}")
        return found
    for key, value in prices.items():
        if key not in _PRICED:
            faults.append(f"models: {name}: {key}: no such price; known are {', '.join(_PRICED)}")
        elif isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e6:
            faults.append(f"models: {name}: {key}: must be an amount of money, not {value!r}")
        else:
            unit, size = _PRICED[key]
            found[unit] = value / size
    if Unit.CACHED_TOKENS not in found and Unit.INPUT_TOKENS in found:
        found[Unit.CACHED_TOKENS] = found[Unit.INPUT_TOKENS]
    return found
