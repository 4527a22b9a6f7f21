"""The dashboards as files: Grafana's own types accept them, and they name nothing that is not."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.grafana.conftest import DASHBOARDS, HERE, ROOT, pages
from tests.grafana.queries import expressions, filled, metrics
from tests.support.exporters import ALLOWED
from voicebot.telemetry import reference
from voicebot.telemetry.metrics import Metrics

PAGES = pages()
EVERY_PAGE = pytest.mark.parametrize("name", PAGES)

RECORDED = {
    rule["record"]
    for file in (ROOT / "prometheus/rules").glob("*.yml")
    for group in yaml.safe_load(file.read_text())["groups"]
    for rule in group["rules"]
    if "record" in rule
}


def validate(schemas: Path, *files: Path) -> subprocess.CompletedProcess[str]:
    command = ["node", str(HERE / "validate.mjs"), str(schemas), *map(str, files)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_grafanas_published_types_accept_them(schemas: Path) -> None:
    done = validate(schemas, *DASHBOARDS)
    assert (done.stdout, done.returncode) == ("", 0), done.stderr


@pytest.mark.parametrize(
    ("part", "wrong"),
    [
        ('"refresh":', '"refersh":'),
        ('"gridPos":', '"gridPoz":'),
        ('"lineWidth":', '"lineWdth":'),
        ('"placement": "bottom"', '"placement": "left"'),
        ('"colorMode": "background"', '"colorMode": "backgroud"'),
        ('"type": "stat"', '"type": "guage"'),
        ('"titleFormat":', '"titelFormat":'),
    ],
)
def test_a_mistake_is_found(schemas: Path, tmp_path: Path, part: str, wrong: str) -> None:
    good = (ROOT / "grafana/dashboards/overview.json").read_text()
    assert part in good
    bad = tmp_path / "bad.json"
    bad.write_text(good.replace(part, wrong))
    assert validate(schemas, bad).returncode == 1


@EVERY_PAGE
def test_every_metric_exists(name: str) -> None:
    known = set(reference.names()) | ALLOWED | RECORDED
    for where, expression in expressions(PAGES[name]):
        named = metrics(expression)
        assert named, where
        assert named - known == set(), where


@EVERY_PAGE
def test_every_value_of_a_label_exists(name: str) -> None:
    """``outcome="error"`` of a metric whose outcomes are others would be an empty line for ever."""
    labels = {info.name: info.labels for info in Metrics().inventory}
    for where, expression in expressions(PAGES[name]):
        for metric, chosen in re.findall(r"\b(voicebot_\w+?)(?:_bucket)?\{([^}]*)\}", expression):
            for label, value in re.findall(r'(\w+)=~?"([^"$]*)"', chosen):
                known = labels.get(metric, {}).get(label)
                if known:
                    assert set(value.split("|")) <= set(known), where


@EVERY_PAGE
def test_every_boundary_of_a_bucket_exists(name: str) -> None:
    buckets = {i.name: {repr(float(b)) for b in i.buckets} for i in Metrics().inventory}
    for where, expression in expressions(PAGES[name]):
        for metric, le in re.findall(r'\b(voicebot_\w+)_bucket\{[^}]*le="([^"]*)"', expression):
            assert le in buckets[metric], where


@EVERY_PAGE
def test_every_variable_exists(name: str) -> None:
    for _, expression in expressions(PAGES[name]):
        assert "$" not in filled(expression)


@EVERY_PAGE
def test_every_panel_says_what_to_conclude(name: str) -> None:
    for panel in PAGES[name]["panels"]:
        assert panel["title"]
        assert re.fullmatch(r"[A-Za-z0-9].{14,120}\.", panel["description"]), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


@EVERY_PAGE
def test_panels_fill_the_width_and_do_not_overlap(name: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in PAGES[name]["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
    assert len(taken) == 24 * (1 + max(y for _, y in taken)), "a hole"


def test_addresses_are_stable() -> None:
    """Alerts, runbooks and bookmarks lead to them: a change here breaks those."""
    assert {name: page["uid"] for name, page in PAGES.items()} == {
        name: f"voicebot-{name}"
        for name in (
            "overview", "latency", "providers", "host", "asterisk", "recordings", "business",
            "slo", "capacity",
        )
    }  # fmt: skip


@EVERY_PAGE
def test_links_lead_to_pages_and_keep_the_time(name: str) -> None:
    uids = {page["uid"] for page in PAGES.values()}
    assert PAGES[name]["links"][0]["keepTime"]
    for panel in PAGES[name]["panels"]:
        for link in panel.get("links", ()):
            uid = re.match(r"/d/([\w-]+)\?\$\{__url_time_range\}", link["url"])
            assert uid is not None
            assert uid[1] in uids - {PAGES[name]["uid"]}


@EVERY_PAGE
def test_nobody_changes_them_in_the_browser(name: str) -> None:
    page = PAGES[name]
    assert (page["editable"], page["timezone"], page["graphTooltip"]) == (False, "utc", 1)


def provisioned(kind: str) -> Any:
    return yaml.safe_load((ROOT / f"grafana/provisioning/{kind}/voicebot.yaml").read_text())


def test_what_is_provisioned_fits() -> None:
    (source,) = provisioned("datasources")["datasources"]
    prometheus = yaml.safe_load((ROOT / "prometheus/prometheus.yml").read_text())
    assert source["isDefault"], "the variable `datasource` starts with it"
    assert source["jsonData"]["timeInterval"] == prometheus["global"]["scrape_interval"]
    (own,) = yaml.safe_load((ROOT / "prometheus/targets/prometheus.yml").read_text())
    assert source["url"] == f"http://{own['targets'][0]}"
    (provider,) = provisioned("dashboards")["providers"]
    assert provider["allowUiUpdates"] is False


@pytest.mark.parametrize("folder", [HERE, ROOT / "grafana/render"], ids=lambda p: p.name)
def test_packages_are_pinned_and_name_no_host(folder: Path) -> None:
    text = (folder / "package-lock.json").read_text()
    assert "://" not in text  # npm also writes where to give money to whom
    lock = json.loads(text)
    packages = [package for path, package in lock["packages"].items() if path]
    assert packages
    assert all("integrity" in package for package in packages)
    assert not any("resolved" in package for package in packages)
    wanted = json.loads((folder / "package.json").read_text())["dependencies"]
    assert all(re.fullmatch(r"[\d.]+", version) for version in wanted.values())
