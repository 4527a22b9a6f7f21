"""When the makers of a model switch it off.

Pure: today is an argument. A model that is gone fails every request, so it is passed over instead
of tried; one that will be gone is announced. The dates are the makers' own, as of this version;
they do move, so the setting ``MODEL_SUNSETS`` corrects them without a new release.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

NOTICE_DAYS = 60
"""How long before the date an operator is told."""

#: Sources: the deprecation notice in openai-python 3.54, ``resources/audio/speech.py``; Groq's mail
#: about its free and developer plans, quoted in karthink/gptel#1478 (enterprise contracts may keep
#: them longer).
KNOWN: Mapping[str, date] = {
    "tts-1": date(2027, 1, 6),
    "tts-1-hd": date(2027, 1, 6),
    "gpt-4o-mini-tts": date(2027, 1, 6),
    "gpt-4o-mini-tts-2025-03-20": date(2027, 1, 6),
    "gpt-4o-mini-tts-2025-12-15": date(2027, 1, 6),
    "llama-3.3-70b-versatile": date(2026, 8, 16),
    "llama-3.1-8b-instant": date(2026, 8, 16),
}


@dataclass(frozen=True, slots=True)
class Sunset:
    """The end of one model. A *day* of None: none is known."""

    model: str
    day: date | None

    def passed(self, today: date) -> bool:
        return self.day is not None and today >= self.day

    def near(self, today: date) -> bool:
        """Whether it is time to look for another model."""
        return self.day is not None and (self.day - today).days <= NOTICE_DAYS

    @property
    def timestamp(self) -> float:
        """Seconds since 1970 of the day's beginning (UTC); 0 if none is known."""
        if self.day is None:
            return 0.0
        return datetime(self.day.year, self.day.month, self.day.day, tzinfo=UTC).timestamp()


def of(model: str, corrections: Sequence[str]) -> Sunset:
    """What is known of *model*; *corrections*, each ``model=date`` or ``model=never``, win."""
    corrected = dict(pair.split("=", 1) for pair in corrections)
    if model in corrected:
        day = corrected[model]
        return Sunset(model, None if day == "never" else date.fromisoformat(day))
    return Sunset(model, KNOWN.get(model))
