"""What ``alerts.yaml`` says, read and checked: objectives, burn rates, alerts for causes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

TABLE = Path(__file__).parent / "alerts.yaml"
SEVERITIES = ("page", "ticket", "none")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
DURATION = re.compile(r"(\d+)([smhd])")


class TableError(ValueError):
    """The table contradicts itself; the message names the entry."""


def seconds(duration: str) -> int:
    """``90s``, ``5m``, ``6h`` or ``3d`` in seconds. Raises TableError."""
    match = DURATION.fullmatch(duration)
    if match is None:
        raise TableError(f"{duration!r} is no duration: a whole number, then s, m, h or d")
    return int(match[1]) * _UNITS[match[2]]


@dataclass(frozen=True, slots=True)
class Burn:
    """One pair of windows, of the SRE workbook's "multiwindow, multi-burn-rate"."""

    severity: str
    long: str
    short: str
    factor: float
    hold: str
    least: int
    """Events in the long window, or there is no alert."""


@dataclass(frozen=True, slots=True)
class Objective:
    """A promise: *objective* is the share of events that are good."""

    name: str
    alert: str
    objective: float
    severities: Sequence[str]
    dashboard: str
    promise: str
    summary: str
    total: str
    """Events a second, with ``[W]`` for the window."""
    bad: str
    live: str
    """A matcher that leaves out test calls, or nothing."""
    threshold: float | None
    """Seconds that an event may take, if it is good by its duration."""

    @property
    def budget(self) -> float:
        """Share of events that may be bad."""
        return round(1 - self.objective, 6)


@dataclass(frozen=True, slots=True)
class Cause:
    """An alert by itself."""

    name: str
    severity: str
    dashboard: str
    hold: str
    expr: str
    summary: str
    description: str


@dataclass(frozen=True, slots=True)
class Table:
    burn: Sequence[Burn]
    objectives: Mapping[str, Objective]
    records: Mapping[str, str]
    causes: Sequence[Cause]


def load(file: Path = TABLE) -> Table:
    """Raises TableError, or KeyError for a part that is missing."""
    content: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
    burn = [
        Burn(b["severity"], b["long"], b["short"], b["factor"], b["for"], b["least"])
        for b in content["burn"]
    ]
    objectives = {name: _objective(name, **o) for name, o in content["objectives"].items()}
    causes = [_cause(name, **c) for name, c in content["causes"].items()]
    for objective in objectives.values():
        _check_reachable(objective, burn)
    return Table(burn, objectives, content["records"], causes)


def _objective(
    name: str,
    *,
    total: str,
    good: str = "",
    bad: str = "",
    live: str = "",
    threshold: float | None = None,
    **rest: Any,
) -> Objective:
    if bool(good) == bool(bad):
        raise TableError(f"objectives: {name}: give either `good` or `bad`")
    if threshold is not None and f'le="{float(threshold)!r}"' not in good:
        raise TableError(f"objectives: {name}: `good` has no bucket le={float(threshold)!r}")
    return Objective(
        name, total=total, bad=bad or f"{total}\n  - {good}", live=live, threshold=threshold, **rest
    )


def _cause(
    name: str,
    *,
    severity: str,
    dashboard: str,
    expr: str,
    summary: str,
    description: str,
    **more: str,
) -> Cause:
    if severity not in SEVERITIES:
        raise TableError(f"causes: {name}: severity {severity!r} is none of {SEVERITIES}")
    if unknown := more.keys() - {"for"}:
        raise TableError(f"causes: {name}: unknown: {', '.join(unknown)}")
    return Cause(name, severity, dashboard, more.get("for", "0s"), expr, summary, description)


def _check_reachable(objective: Objective, burn: Sequence[Burn]) -> None:
    """A factor that asks for more than all events to be bad would be an alert that never fires."""
    for pair in burn:
        if pair.severity in objective.severities and pair.factor * objective.budget >= 1:
            raise TableError(
                f"objectives: {objective.name}: a factor of {pair.factor} never fires "
                f"on a budget of {objective.budget:.2%}"
            )
