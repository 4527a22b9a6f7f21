"""One turn of a call while it lasts: what was said, when, and by whose help.

A turn is what the caller did (spoke, pressed keys, stayed silent) and the bot's answer to it as far
as it was heard. Turn 0 is the greeting. Times are the session's monotonic seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from voicebot.telemetry.requests import Request
from voicebot.turns.timeline import TurnTimeline


@dataclass(slots=True)
class Sound:
    """The bot was heard from *start* to *end*; None: it still is."""

    start: float
    end: float | None = None


@dataclass(slots=True)
class Turn:
    number: int
    began: datetime
    opened: float
    state_from: str
    timeline: TurnTimeline | None = None
    caller_text: str = ""
    bot_texts: list[str] = field(default_factory=list)
    understood: str = ""
    outcome: str = "answered"
    stt_seconds: float | None = None
    confidence: float | None = None
    keys: bool = False
    sounds: list[Sound] = field(default_factory=list)
    interrupted_at: float | None = None
    requests: list[Request] = field(default_factory=list)
    """To providers, for this turn, in the order in which they ended."""

    def stages(self) -> dict[str, float]:
        """What the caller waited for; empty if the turn was not answered."""
        return (self.timeline.stages() if self.timeline is not None else None) or {}

    def heard_seconds(self, now: float) -> float:
        """How long the bot was heard."""
        return sum((sound.end or now) - sound.start for sound in self.sounds)

    def served_by(self, stage: str) -> Request | None:
        """The last request of *stage* that went well."""
        good = (r for r in reversed(self.requests) if r.stage == stage and r.outcome == "ok")
        return next(good, None)

    def fell_back(self) -> str | None:
        """The first stage in which a provider failed and another one served."""
        failed = [r for r in self.requests if r.outcome in ("error", "timeout")]
        for request in failed:
            served = self.served_by(request.stage)
            if served is not None and served.provider != request.provider:
                return request.stage
        return None


def assign(requests: list[Request], opening: float | None) -> tuple[list[Request], list[Request]]:
    """Of *requests* that have ended: those of the turn that ends, and those of the one that opens.

    What recognised the caller's words came before the turn they open. So did what was asked of a
    model while the end of the turn was still being waited out: *opening* is the end of the speech
    that opens a turn, None if none does.
    """
    before: list[Request] = []
    after: list[Request] = []
    for request in requests:
        early = opening is not None and request.began >= opening
        (after if request.stage == "stt" or early else before).append(request)
    return before, after
