"""A busy hour in some minutes, and then every question that dashboards and rules can ask.

    python -m tests.drills.busy_hour --minutes 4 --callers 10
    python -m tests.drills.busy_hour --address FILE …          and stay, for `make dashboards`

The system of the drills, with windows that are 15 times shorter and a trunk that is registered, is
rung by simulated customers of all kinds over the emulated clouds, of which the one that listens
fails now and then, so that the embedded engine has work too. Then each query of each panel and
each expression of each rule is put to its Prometheus. One that holds a condition (an alert) may
have nothing to answer when all is well; then each series that it is made of must be there.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import sys
import tempfile
import time
import urllib.error
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from prometheus import build
from tests.drills.faults import CURIOUS, REGISTRAR_LINES, registering_lines
from tests.drills.stage import Stage, system
from tests.grafana.conftest import pages
from tests.grafana.queries import VALUES, conditional, expressions, filled, selectors
from tests.support.asterisk import AsteriskInstance

SCALE = 15
"""Four minutes are an hour to the rules."""
MOST_SERIES = 1500
"""A scrape holds the interpreter's lock for 5 ms with so many."""
WINDOW = "60s"
"""What a panel's rates are taken over: enough for calls to have ended in it."""
HICCUP = {"service": "listen", "kind": "empty", "times": 1}
CUSTOMERS = (
    "asks-freely", "interrupting", "internet-resolved", "callback", "keypad", CURIOUS,
)  # fmt: skip
"""Those whose calls come to an end where no technician is there and a language model is."""
TRUNK = """
[trunk](phone)
aors = trunk
[trunk]
type = aor
contact = sip:trunk-user@127.0.0.1:{port}
qualify_frequency = 5
"""
SCHEDSTAT = Path("/proc/schedstat")


@dataclass(frozen=True, slots=True)
class Answers:
    """What came of the questions."""

    asked: int
    unanswered: tuple[str, ...]
    wrong: tuple[str, ...]
    """Prometheus takes them for no expression."""
    of_the_machine: tuple[str, ...]
    """Unanswered because this kernel does not count what they ask for."""
    at_rest: int
    """Conditions that do not hold, whose series are all there."""
    series: int
    """Most that a scrape of the service held."""
    calls: int
    turns: int

    @property
    def good(self) -> bool:
        return not self.unanswered and not self.wrong and self.series <= MOST_SERIES

    def __str__(self) -> str:
        lines = [
            f"{self.calls} calls, {self.turns} turns; the service has {self.series} series "
            f"({MOST_SERIES} are allowed)",
            f"{self.asked} queries of panels and rules: {len(self.unanswered)} without an answer, "
            f"{len(self.wrong)} wrong, {self.at_rest} whose condition does not hold, "
            f"{len(self.of_the_machine)} that this kernel cannot answer",
        ]
        for title, found in (
            ("UNANSWERED", self.unanswered), ("WRONG", self.wrong), ("kernel", self.of_the_machine),
        ):  # fmt: skip
            lines += [f"{title}: {one}" for one in found]
        return "\n".join(lines)


def questions(scale: float) -> Iterator[tuple[str, str]]:
    """(where, expression) of each panel, mark and rule."""
    for page in pages().values():
        for where, expression in expressions(page):
            yield where, filled(expression, VALUES | {"__rate_interval": WINDOW})
    for name in build.FILES:
        for group in yaml.safe_load(build.render(name, scale))["groups"]:
            for rule in group["rules"]:
                labels = ", ".join(f"{k}={v}" for k, v in rule.get("labels", {}).items())
                yield f"{rule.get('alert') or rule['record']} ({labels})", rule["expr"]


def answered(stage: Stage, expression: str) -> bool:
    """Whether there is a series with a number. Raises urllib.error.HTTPError."""
    return any(not math.isnan(float(s["value"][1])) for s in stage.observed.ask(expression))


def ask_everything(stage: Stage) -> Answers:
    asked = at_rest = 0
    unanswered, wrong, of_the_machine = [], [], []
    for where, expression in questions(stage.scale):
        asked += 1
        said = f"{where}: {' '.join(expression.split())}"
        try:
            if answered(stage, expression):
                continue
            missing = [s for s in selectors(expression) if not answered(stage, s)]
        except urllib.error.HTTPError as error:
            wrong.append(f"{said}: {json.load(error)['error']}")
            continue
        if "node_schedstat" in expression and not SCHEDSTAT.exists():
            of_the_machine.append(said)
        elif missing or not conditional(expression):
            unanswered.append(f"{said} (missing: {', '.join(missing) or 'nothing'})")
        else:
            at_rest += 1
    return Answers(
        asked, tuple(unanswered), tuple(wrong), tuple(of_the_machine), at_rest,
        _number(stage, 'max_over_time(scrape_samples_scraped{job="voicebot"}[1h])'),
        _number(stage, "sum(voicebot_calls_total)"), _number(stage, "sum(voicebot_turns_total)"),
    )  # fmt: skip


def _number(stage: Stage, expression: str) -> int:
    return round(max((float(s["value"][1]) for s in stage.observed.ask(expression)), default=0))


@contextlib.contextmanager
def busy_system(directory: Path, callers: int) -> Iterator[Stage]:
    """The system, rung from the start."""
    with contextlib.ExitStack() as stack:
        registrar = stack.enter_context(AsteriskInstance(REGISTRAR_LINES))
        lines = registering_lines(registrar) + TRUNK.format(port=registrar.sip_port)
        asterisk = stack.enter_context(AsteriskInstance(lines))
        yield stack.enter_context(
            system(
                directory, SCALE, clouds=True, asterisk=asterisk, registrar=registrar,
                callers=callers, scenarios=CUSTOMERS,
            )
        )  # fmt: skip


def pass_time(stage: Stage, seconds: float, say: Callable[[str], None]) -> None:
    """Calls go on; what listens fails now and then."""
    end = time.monotonic() + seconds
    ticks = 0
    while (left := end - time.monotonic()) > 0:
        active = _number(stage, "sum(voicebot_calls_active)")
        calls = _number(stage, "sum(voicebot_calls_total)")
        say(f"busy hour: {left:.0f} s left; {active} calls are held, {calls} are over")
        if ticks % 4 == 0:
            stage.direct("faults", HICCUP)
        ticks += 1
        time.sleep(min(15, left))


def answers_in_time(stage: Stage, seconds: float) -> Answers:
    """The first that leave nothing open, or the last of so many *seconds*."""
    end = time.monotonic() + seconds
    while True:
        answers = ask_everything(stage)
        if answers.good or time.monotonic() > end:
            return answers
        pass_time(stage, 10, lambda text: None)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=4)
    parser.add_argument("--callers", type=int, default=10)
    parser.add_argument("--address", type=Path, help="write Prometheus's there, and stay")
    chosen = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="busy-hour-") as directory,
        busy_system(Path(directory), chosen.callers) as stage,
    ):
        pass_time(stage, 60 * chosen.minutes, lambda text: print(text, flush=True))
        answers = ask_everything(stage)
        print(answers, flush=True)
        if chosen.address is not None:
            chosen.address.write_text(stage.observed.prometheus)
            print("busy hour: a line on standard input ends it", flush=True)
            sys.stdin.readline()
    return int(not answers.good)


if __name__ == "__main__":
    sys.exit(main())
