"""The table of alerts: its mistakes are named, and drills shorten every duration of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from prometheus import build
from prometheus.table import TABLE, TableError, load, seconds
from tests.prometheus.promtool import ROOT, rules


def changed(directory: Path, *path: str, to: object) -> Path:
    content = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    part = content
    for key in path[:-1]:
        part = part[int(key)] if isinstance(part, list) else part[key]
    part[path[-1]] = to
    file = directory / "alerts.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


@pytest.mark.parametrize(
    ("path", "to", "says"),
    [
        (("objectives", "turn-response", "objective"), 0.97, "turn-response: a factor of 50 never"),
        (("objectives", "turn-response", "threshold"), 2.4, r"turn-response: `good` has no .*2\.4"),
        (("objectives", "turn-response", "bad"), "x", "turn-response: give either"),
        (("causes", "VoicebotDown", "severity"), "warning", "VoicebotDown: severity 'warning'"),
        (("causes", "VoicebotDown", "fro"), "1m", "VoicebotDown: unknown: fro"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, path: tuple[str, ...], to: object, says: str) -> None:
    with pytest.raises(TableError, match=says):
        load(changed(tmp_path, *path, to=to))


@pytest.mark.parametrize("text", ["", "5", "1.5m", "5 m", "1h30m"])
def test_only_plain_durations_are_taken(text: str) -> None:
    with pytest.raises(TableError):
        seconds(text)


def test_a_drill_shortens_every_duration_and_changes_nothing_else() -> None:
    for name in build.FILES:
        real = rules(name)
        short = yaml.safe_load(build.render(name, 60))["groups"]
        for one, other in zip(real, short, strict=True):
            assert seconds(other["interval"]) == max(1, seconds(one["interval"]) // 60)
            for rule, shorter in zip(one["rules"], other["rules"], strict=True):
                assert shorter.get("labels") == rule.get("labels")
                if "for" in rule:
                    assert seconds(shorter["for"]) == -(-seconds(rule["for"]) // 60)


def test_an_expression_of_a_drill_has_short_windows_and_ages() -> None:
    text = 'time() - x > <90s> and rate(y{a="5m"}[1h]) > 0.2 and z[1m:15s] < 3'
    assert build.expression(text, 60) == (
        'time() - x > 1.5 and rate(y{a="5m"}[60s]) > 0.2 and z[5s:1s] < 3'
    )
    assert build.expression(text) == (
        'time() - x > 90 and rate(y{a="5m"}[1h]) > 0.2 and z[1m:15s] < 3'
    )


def test_a_window_longer_than_a_month_is_kept_long_enough() -> None:
    """The budget of 30 days needs 30 days of samples."""
    text = (ROOT / "prometheus/prometheus.yml").read_text()
    assert "--storage.tsdb.retention.time=40d" in text
