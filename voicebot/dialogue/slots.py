"""What a call knows of its caller, and how long things may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """From the settings; times in seconds."""

    silence_warning: float
    silence_hangup: float
    call: float
    speculations_a_turn: int = 2
    """How often a language model may be asked before the caller's turn is over; 0: never."""
    speculations_a_call: int = 30


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
