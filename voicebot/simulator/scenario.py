"""What a simulated customer does, and what must come of it: one YAML file a scenario.

A scenario has either ``rules`` (each one an answer to words of the bot, tried in order, the
first that matches wins) or ``steps`` (answers given one after the other each time the bot falls
silent, for a bot whose words cannot be followed). Files are checked completely when they are
loaded: :class:`ScenarioError` lists every fault with its place, so that a typing error does not
show itself as a silent customer two minutes into a call.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from voicebot.simulator.checking import Checker

SHIPPED = Path(__file__).parent.parent / "data" / "scenarios"
DIGITS = frozenset("0123456789*#")


class ScenarioError(Exception):
    """A scenario file cannot be used. ``faults`` has one sentence for each reason."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


@dataclass(frozen=True, slots=True)
class Action:
    """What the customer does, in this order: waits, speaks, presses keys, hangs up."""

    silent: float = 0.0
    """Seconds of saying nothing whatever the bot says, beside the usual reaction time."""
    say: tuple[str, ...] = ()
    """Lines of one utterance, *pause* seconds apart."""
    pause: float = 0.35
    keys: str = ""
    hangup: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """One answer. ``when`` is None in a scenario of steps."""

    when: re.Pattern[str] | None
    action: Action
    expect_number: str = ""
    """If set, the rule applies only when the bot read back a number: this one, or ``if_wrong``."""
    if_wrong: Action | None = None
    interrupt_after: float | None = None
    """Act this many seconds after the bot began to speak, without waiting for its silence."""
    politeness: float | None = None
    times: int | None = None
    """How often it can be used; None is any number of times."""


@dataclass(frozen=True, slots=True)
class Caller:
    """How the customer behaves."""

    politeness: float = 0.6
    """Seconds of silence that tell them that the bot has finished."""
    reaction: tuple[float, float] = (0.2, 0.5)
    """Least and most seconds between that and their answer."""
    noise: float | None = None
    """Background noise, dBFS RMS; None is digital silence."""


@dataclass(frozen=True, slots=True)
class Words:
    """Something the bot must have said."""

    pattern: re.Pattern[str]
    pause_before: tuple[float, float] | None = None
    """Least and most seconds of silence of the bot before it."""


@dataclass(frozen=True, slots=True)
class Expectations:
    """What must hold at the end of the call; only what is given is checked."""

    outcome: tuple[str, ...] = ()
    ended_by: str | None = None
    states: tuple[str, ...] = ()
    """Must have been visited in this order, others may lie between."""
    bot_says: tuple[Words, ...] = ()
    bot_never_says: tuple[re.Pattern[str], ...] = ()
    bot_hears: tuple[re.Pattern[str], ...] = ()
    """What the bot must have understood of the caller's words."""
    barge_ins: int = 0
    """Least number of times the bot must have fallen silent for the caller."""
    max_duration: float | None = None
    max_latency: float | None = None
    """Slower answers are reported, but do not fail the call: the machine may be busy."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One simulated call."""

    name: str
    title: str
    rules: tuple[Rule, ...]
    follows_words: bool
    """True for rules: the words of the bot are needed. False for steps."""
    caller: Caller = field(default_factory=Caller)
    expect: Expectations = field(default_factory=Expectations)
    requires: tuple[tuple[str, str], ...] = ()
    """Settings that the service must run with, to be told to whoever starts the call."""
    limit: float = 180.0
    """Seconds after which the customer gives up, and the scenario has failed."""

    def lines(self) -> list[str]:
        """Every line the customer may speak, each once."""
        found: dict[str, None] = {}
        for rule in self.rules:
            for action in (rule.action, rule.if_wrong):
                found.update(dict.fromkeys(action.say if action else ()))
        return list(found)


def names() -> list[str]:
    """The scenarios that are shipped."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def load(name_or_path: str) -> Scenario:
    """Load a shipped scenario by its name, or any by the path of its file.

    Raises :class:`ScenarioError`.
    """
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        path = SHIPPED / f"{name_or_path}.yaml"
        if not path.exists():
            raise ScenarioError(
                [
                    f"{name_or_path}: no such scenario; there are {', '.join(names())} "
                    "(or give the path of a .yaml file)"
                ]
            )
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError([f"{path}: cannot be read: {error}"]) from error
    return parse(text, path.stem)


def parse(text: str, name: str) -> Scenario:
    """Check and build a scenario from YAML *text*. Raises :class:`ScenarioError`."""
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ScenarioError([f"{name}: not valid YAML: {error}"]) from error
    faults: list[str] = []
    scenario = _scenario(Checker(document, name, faults), name)
    if faults:
        raise ScenarioError(faults)
    return scenario


def _scenario(top: Checker, name: str) -> Scenario:
    rules, steps = top.items("rules"), top.items("steps")
    if rules is not None and steps is not None:
        top.fault("has both rules and steps; a scenario has one of them")
    elif rules is None and steps is None:
        top.fault("has neither rules nor steps; an empty list of rules is a customer who is silent")
    follows_words = steps is None
    scenario = Scenario(
        name=name,
        title=top.text("title") or name,
        rules=tuple(_rule(item, follows_words) for item in (rules or steps or [])),
        follows_words=follows_words,
        caller=_caller(top.section("caller")),
        expect=_expectations(top.section("expect")),
        requires=top.pairs("requires"),
        limit=top.number("limit", 1, 3600, 180.0),
    )
    top.done()
    return scenario


def _caller(section: Checker) -> Caller:
    caller = Caller(
        politeness=section.number("politeness", 0.05, 30, 0.6),
        reaction=section.span("reaction", 0, 30) or (0.2, 0.5),
        noise=section.optional_number("noise", -90, -10),
    )
    section.done()
    return caller


def _rule(item: Checker, follows_words: bool) -> Rule:
    number = item.digits("expect_number") if follows_words else ""
    right = item.optional_section("if_right", "say")
    wrong = item.optional_section("if_wrong", "say")
    when = item.pattern("when") if follows_words else None
    rule = Rule(
        when=when,
        action=_action(right if right is not None else item),
        expect_number=number,
        if_wrong=_action(wrong) if wrong is not None else None,
        interrupt_after=item.optional_number("interrupt_after", 0, 60),
        politeness=item.optional_number("politeness", 0.05, 60),
        times=item.count("times") if follows_words else None,
    )
    if follows_words and when is None and not item.has("when"):
        item.fault("needs 'when': the words of the bot that it answers")
    if number and (right is None or wrong is None):
        item.fault("'expect_number' needs 'if_right' and 'if_wrong'")
    if not number and (right is not None or wrong is not None):
        item.fault("'if_right' and 'if_wrong' need 'expect_number', the number to compare with")
    for part in (right, wrong):
        if part is not None:
            part.done()
    item.done()
    return rule


def _action(part: Checker) -> Action:
    action = Action(
        silent=part.number("silent", 0, 600, 0.0),
        say=part.texts("say"),
        pause=part.number("pause", 0, 10, 0.35),
        keys=part.digits("keys", DIGITS),
        hangup=part.flag("hangup"),
    )
    if action == Action(pause=action.pause):
        part.fault("does nothing; give one or more of say, keys, silent, hangup")
    return action


def _expectations(section: Checker) -> Expectations:
    ended_by = section.text("ended_by") or None
    if ended_by not in (None, "bot", "caller"):
        section.fault(f"'ended_by' is {ended_by!r}; it must be bot or caller")
    expect = Expectations(
        outcome=section.texts("outcome"),
        ended_by=ended_by,
        states=section.texts("states"),
        bot_says=tuple(_words(item) for item in section.items("bot_says", "words") or []),
        bot_never_says=section.patterns("bot_never_says"),
        bot_hears=section.patterns("bot_hears"),
        barge_ins=section.count("barge_ins") or 0,
        max_duration=section.optional_number("max_duration", 0, 3600),
        max_latency=section.optional_number("max_latency", 0, 60),
    )
    section.done()
    return expect


def _words(item: Checker) -> Words:
    pattern = item.pattern("words") or re.compile("")
    words = Words(pattern, item.span("pause_before", 0, 600))
    item.done()
    return words


def requirement_note(scenario: Scenario) -> str:
    """What the service must run with, as ``TECHNICIANS=never``, or an empty string."""
    return ", ".join(f"{key.upper()}={value}" for key, value in scenario.requires)
