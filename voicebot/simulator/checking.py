"""Read values out of a YAML document, collecting every fault instead of stopping at the first.

Each reader takes one key, checks its kind and bounds, and returns a usable value even after a
fault, so that one pass finds them all. ``done()`` then reports the keys that nobody asked for:
those are spelling mistakes, and the nearest known key is named.
"""

from __future__ import annotations

import difflib
import re
from typing import Any

_NUMBER_DIGITS = frozenset("0123456789")


class Checker:
    """One mapping of the document and its *place*, such as ``keypad, rule 2``."""

    def __init__(self, value: Any, place: str, faults: list[str]) -> None:
        self._place = place
        self._faults = faults
        self._known: set[str] = set()
        if value is None:
            value = {}
        if not isinstance(value, dict):
            self.fault(f"must be a mapping (key: value), not {value!r}")
            value = {}
        self._values: dict[Any, Any] = value

    def fault(self, message: str) -> None:
        """Note that something is wrong here."""
        self._faults.append(f"{self._place}: {message}")

    def has(self, key: str) -> bool:
        """Whether the key is given at all."""
        return key in self._values

    def done(self) -> None:
        """Report the keys that were never read. Call it last."""
        for key in self._values:
            if key in self._known:
                continue
            close = difflib.get_close_matches(str(key), self._known, 1)
            hint = f"did you mean {close[0]!r}?" if close else f"known: {self._list_known()}"
            self.fault(f"unknown key {key!r}; {hint}")

    def text(self, key: str) -> str:
        """A piece of text, or an empty string if it is not given."""
        value = self._get(key)
        if value is None:
            return ""
        if not isinstance(value, str) or not value.strip():
            self.fault(f"{key!r} is {value!r}; it must be text (put it in quotes)")
            return ""
        return value.strip()

    def texts(self, key: str) -> tuple[str, ...]:
        """One piece of text, or a list of them."""
        value = self._get(key)
        values = value if isinstance(value, list) else [] if value is None else [value]
        for one in values:
            if not isinstance(one, str) or not one.strip():
                self.fault(f"{key!r} has {one!r}; it must be text (put it in quotes)")
                return ()
        return tuple(one.strip() for one in values)

    def digits(self, key: str, allowed: frozenset[str] = _NUMBER_DIGITS) -> str:
        """Digits as text. Unquoted ones are refused: YAML reads 0612 as another number."""
        value = self._get(key)
        if value is None:
            return ""
        if not isinstance(value, str):
            self.fault(f"{key!r} must be in quotes: YAML takes bare digits for a number")
            return ""
        compact = value.replace(" ", "")
        if not compact or set(compact) - allowed:
            self.fault(f"{key!r} is {value!r}; allowed are {''.join(sorted(allowed))} and spaces")
            return ""
        return compact

    def number(self, key: str, low: float, high: float, default: float) -> float:
        """A number from *low* to *high*."""
        value = self.optional_number(key, low, high)
        return default if value is None else value

    def optional_number(self, key: str, low: float, high: float) -> float | None:
        """A number from *low* to *high*, or None if it is not given."""
        value = self._get(key)
        if value is None:
            return None
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not low <= value <= high
        ):
            self.fault(f"{key!r} is {value!r}; it must be a number from {low:g} to {high:g}")
            return None
        return float(value)

    def count(self, key: str) -> int | None:
        """A whole number, 1 or more."""
        value = self._get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            self.fault(f"{key!r} is {value!r}; it must be a whole number, 1 or more")
            return None
        return value

    def span(self, key: str, low: float, high: float) -> tuple[float, float] | None:
        """One number, or a list of the least and the most."""
        value = self._get(key)
        if value is None:
            return None
        pair = value if isinstance(value, list) else [value, value]
        good = len(pair) == 2 and all(
            isinstance(one, int | float) and not isinstance(one, bool) and low <= one <= high
            for one in pair
        )
        if not good or pair[0] > pair[1]:
            self.fault(
                f"{key!r} is {value!r}; it must be a number from {low:g} to {high:g}, "
                "or a list of the least and the most"
            )
            return None
        return float(pair[0]), float(pair[1])

    def flag(self, key: str) -> bool:
        """true or false."""
        value = self._get(key)
        if value is not None and not isinstance(value, bool):
            self.fault(f"{key!r} is {value!r}; it must be true or false")
        return value is True

    def pattern(self, key: str) -> re.Pattern[str] | None:
        """A regular expression, matched without regard to case."""
        text = self.text(key)
        return self._compile(key, text) if text else None

    def patterns(self, key: str) -> tuple[re.Pattern[str], ...]:
        """One or several regular expressions."""
        compiled = (self._compile(key, text) for text in self.texts(key))
        return tuple(one for one in compiled if one is not None)

    def pairs(self, key: str) -> tuple[tuple[str, str], ...]:
        """A mapping of short texts."""
        value = self._get(key)
        if value is None:
            return ()
        if not isinstance(value, dict):
            self.fault(f"{key!r} must be a mapping such as {{technicians: never}}")
            return ()
        return tuple((str(name), str(one)) for name, one in value.items())

    def section(self, key: str) -> Checker:
        """A mapping of its own; empty if it is not given."""
        return Checker(self._get(key), f"{self._place}, {key}", self._faults)

    def optional_section(self, key: str, short: str) -> Checker | None:
        """A mapping, or plain text that stands for ``{short: text}``; None if not given."""
        value = self._get(key)
        if value is None:
            return None
        return Checker(_expand(value, short), f"{self._place}, {key}", self._faults)

    def items(self, key: str, short: str = "") -> list[Checker] | None:
        """A list of mappings (with *short*, also of texts); None if it is not given."""
        value = self._get(key)
        if value is None:
            return None
        if not isinstance(value, list):
            self.fault(f"{key!r} must be a list (lines that start with -)")
            return []
        place = f"{self._place}, {key.rstrip('s')}"
        return [
            Checker(_expand(one, short), f"{place} {number}", self._faults)
            for number, one in enumerate(value, 1)
        ]

    def _compile(self, key: str, text: str) -> re.Pattern[str] | None:
        try:
            return re.compile(text, re.IGNORECASE)
        except re.error as error:
            self.fault(f"{key!r} is {text!r}, not a regular expression: {error}")
            return None

    def _get(self, key: str) -> Any:
        self._known.add(key)
        return self._values.get(key)

    def _list_known(self) -> str:
        return ", ".join(sorted(self._known))


def _expand(value: Any, short: str) -> Any:
    return {short: value} if short and isinstance(value, str) else value
