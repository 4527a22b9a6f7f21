"""A mistake in a rule is noticed: each is changed in many ways, and a case must fail each time.

The mutants of an alert are rules of their own, M0, M1 and so on, so that promtool is asked once
for a case and not once for a mutant.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from prometheus.table import load
from tests.prometheus import mutants
from tests.prometheus.promtool import Case, alerts_of, cases, checks, needed, rules, run, values

pytestmark = pytest.mark.promtool

FILES = ("causes", "objectives")
ALERTS = sorted(
    {
        (file, rule["alert"])
        for file in FILES
        for group in rules(file)
        for rule in group["rules"]
        if "alert" in rule
    }
)
SAME = {
    ("VoicebotModelSunset", "0 is 1.5"): "no model was switched off on 1 January 1970",
}  # fmt: skip
"""(Alert, part of what was done): why that changes nothing."""


def changed(file: str, alert: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every mutant of the rules of an alert: (what was done, the rule)."""
    for group in rules(file):
        for rule in group["rules"]:
            if rule.get("alert") != alert:
                continue
            which = f"long={rule['labels']['long']}: " if "long" in rule["labels"] else ""
            for what, expr in mutants.of(rule["expr"]):
                yield which + what, {**rule, "expr": expr}
            if rule["for"] != "0s":
                yield which + "at once", {**rule, "for": "0s"}


def noticed(
    file: str, case: Case, found: Mapping[str, Mapping[str, Any]], directory: Path
) -> set[str]:
    """The names of the mutants that the case fails with."""
    expected = []
    for name, rule in found.items():
        own = {k: v for k, v in rule["labels"].items() if k in ("severity", "long", "short")}
        of_rule = (c.of_a_rule(own, name) for c in checks(case) if c.alert == rule["alert"])
        expected.extend(check.as_promtool() for check in of_rule if check)
    records = [
        {**group, "rules": [rule for rule in group["rules"] if "record" in rule]}
        for group in needed(rules(file), case)
    ]
    group = {"name": "mutants", "rules": [{**rule, "alert": name} for name, rule in found.items()]}
    output = run([*records, group], {**case, "says": []}, expected, directory)
    return set(re.findall(r'expr: "ALERTS\{alertname=\\"(M\d+)\\"', output))


def without_the_other_budgets(found: tuple[str, str]) -> bool:
    """The pairs of windows of all promises are made by one function: they are tried on one."""
    return found[0] == "causes" or found[1] == "VoicebotTurnResponseBudgetBurn"


@pytest.mark.parametrize(
    ("file", "alert"), [found for found in ALERTS if without_the_other_budgets(found)], ids=str
)
def test_a_mistake_in_an_alert_is_noticed(file: str, alert: str, tmp_path: Path) -> None:
    told = {}
    found = {}
    for number, (what, rule) in enumerate(changed(file, alert)):
        if not any(a == alert and part in what for a, part in SAME):
            told[f"M{number}"], found[f"M{number}"] = what, rule
    for case in cases(file):
        if alert in alerts_of(case) and found:
            for name in noticed(file, case, found, tmp_path):
                del found[name]
    assert "\n".join(told[name] for name in found) == ""


RECORDS = [
    (objective.name, what)
    for objective in load().objectives.values()
    for what in mutants.of_a_ratio(objective.bad)
] + [(name, ',traffic!="probe"') for name, o in load().objectives.items() if o.live and o.threshold]


@pytest.mark.parametrize(("slo", "what"), RECORDS, ids=str)
def test_a_mistake_in_what_is_measured_is_noticed(slo: str, what: str, tmp_path: Path) -> None:
    before, _, after = what.partition(" is ")
    groups = rules("objectives")
    changes = 0
    for group in groups:
        for rule in group["rules"]:
            if rule.get("labels", {}).get("slo") == slo and before in rule["expr"]:
                rule["expr"] = rule["expr"].replace(before, after)
                changes += 1
    assert changes
    for case in cases("objectives"):
        if f'slo="{slo}"' in str(case) or load().objectives[slo].alert in alerts_of(case):
            expected = [*(check.as_promtool() for check in checks(case)), *values(case)]
            if run(needed(groups, case), case, expected, tmp_path):
                return
    pytest.fail(f"no case of {slo} notices: {what}")
