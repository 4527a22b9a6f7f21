"""What a call knows of its caller, and how long things may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds; from the settings."""

    silence_warning: float
    silence_hangup: float
    call: float


@dataclass(slots=True)
class Slots:
    """What is known of the caller."""

    name: str | None = None
    name_settled: bool = False
    """Whether to stop asking for the name."""
    number: str | None = None
    confirmed: bool = False
    rejected: int = 0
    """How often a read-back was denied."""
    problem: str | None = None
