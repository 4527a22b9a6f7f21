"""Small words to write a dashboard with: a page is rows of panels, a panel a question and queries.

Plain dictionaries of Grafana's dashboard schema, version 1. Grafana's own Python kit was left out:
it takes misspelt keys without a word, and the result is checked against Grafana's published types
anyway (``tests/grafana``).

In a query, ``{@`` stands for ``{`` and the chosen instances, and ``[R]`` for the range that fits
both the scrape interval and the width of a pixel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Json = dict[str, Any]
Query = tuple[str, str]
"""The expression, and the legend of its lines."""

DATASOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS = 24  #: of Grafana's grid
TAG = "voicebot"
SPARSE = 300_000  #: milliseconds without a value that a line of durations bridges

GREEN, YELLOW, ORANGE, RED = "green", "yellow", "orange", "red"
BLUE, PURPLE, GREY = "blue", "purple", "#8e8e8e"

Steps = Sequence[tuple[float | None, str]]
"""From which value on which colour; the first value is None."""
PLAIN: Steps = ((None, BLUE),)


def expand(expression: str) -> str:
    """The expression as Grafana gets it."""
    chosen = '{instance=~"$instance"'
    return (
        expression.replace("{@}", chosen + "}")
        .replace("{@,", chosen + ",")
        .replace("[R]", "[$__rate_interval]")
    )


def link(uid: str, title: str) -> Json:
    """To another of these dashboards, with the same times and instances."""
    where = f"/d/voicebot-{uid}?${{__url_time_range}}&${{instance:queryparam}}"
    return _link("link", title, url=where)


def _link(kind: str, title: str, **more: object) -> Json:
    """All keys: Grafana's type wants each of them."""
    return {
        "title": title, "type": kind, "icon": "external link", "tooltip": "", "url": "",
        "tags": [], "asDropdown": False, "targetBlank": False, "includeVars": True,
        "keepTime": True, **more,
    }  # fmt: skip


def _targets(queries: Sequence[Query], **more: object) -> list[Json]:
    return [
        {
            "refId": chr(ord("A") + number),
            "datasource": DATASOURCE,
            "expr": expand(expression),
            "legendFormat": legend,
            **more,
        }
        for number, (expression, legend) in enumerate(queries)
    ]


def _thresholds(steps: Steps) -> Json:
    return {
        "mode": "absolute",
        "steps": [{"value": value, "color": color} for value, color in steps],
    }


def _panel(
    kind: str, title: str, about: str, targets: list[Json], to: Sequence[str], **more: object
) -> Json:
    panel: Json = {
        "type": kind,
        "title": title,
        "description": about,
        "datasource": DATASOURCE,
        "targets": targets,
        **more,
    }
    if to:
        panel["links"] = [link(uid, f"More: {uid}") for uid in to]
    return panel


def _colors(colors: Mapping[str, str]) -> list[Json]:
    return [
        {
            "matcher": {"id": "byName", "options": name},
            "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": color}}],
        }
        for name, color in colors.items()
    ]


def _lines(lines: Sequence[tuple[str, int]]) -> list[Json]:
    """For each query the colour, of which its lines get shades, and their width."""
    return [
        {
            "matcher": {"id": "byFrameRefID", "options": chr(ord("A") + number)},
            "properties": [
                {"id": "color", "value": {"mode": "shades", "fixedColor": color}},
                {"id": "custom.lineWidth", "value": width},
            ],
        }
        for number, (color, width) in enumerate(lines)
    ]


def graph(
    title: str,
    about: str,
    unit: str,
    *queries: Query,
    stack: bool = False,
    limits: Steps = (),
    top: float | None = None,
    log: bool = False,
    signed: bool = False,
    colors: Mapping[str, str] | None = None,
    lines: Sequence[tuple[str, int]] = (),
    exemplars: bool = False,
    none: str = "",
    to: Sequence[str] = (),
) -> Json:
    """Lines over time; *limits* are dashed ones, *top* is the end of the axis at least, which
    begins at 0 unless *signed*; *none* is what an empty panel says."""
    custom: Json = {
        "drawStyle": "line",
        "lineInterpolation": "linear",
        "lineWidth": 0 if stack else 2,
        "fillOpacity": 60 if stack else 0,
        "showPoints": "never",
        # A duration exists only when something ended: at night that is a point now and then.
        "spanNulls": SPARSE if unit == "s" and not stack else False,
        "stacking": {"mode": "normal" if stack else "none", "group": "A"},
    }
    if log:
        custom["scaleDistribution"] = {"type": "log", "log": 10}
    defaults: Json = {"unit": unit, "custom": custom, "color": {"mode": "palette-classic"}}
    if not log and not signed:
        defaults["min"] = 0
    if top is not None:
        custom["axisSoftMax"] = top
    if none:
        defaults["noValue"] = none
    if limits:
        custom["thresholdsStyle"] = {"mode": "dashed"}
        defaults["thresholds"] = _thresholds(((None, "transparent"), *limits))
    return _panel(
        "timeseries", title, about,
        _targets(queries, **({"exemplar": True} if exemplars else {})),
        to,
        fieldConfig={"defaults": defaults, "overrides": [*_colors(colors or {}), *_lines(lines)]},
        options={
            "legend": {
                "showLegend": True, "displayMode": "list", "placement": "bottom", "calcs": [],
            },
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
    )  # fmt: skip


def _mappings(says: Mapping[str, tuple[str, str]]) -> list[Json]:
    options = {value: {"text": words, "color": color} for value, (words, color) in says.items()}
    return [{"type": "value", "options": options}]


def stat(
    title: str,
    about: str,
    unit: str,
    *queries: Query,
    steps: Steps = PLAIN,
    says: Mapping[str, tuple[str, str]] | None = None,
    decimals: int | None = None,
    text: str = "auto",
    none: str = "no data",
    listed: bool = False,
    to: Sequence[str] = (),
) -> Json:
    """One number now, on its colour; *says* replaces values by (text, colour), *listed* puts
    several below each other."""
    defaults: Json = {
        "unit": unit,
        "noValue": none,
        "color": {"mode": "thresholds"},
        "thresholds": _thresholds(steps),
    }
    if decimals is not None:
        defaults["decimals"] = decimals
    if says:
        defaults["mappings"] = _mappings(says)
    return _panel(
        "stat", title, about, _targets(queries, instant=True), to,
        fieldConfig={"defaults": defaults, "overrides": []},
        options={
            "colorMode": "background", "graphMode": "none", "justifyMode": "center",
            "orientation": "horizontal" if listed else "auto", "textMode": text,
            "wideLayout": True,
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        },
    )  # fmt: skip


def bars(
    title: str,
    about: str,
    unit: str,
    *queries: Query,
    steps: Steps = PLAIN,
    top: float | None = None,
    decimals: int | None = None,
    to: Sequence[str] = (),
) -> Json:
    """A bar for each thing now, to compare them."""
    defaults: Json = {
        "unit": unit,
        "min": 0,
        "noValue": "none",
        "color": {"mode": "thresholds"},
        "thresholds": _thresholds(steps),
    }
    if top is not None:
        defaults["max"] = top
    if decimals is not None:
        defaults["decimals"] = decimals
    return _panel(
        "bargauge", title, about, _targets(queries, instant=True), to,
        fieldConfig={"defaults": defaults, "overrides": []},
        options={
            "displayMode": "basic", "orientation": "horizontal", "showUnfilled": True,
            "valueMode": "color", "namePlacement": "left", "minVizHeight": 16, "minVizWidth": 8,
            "maxVizHeight": 40, "sizing": "auto",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        },
    )  # fmt: skip


def heatmap(
    title: str, about: str, histogram: str, *, exemplars: bool = False, to: Sequence[str] = ()
) -> Json:
    """How often each duration came, over time; *histogram* is its selector, ``name_bucket{…}``."""
    query = (f"sum by (le) (increase({histogram}[R]))", "{{le}}")
    more: Json = {"format": "heatmap"} | ({"exemplar": True} if exemplars else {})
    return _panel(
        "heatmap", title, about, _targets([query], **more), to,
        fieldConfig={"defaults": {"unit": "s"}, "overrides": []},
        options={
            "calculate": False,
            "color": {
                "mode": "scheme", "scheme": "Oranges", "steps": 64, "exponent": 0.5,
                "fill": "dark-orange", "reverse": False,
            },
            "cellGap": 1,
            "filterValues": {"le": 1e-9},
            "yAxis": {"unit": "s", "axisPlacement": "left"},
            "tooltip": {"mode": "single", "yHistogram": False, "showColorScale": False},
            "legend": {"show": False},
            "exemplars": {"color": "rgba(255,0,255,0.7)"},
            "showValue": "never",
        },
    )  # fmt: skip


def table(
    title: str,
    about: str,
    unit: str,
    query: str,
    *,
    columns: Mapping[str, str],
    says: Mapping[str, tuple[str, str]] | None = None,
) -> Json:
    """A line for each series now; *columns* are labels (and ``Value``) with their headings, *says*
    replaces values by (text, colour)."""
    words: Json = {
        "matcher": {"id": "byName", "options": columns.get("Value")},
        "properties": [
            {"id": "mappings", "value": _mappings(says or {})},
            {"id": "custom.cellOptions", "value": {"type": "color-text"}},
        ],
    }
    order = {name: number for number, name in enumerate(columns)}
    return _panel(
        "table", title, about, _targets([(query, "")], instant=True, format="table"), (),
        fieldConfig={
            "defaults": {"unit": unit, "color": {"mode": "thresholds"}, "noValue": "none"},
            "overrides": [words] if says else [],
        },
        options={"showHeader": True, "cellHeight": "sm"},
        transformations=[
            {"id": "filterFieldsByName", "options": {"include": {"names": list(columns)}}},
            {"id": "organize", "options": {"indexByName": order, "renameByName": dict(columns)}},
        ],
    )  # fmt: skip


def row(height: int, *panels: Json | tuple[int, Json]) -> tuple[int, list[tuple[int, Json]]]:
    """Panels beside each other: those without a width of their own share what is left."""
    fixed = sum(panel[0] for panel in panels if isinstance(panel, tuple))
    free = [panel for panel in panels if not isinstance(panel, tuple)]
    share, rest = divmod(COLUMNS - fixed, len(free)) if free else (0, 0)
    widths = iter([share + 1] * rest + [share] * (len(free) - rest))
    return height, [p if isinstance(p, tuple) else (next(widths), p) for p in panels]


def _placed(rows: Sequence[tuple[int, list[tuple[int, Json]]]]) -> list[Json]:
    placed: list[Json] = []
    top = 0
    for height, panels in rows:
        left = 0
        for width, panel in panels:
            position = {"x": left, "y": top, "w": width, "h": height}
            placed.append({"id": len(placed) + 1, "gridPos": position, **panel})
            left += width
        top += height
    return placed


def _annotation(name: str, color: str, expression: str, title: str, **more: object) -> Json:
    return {
        "name": name,
        "enable": True,
        "hide": False,
        "iconColor": color,
        "datasource": DATASOURCE,
        "expr": expand(expression),
        "titleFormat": title,
        "step": "60s",
        **more,
    }


ANNOTATIONS = [
    _annotation(
        "Starts and releases", BLUE,
        'process_start_time_seconds{@,job="voicebot"} * on (instance) group_left (version)'
        " voicebot_build_info{@} * 1000",
        "voicebot {{version}} started on {{instance}}",
        useValueForTime=True,  # the mark is at the start itself, at any zoom
    ),
    _annotation("Drains", PURPLE, "voicebot_draining{@} == 1", "{{instance}} drains"),
    _annotation(
        "Alerts", RED, 'ALERTS{alertstate="firing",severity=~"page|ticket"}',
        "{{severity}}: {{alertname}}",
    ),
]  # fmt: skip

VARIABLES: list[Json] = [
    {"type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus"},
    {
        "type": "query",
        "name": "instance",
        "label": "Host",
        "datasource": DATASOURCE,
        "query": {"query": "label_values(voicebot_build_info, instance)", "refId": "instance"},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".+",
        "current": {"text": ["All"], "value": ["$__all"]},
    },
]


def dashboard(
    uid: str,
    title: str,
    about: str,
    *rows: tuple[int, list[tuple[int, Json]]],
    since: str = "now-6h",
    refresh: str = "30s",
) -> Json:
    """One page. *about* is the question that it answers."""
    return {
        "uid": f"voicebot-{uid}",
        "title": f"Voicebot: {title}",
        "description": about,
        "tags": [TAG],
        "schemaVersion": 41,
        "editable": False,
        "timezone": "utc",
        "graphTooltip": 1,
        "time": {"from": since, "to": "now"},
        "refresh": refresh,
        "templating": {"list": VARIABLES},
        "annotations": {"list": ANNOTATIONS},
        "links": [_link("dashboards", "Voicebot", tags=[TAG])],
        "panels": _placed(rows),
    }  # fmt: skip
