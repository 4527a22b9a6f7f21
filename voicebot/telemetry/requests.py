"""Requests to providers, noted for whoever asked: a call notes its own, for its trace and its log.

Whoever measures a provider makes a :class:`Request` and adds it to the list that the context
names, when it is over. A session sets :data:`noted_in` in the context in which it starts things;
tasks inherit it. Without one, nothing is noted.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass(slots=True)
class Request:
    """One request. Times are monotonic seconds."""

    stage: str
    """stt, llm or tts."""
    provider: str
    model: str
    began: float
    first: float | None = None
    """The first result."""
    ended: float = 0.0
    outcome: str = "cancelled"
    """As in the metric: ok, error, timeout, cancelled."""
    error: str = ""
    """Class of the error; never its text."""
    used: dict[str, float] = field(default_factory=dict)
    """What it used, by unit."""


noted_in: ContextVar[list[Request] | None] = ContextVar("noted_in", default=None)
"""Where requests of this context are noted."""

in_progress: ContextVar[Request | None] = ContextVar("in_progress", default=None)
"""The request that what happens now is part of."""


def note(request: Request) -> None:
    """It is over."""
    requests = noted_in.get()
    if requests is not None:
        requests.append(request)
