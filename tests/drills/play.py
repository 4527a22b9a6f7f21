"""``make drill NAME=…``: play a fault on a real system, and time the way to whoever is told.

python -m tests.drills.play                      every drill
python -m tests.drills.play dead-stt             this one
python -m tests.drills.play --real-windows …     with the rules as they are at night
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.drills.faults import (
    DRILLS,
    REGISTRAR_LINES,
    Drill,
    kernel_clock,
    registering_lines,
    small_disk,
)
from tests.drills.stage import OF_THE_MACHINE, Stage, system
from tests.support.asterisk import AsteriskInstance
from tests.support.observed import free_port

MOST_SECONDS = 180
"""From a fault to the page."""
PATIENCE = {"real": 1200.0, "short": 150.0}
"""Seconds: tickets may wait, for ten minutes and more."""


@dataclass(frozen=True, slots=True)
class Result:
    name: str
    scale: float
    told: dict[str, float]
    """Alert to seconds after the fault, in order."""
    unexpected: frozenset[str]
    of_the_machine: frozenset[str]
    missing: frozenset[str]
    page_seconds: float | None

    @property
    def good(self) -> bool:
        late = self.page_seconds is not None and self.page_seconds > MOST_SECONDS
        return not (self.missing or self.unexpected or late)

    def __str__(self) -> str:
        parts = [f"{alert} after {seconds:.1f} s" for alert, seconds in self.told.items()]
        for title, names in (
            ("MISSING", self.missing), ("UNEXPECTED", self.unexpected),
            ("of this machine", self.of_the_machine),
        ):  # fmt: skip
            if names:
                parts.append(f"{title}: {', '.join(sorted(names))}")
        windows = "real windows" if self.scale == 1 else f"windows 1/{self.scale:g}"
        return f"{'ok  ' if self.good else 'FAIL'} {self.name:<19} {windows:<13} {'; '.join(parts)}"


def play(
    name: str, *, real: bool = False, say: Callable[[str], None] = lambda text: None
) -> Result:
    """Raises what a part of the system raises that does not start, PermissionError without root."""
    drill = DRILLS[name]
    scale = 1 if real else drill.scale
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=f"drill-{name}-")))
        say(f"{name}: {drill.about}; starting a system")
        stage = stack.enter_context(_system(drill, scale, directory, stack))
        time.sleep(drill.before / scale)
        before = stage.known()
        since = time.monotonic()
        with drill.play(stage):
            fault = time.monotonic()
            say(f"{name}: the fault has begun ({fault - since:.1f} s to make it)")
            patience = PATIENCE["real" if scale == 1 else "short"] + drill.allowed / scale
            _wait(stage, drill, since, patience)
            time.sleep(max(4.0, 30 / scale))  # for what should not come
            arrivals = stage.since(since)
    told: dict[str, float] = {}
    for arrival in arrivals:
        if arrival.alert not in before or arrival.alert in drill.alerts:
            told.setdefault(arrival.alert, arrival.at - since)
    woken = [a for a in arrivals if a.receiver == "page" and a.alert in drill.alerts]
    pages = [a.at - since - drill.allowed / scale for a in woken]
    others = told.keys() - drill.alerts
    missing = drill.alerts - told.keys()
    if drill.pages and not pages:
        missing |= {"a page"}
    elif drill.first and not drill.first.items() <= woken[0].labels.items():
        missing |= {f"a first page with {dict(drill.first)}"}
    return Result(
        name, scale, told, frozenset(others - OF_THE_MACHINE), frozenset(others & OF_THE_MACHINE),
        frozenset(missing), min(pages) if drill.pages and pages else None,
    )  # fmt: skip


def _system(
    drill: Drill, scale: float, directory: Path, stack: contextlib.ExitStack
) -> contextlib.AbstractContextManager[Stage]:
    settings = {
        key: str(free_port()) if value == "fixed" else value
        for key, value in drill.settings.items()
    }
    asterisk = registrar = None
    if drill.trunk:
        registrar = stack.enter_context(AsteriskInstance(REGISTRAR_LINES))
        asterisk = stack.enter_context(AsteriskInstance(registering_lines(registrar)))
    else:
        # Each system has one: what is not there at all is a page by itself.
        asterisk = stack.enter_context(AsteriskInstance())
    if drill.small_disk:
        (directory / "recordings").mkdir()
        stack.enter_context(small_disk(directory / "recordings"))
    if "HostClockUnsynchronised" in drill.alerts:
        synchronised = kernel_clock()
        kernel_clock(synchronised=True)
        if not synchronised:
            stack.callback(kernel_clock, synchronised=False)
    return system(
        directory, scale, clouds=drill.clouds, asterisk=asterisk, registrar=registrar,
        callers=drill.callers, scenarios=(drill.scenario,), **settings,
    )  # fmt: skip


def _wait(stage: Stage, drill: Drill, since: float, patience: float) -> None:
    """Until every expected alert has arrived, or patience ends; who judges is the caller."""
    deadline = since + patience
    while time.monotonic() < deadline:
        if drill.alerts <= {arrival.alert for arrival in stage.since(since)}:
            return
        time.sleep(0.1)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make drill", description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", choices=[[], *DRILLS], metavar="NAME")
    parser.add_argument("--real-windows", action="store_true", help="not time-compressed")
    parser.add_argument("--list", action="store_true", help="say what there is")
    chosen = parser.parse_args()
    if chosen.list:
        for name, drill in DRILLS.items():
            print(f"{name:<19} {drill.about}: {', '.join(sorted(drill.alerts))}")
        return 0
    results = []
    for name in chosen.names or DRILLS:
        result = play(name, real=chosen.real_windows, say=lambda text: print(text, flush=True))
        print(result, flush=True)
        results.append(result)
    if len(results) > 1:
        print("\n" + "\n".join(map(str, results)))
    slowest = max((r.page_seconds for r in results if r.page_seconds is not None), default=None)
    if slowest is not None:
        print(f"\nfrom a fault to the page: {slowest:.0f} s at most; {MOST_SECONDS} s are allowed")
    return int(not all(result.good for result in results))


if __name__ == "__main__":
    sys.exit(main())
