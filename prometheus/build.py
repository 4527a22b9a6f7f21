"""The rule files: ``python -m prometheus.build`` lists their names, with a name prints one.

``scripts/generate`` writes them to ``prometheus/rules``; edit ``alerts.yaml``, not them. Likewise
``alertmanager.yml``: it is the template ``alertmanager.yml.j2`` with no receiver set. Names of the
objectives' series are those of sloth (``slo:…``), so that dashboards made for it work. Two
differences, on purpose: the 30 days are computed from the counters, not as a mean of five-minute
ratios, in which an empty night would weigh as much as a full day; and no events give no sample
instead of NaN.

``--scale 60`` makes every duration sixty times shorter, for drills: an hour's window is a minute.
"""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable, Iterator
from typing import Any

import jinja2
import yaml

from prometheus.table import DURATION, TABLE, Burn, Cause, Objective, Table, load, seconds

Rule = dict[str, Any]
LABEL = re.compile(r"\{\{ \$labels\.\w+ \}\}")
WINDOWS = {"fast": ("1m", "3m", "5m", "30m", "1h"), "slow": ("2h", "6h", "1d", "3d")}
MONTH = "30d"
INTERVALS = {"fast": "15s", "slow": "1m", "month": "2m"}
"""A long window reads many samples and moves slowly. Over 5 min a series would be stale between."""
LEAST_WINDOW = 5
"""Seconds: a rate needs two samples, and a drill scrapes once a second."""


class _Text(str):
    """A string of several lines, written as such."""

    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.add_representer(
    _Text, lambda dumper, data: dumper.represent_scalar("tag:yaml.org,2002:str", data, style="|")
)


def scaled(text: str, factor: float, least: int = 0) -> str:
    """*text* with each duration in it shortened."""

    def shorter(match: re.Match[str]) -> str:
        if factor == 1:
            return match[0]
        return f"{max(least, math.ceil(seconds(match[0]) / factor))}s"

    return DURATION.sub(shorter, text)


def expression(text: str, factor: float = 1) -> str:
    """PromQL of an ``expr`` of the table."""
    text = re.sub(r"<(\d+[smhd])>", lambda match: f"{seconds(match[1]) / factor:.10g}", text)
    return re.sub(
        r"\[([^\]:]+)(:?[^\]]*)\]",
        lambda match: f"[{scaled(match[1], factor, LEAST_WINDOW)}{scaled(match[2], factor, 1)}]",
        text,
    )


def notes(summary: str, description: str, alert: str, dashboard: str) -> Rule:
    """Whoever reads them at night: what callers feel, the figure, what to do, where to look."""
    return {
        "summary": summary,
        "description": description,
        "runbook_url": f"{{{{ $externalLabels.runbooks }}}}/{alert}.md",
        "dashboard_url": (
            f"{{{{ $externalLabels.grafana }}}}/d/voicebot-{dashboard}?from=now-1h&to=now"
        ),
    }


def ratio(objective: Objective, window: str) -> str:
    """The share of bad events in a window; nothing if there were none."""
    text = f"(\n  {objective.bad}\n)\n/\n(\n  {objective.total} > 0\n)"
    if window == MONTH and objective.live:
        text = text.replace('job="voicebot"', f'job="voicebot",{objective.live}')
    return text.replace("[W]", f"[{window}]")


def objective_records(table: Table, speed: str) -> Iterator[Rule]:
    for name, objective in table.objectives.items():
        label = {"slo": name}
        for window in (MONTH,) if speed == "month" else WINDOWS[speed]:
            yield {
                "record": f"slo:sli_error:ratio_rate{window}",
                "expr": ratio(objective, window),
                "labels": label,
            }
        for window in sorted({pair.long for pair in table.burn}, key=seconds):
            if speed != "month" and window in WINDOWS[speed]:
                events = objective.total.replace("rate(", "increase(").replace("[W]", f"[{window}]")
                yield {
                    "record": f"slo:sli_events:increase{window}",
                    "expr": events,
                    "labels": label,
                }
        if speed == "fast":
            for record, value in (
                ("slo:objective:ratio", objective.objective),
                ("slo:error_budget:ratio", objective.budget),
            ):
                yield {"record": record, "expr": f"vector({value})", "labels": label}
    if speed == "fast":
        yield {
            "record": "slo:current_burn_rate:ratio",
            "expr": "slo:sli_error:ratio_rate1h / on (slo) group_left () slo:error_budget:ratio",
        }
    if speed == "month":
        yield {
            "record": "slo:period_error_budget_remaining:ratio",
            "expr": f"1 - slo:sli_error:ratio_rate{MONTH} / on (slo) group_left ()"
            " slo:error_budget:ratio",
        }


def burn_alert(objective: Objective, pair: Burn) -> Rule:
    slo = f'{{slo="{objective.name}"}}'
    limit = f"{pair.factor} * {objective.budget}"
    return {
        "alert": objective.alert,
        "expr": (
            f"slo:sli_error:ratio_rate{pair.long}{slo} > {limit}\n"
            f"and on (slo) slo:sli_error:ratio_rate{pair.short}{slo} > {limit}\n"
            f"and on (slo) slo:sli_events:increase{pair.long}{slo} >= {pair.least}"
        ),
        "for": pair.hold,
        "labels": {"severity": pair.severity, "long": pair.long, "short": pair.short},
        "annotations": notes(
            objective.summary,
            f"{{{{ $value | humanizePercentage }}}} were bad over {pair.long}; "
            f"the objective allows {objective.budget:.1%} over 30 days. "
            f"Good means: {objective.promise}.",
            objective.alert,
            objective.dashboard,
        ),
    }


def cause_alert(cause: Cause) -> Rule:
    return {
        "alert": cause.name,
        "expr": cause.expr,
        "for": cause.hold,
        "labels": {"severity": cause.severity},
        "annotations": notes(cause.summary, cause.description, cause.name, cause.dashboard),
    }


def objectives(table: Table) -> list[Rule]:
    """Groups of what is recorded about the promises, and of the alerts on their budgets."""
    groups: list[Rule] = [
        {
            "name": f"objectives-{speed}",
            "interval": interval,
            "rules": list(objective_records(table, speed)),
        }
        for speed, interval in INTERVALS.items()
    ]
    alerts = [
        burn_alert(objective, pair)
        for objective in table.objectives.values()
        for pair in table.burn
        if pair.severity in objective.severities
    ]
    return [*groups, {"name": "objectives-alerts", "interval": "15s", "rules": alerts}]


def causes(table: Table) -> list[Rule]:
    records = [{"record": name, "expr": expr} for name, expr in table.records.items()]
    alerts = [cause_alert(cause) for cause in table.causes]
    return [
        {"name": "records", "interval": "1m", "rules": records},
        {"name": "causes", "interval": "15s", "rules": alerts},
    ]


FILES: dict[str, Callable[[Table], list[Rule]]] = {"objectives": objectives, "causes": causes}


def render(name: str, factor: float = 1) -> str:
    """The text of a rule file."""
    groups = FILES[name](load())
    for group in groups:
        group["interval"] = scaled(group["interval"], factor, 1)
        for rule in group["rules"]:
            text = expression(rule["expr"], factor)
            rule["expr"] = _Text(text + "\n") if "\n" in text else text
            if "for" in rule:
                rule["for"] = scaled(rule["for"], factor)
    head = (
        "# Made from prometheus/alerts.yaml by `make docs`; do not edit.\n"
        "# yamllint disable rule:line-length\n"
    )
    return head + yaml.dump({"groups": groups}, Dumper=_Dumper, sort_keys=False, width=1000)


def alertmanager(**site: str | bool) -> str:
    """The text of ``alertmanager.yml``; *site* are the variables that the template names."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TABLE.parent),
        trim_blocks=True,  # as Ansible does
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  # YAML, not HTML
    )
    return environment.get_template("alertmanager.yml.j2").render(site)


def index(table: Table) -> str:
    """The table of all alerts for ``docs/runbooks/README.md``."""
    budgets = [
        (
            ", ".join(o.severities),
            o.alert,
            f"{o.summary} Objective, {o.objective:.1%}: {o.promise}.",
        )
        for o in table.objectives.values()
    ]
    others = [(cause.severity, cause.name, cause.summary) for cause in table.causes]
    rows = [
        f"| [{alert}]({alert}.md) | {severity} | {re.sub(LABEL, '…', summary)} |"
        for severity, alert, summary in [*budgets, *others]
    ]
    return "\n".join(["| Alert | | What it says |", "|---|---|---|", *rows])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m prometheus.build", description=__doc__)
    parser.add_argument("name", nargs="?", choices=(*FILES, "alertmanager", "index"))
    parser.add_argument(
        "--scale", type=float, default=1, help="divide all durations by this factor"
    )
    chosen = parser.parse_args()
    if chosen.name is None:
        print("\n".join(FILES))
    elif chosen.name == "alertmanager":
        print(alertmanager(), end="")
    elif chosen.name == "index":
        print(index(load()))
    else:
        print(render(chosen.name, chosen.scale), end="")


if __name__ == "__main__":
    main()
