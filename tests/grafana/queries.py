"""Takes queries out of dashboards, puts values for Grafana's variables, and names their metrics."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

VALUES = {
    "__rate_interval": "30s", "__interval": "5s", "__range": "5m", "instance": ".+",
}  # fmt: skip
_WORDS = {
    "and", "or", "unless", "by", "on", "ignoring", "group_left", "group_right", "bool", "offset",
    "sum", "min", "max", "avg", "count", "topk",
}  # fmt: skip
_TOKENS = re.compile(
    r'"[^"]*"'  # a text
    r"|\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)"
    r"|\[[^\]]*\]"  # a range
    r"|\d[\w.]*"
    r'|([a-zA-Z_:][\w:]*)((?:\{(?:[^}"]|"[^"]*")*\})?)(\s*\()?'
)
CONDITION = re.compile(r"[<>!=]=|[<>]|\b(?:and|unless|absent)\b")
"""What may leave nothing of an answer although all series are there."""


def panels(page: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from page["panels"]


def expressions(page: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(where, expression) of each panel and annotation."""
    for panel in panels(page):
        for target in panel["targets"]:
            yield f"{page['uid']}: {panel['title']}", target["expr"]
    for annotation in page["annotations"]["list"]:
        yield f"{page['uid']}: annotation {annotation['name']}", annotation["expr"]


def filled(expression: str, values: Mapping[str, str] = VALUES) -> str:
    """With values for variables. Raises KeyError for one that Grafana would not know either."""
    return re.sub(r"\$\{?(\w+)\}?", lambda match: values[match[1]], expression)


def selectors(expression: str) -> set[str]:
    """The series that an expression is made of, as ``name{labels}``."""
    return {
        name + labels
        for name, labels, opened in (match.groups("") for match in _TOKENS.finditer(expression))
        if name and not opened and name not in _WORDS
    }


def metrics(expression: str) -> set[str]:
    """The names of the metrics in an expression, without a histogram's suffix."""
    named = {selector.partition("{")[0] for selector in selectors(expression)}
    return {re.sub(r"(voicebot_\w+_seconds)_(bucket|sum|count)$", r"\1", name) for name in named}


def conditional(expression: str) -> bool:
    """Whether an expression may have no answer although all its series are there."""
    return bool(CONDITION.search(re.sub(r'\{(?:[^}"]|"[^"]*")*\}|"[^"]*"', "", expression)))
