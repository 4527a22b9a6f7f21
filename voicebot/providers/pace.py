"""What whoever plays a stream tells whoever reads it: when more of it is needed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Pace:
    """Of one stream. Only a wish: a reader that cannot rest ignores it."""

    not_before: float = 0.0
    """Until then (the event loop's time, s) what comes may lie with the kernel."""
