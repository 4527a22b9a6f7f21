"""Cases of the alerts, in short (``causes.yaml``, ``objectives.yaml``), as promtool wants them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from tests.support.observed import BINARIES

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
Case = Mapping[str, Any]
Groups = Sequence[Mapping[str, Any]]


def cases(name: str) -> list[Case]:
    """What ``NAME.yaml`` says, each with the key ``it``: a sentence."""
    # As text: 0x60 is a series of zeros here, and not ninety-six.
    found: list[Case] = yaml.load((HERE / f"{name}.yaml").read_text("utf-8"), yaml.BaseLoader)
    return found


def rules(name: str) -> list[dict[str, Any]]:
    """The groups of a rule file."""
    content = yaml.safe_load((ROOT / f"prometheus/rules/{name}.yml").read_text(encoding="utf-8"))
    groups: list[dict[str, Any]] = content["groups"]
    return groups


def alert_of(series: str) -> str:
    """The name of the alert in ``Name{labels}``, or in a name alone."""
    return series.partition("{")[0]


def labels_of(series: str) -> dict[str, str]:
    return dict(re.findall(r'(\w+)="([^"]*)"', series.partition("{")[2]))


def alerts_of(case: Case) -> set[str]:
    """Every alert that the case expects or excludes."""
    return {check.alert for check in checks(case)}


@dataclass(frozen=True, slots=True)
class Check:
    """At a time, the alert of this name and these labels fires for these series and no other."""

    alert: str
    matchers: Mapping[str, str]
    at: str
    firing: Sequence[Mapping[str, str]]

    def as_promtool(self) -> Mapping[str, Any]:
        state = {"alertname": self.alert, "alertstate": "firing"}
        return {
            "expr": f"ALERTS{_selector({**state, **self.matchers})}",
            "eval_time": self.at,
            "exp_samples": [
                {"labels": f"ALERTS{_selector({**state, **labels})}", "value": 1}
                for labels in self.firing
            ],
        }

    def of_a_rule(self, labels: Mapping[str, str], name: str) -> Check | None:
        """The same of one rule of that alert, when it goes by another name; None: not about it."""
        if any(labels.get(key, value) != value for key, value in self.matchers.items()):
            return None
        firing = [f for f in self.firing if labels.items() <= f.items()]
        return replace(self, alert=name, matchers={}, firing=firing)


def _selector(labels: Mapping[str, str]) -> str:
    return "{" + ",".join(f'{key}="{value}"' for key, value in labels.items()) + "}"


def checks(case: Case) -> Iterator[Check]:
    for at, kinds in case.get("silent", {}).items():
        for kind in kinds:
            yield Check(alert_of(kind), labels_of(kind), at, [])
    for at, series in case.get("firing", {}).items():
        # Alerts on budgets are several of one name: each by its window.
        kinds = {(alert_of(one), labels_of(one).get("long")) for one in series}
        for alert, window in sorted(kinds, key=str):
            found = [labels_of(one) for one in series if alert_of(one) == alert]
            if window is None:
                yield Check(alert, {}, at, found)
            else:
                found = [labels for labels in found if labels["long"] == window]
                yield Check(alert, {"long": window}, at, found)


def values(case: Case) -> Iterator[Mapping[str, Any]]:
    """What a case says of recorded series, as promtool wants it."""
    for at, expected in case.get("values", {}).items():
        for expression, value in expected.items():
            samples = [] if value == "nothing" else [{"labels": "{}", "value": float(value)}]
            yield {"expr": f"sum({expression})", "eval_time": at, "exp_samples": samples}


def needed(groups: Groups, case: Case) -> Groups:
    """The rules without what the case is not about, which would take most of the time."""
    alerts, slo = alerts_of(case), set(re.findall(r'slo="([\w-]+)"', str(case)))
    slo |= {
        found[1]
        for group in groups
        for rule in group["rules"]
        if rule.get("alert") in alerts and (found := re.search(r'slo="([\w-]+)"', rule["expr"]))
    }
    return [
        {
            **group,
            "rules": [
                rule
                for rule in group["rules"]
                if rule.get("alert") in alerts
                or ("record" in rule and rule.get("labels", {}).get("slo") in {None, *slo})
            ],
        }
        for group in groups
    ]


def run(groups: Groups, case: Case, expected: Iterable[Mapping[str, Any]], directory: Path) -> str:
    """What promtool has against these rules; nothing if all is as *expected*."""
    test = {
        "name": case["it"],
        "interval": case.get("every", "15s"),
        "input_series": [{"series": s, "values": v} for s, v in case["series"].items()],
        "promql_expr_test": list(expected),
        "alert_rule_test": case.get("says", []),
        "external_labels": {"runbooks": "file:///r", "grafana": "http://g"},
    }
    (directory / "rules.yml").write_text(yaml.safe_dump({"groups": list(groups)}))
    (directory / "test.yml").write_text(yaml.safe_dump({
        "rule_files": ["rules.yml"],
        "evaluation_interval": case.get("evaluate", "15s"),
        # Else promtool takes them in an order that chance decides, and records are a round old.
        "group_eval_order": [group["name"] for group in groups],
        "tests": [test],
    }, width=10_000))  # fmt: skip
    done = subprocess.run(
        [BINARIES / "promtool", "test", "rules", directory / "test.yml"],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    return "" if done.returncode == 0 else done.stdout + done.stderr
