"""How the text of a setting becomes a value, one parser for each kind; and text again.

A parser takes what stands in the file or the environment and returns the value, or raises
ValueError with what is allowed, worded to follow the setting's name and value. Nothing here knows
which settings there are (see :mod:`voicebot.settings.table`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

Parser = Callable[[str], Any]


def text_of(value: Any) -> str:
    """A setting's value as it is written in a settings file."""
    if value is None:
        return ""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


_AGE_RECIPIENT = re.compile(r"age1[02-9ac-hj-np-z]{58}")  # Bech32 of 32 bytes


def integer(low: int, high: int) -> Parser:
    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise ValueError(f"must be a whole number from {low} to {high}") from None
        if not low <= value <= high:
            raise ValueError(f"must be from {low} to {high}")
        return value

    return parse


def seconds(low: float, high: float) -> Parser:
    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise ValueError(f"must be a number of seconds from {low:g} to {high:g}") from None
        if not low <= value <= high:
            raise ValueError(f"must be from {low:g} to {high:g} seconds")
        return value

    return parse


def boolean(text: str) -> bool:
    try:
        return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[
            text.lower()
        ]
    except KeyError:
        raise ValueError("must be true or false") from None


def choice(*allowed: str) -> Parser:
    def parse(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}")
        return text

    return parse


def non_empty(text: str) -> str:
    if not text:
        raise ValueError("must not be empty")
    return text


def optional_path(text: str) -> Path | None:
    return Path(text).expanduser() if text else None


def path(text: str) -> Path:
    return Path(non_empty(text)).expanduser()


def cores(text: str) -> tuple[int, ...] | None:
    if not text:
        return None
    try:
        cores = tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError:
        raise ValueError("must be core numbers with commas, such as 1,2,3, or empty") from None
    if cores[0] < 0:
        raise ValueError("core numbers start at 0")
    return cores


def url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an address such as https://api.example.com")
    return text.rstrip("/")


def optional_url(text: str) -> str:
    return url(text) if text else ""


def headers(text: str) -> tuple[str, ...]:
    """name=value pairs with commas."""
    pairs = tuple(part.strip() for part in text.split(",") if part.strip())
    if not all(name and sep and value for name, sep, value in (p.partition("=") for p in pairs)):
        raise ValueError("must be like authorization=Basic%20abc,x-scope=voicebot")
    return pairs


def age_recipient(text: str) -> str:
    """A public key of age, or nothing."""
    if text and not _AGE_RECIPIENT.fullmatch(text):
        raise ValueError("must be a public key as age-keygen prints it (age1...), or empty")
    return text


def address(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError("must be HOST:PORT, such as 127.0.0.1:5060")
    return text


def chain(*allowed: str) -> Parser:
    """Names in order; none means: choose by the keys that are set."""

    def parse(text: str) -> tuple[str, ...]:
        if text in ("auto", ""):
            return ()
        names = tuple(name.strip() for name in text.split(","))
        if not set(names) <= set(allowed) or len(set(names)) < len(names):
            raise ValueError(f"must be auto, or some of {', '.join(allowed)}, with commas")
        return names

    return parse


def sunsets(text: str) -> tuple[str, ...]:
    """model=date pairs; the date may be never."""
    pairs = tuple(part.strip() for part in text.split(",") if part.strip())
    for pair in pairs:
        model, _, day = pair.partition("=")
        if not model or not _is_day(day):
            raise ValueError("must be like tts-1=2027-01-06,other-model=never")
    return pairs


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return text == "never"
    return True
