"""Use and money as a person reads them."""

from __future__ import annotations


def money(cost: float | None, currency: str | None) -> str:
    """To a hundredth of a cent; a question mark for what is not known."""
    if cost is None:
        return "?"
    return f"{cost:.4f} {currency}" if cost and currency else "0"


def amount_text(amount: float, unit: str) -> str:
    """As ``31.5 s of audio``; *unit* is one of :class:`voicebot.providers.prices.Unit`."""
    match unit:
        case "audio_seconds":
            return f"{amount:.1f} s of audio"
        case "speech_seconds":
            return f"{amount:.1f} s of speech"
    return f"{amount:.0f} {unit.replace('_', ' ')}"
