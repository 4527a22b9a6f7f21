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
}  # fmt: skip


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


def metrics(expression: str) -> set[str]:
    """The names of the metrics in an expression, without a histogram's suffix."""
    bare = re.sub(r'"[^"]*"', "", expression)
    bare = re.sub(r"\b(by|on|ignoring|group_left|group_right)\s*\([^)]*\)", " ", bare)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", " ", bare)
    named = set(re.findall(r"[a-zA-Z_:][\w:]*\b(?!\s*\()", bare)) - _WORDS
    return {re.sub(r"(voicebot_\w+_seconds)_(bucket|sum|count)$", r"\1", name) for name in named}
