"""Each alert has a runbook and each runbook an alert; what a runbook tells to do can be done."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from grafana.build import PAGES
from prometheus.table import load
from tests.drills.faults import DRILLS

ROOT = Path(__file__).parents[2]
BOOKS = sorted(p for p in (ROOT / "docs/runbooks").glob("*.md") if p.name != "README.md")
TABLE = load()
HEADINGS = ["Meaning", "Impact", "Diagnosis", "Mitigation", "Try it"]

every_book = pytest.mark.parametrize("book", BOOKS, ids=lambda book: book.stem)


def panels() -> set[str]:
    return {panel["title"] for page in PAGES.values() for panel in page()["panels"]}


def test_each_alert_has_a_runbook_and_each_runbook_an_alert() -> None:
    alerts = {c.name for c in TABLE.causes} | {o.alert for o in TABLE.objectives.values()}
    assert {book.stem for book in BOOKS} == alerts


@every_book
def test_a_runbook_has_its_five_parts(book: Path) -> None:
    text = book.read_text(encoding="utf-8")
    assert text.startswith(f"# {book.stem}\n")
    assert re.findall(r"^## (.+)$", text, flags=re.M) == HEADINGS
    assert all(part.strip() for part in re.split(r"^#.*$", text, flags=re.M)[2:])
    assert not re.search(r"TODO|FIXME|TBD|XXX", text)


@every_book
def test_a_panel_that_is_named_exists(book: Path) -> None:
    """Panels are in italics, by the beginning of their titles: *Calls and the limit*."""
    named = re.findall(r"(?<![*\w])\*([A-Z][^*\n]+)\*(?!\*)", book.read_text(encoding="utf-8"))
    pages_of_prometheus = {"Status, Targets", "Status, Rules"}
    titles = panels() | pages_of_prometheus
    assert [name for name in named if not any(t.startswith(name) for t in titles)] == []


@every_book
def test_a_drill_that_is_named_exists_and_makes_the_alert_fire(book: Path) -> None:
    drill = book.read_text(encoding="utf-8").partition("## Try it")[2]
    for name in re.findall(r"make drill NAME=([\w-]+)", drill):
        assert name in DRILLS
        if "as well" not in drill:
            assert book.stem in DRILLS[name].alerts


@every_book
def test_a_link_to_a_lever_leads_to_one(book: Path) -> None:
    levers = (ROOT / "docs/how-to/be-on-call.md").read_text(encoding="utf-8")
    anchors = {h.lower().replace(" ", "-") for h in re.findall(r"^###? (.+)$", levers, flags=re.M)}
    named = re.findall(r"be-on-call\.md#([\w-]+)", book.read_text(encoding="utf-8"))
    assert set(named) - anchors == set()


def test_every_alert_leads_to_a_dashboard_that_exists() -> None:
    dashboards = {c.dashboard for c in TABLE.causes}
    dashboards |= {o.dashboard for o in TABLE.objectives.values()}
    assert dashboards <= set(PAGES)


def test_the_package_of_the_images_has_them(tmp_path: Path) -> None:
    """Built as the Dockerfile does, of what it copies: links of the package lead out of it."""
    dockerfile = (ROOT / "docker/voicebot/Dockerfile").read_text(encoding="utf-8")
    stage = re.search(r"^FROM here AS wheel\n(.*?)^FROM", dockerfile, re.M | re.S)
    assert stage
    for what, where in re.findall(r"^COPY (?!requirements)(.+) (\S+)$", stage[1], re.M):
        for source in (ROOT / name for name in what.split()):
            if source.is_dir():
                shutil.copytree(source, tmp_path / where, symlinks=True)
            else:
                (tmp_path / where).mkdir(parents=True, exist_ok=True)
                shutil.copy(source, tmp_path / where)
    build = "from setuptools import build_meta; print(build_meta.build_wheel('dist'))"
    done = subprocess.run(
        [sys.executable, "-c", build], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(tmp_path / "dist" / done.stdout.splitlines()[-1]) as wheel:
        for page in [*(ROOT / "docs/runbooks").glob("*.md"), ROOT / "docs/how-to/be-on-call.md"]:
            folder = "runbooks/" if page.parent.name == "runbooks" else ""
            assert wheel.read(f"voicebot/data/{folder}{page.name}") == page.read_bytes()


def test_the_build_of_the_images_may_see_them() -> None:
    seen = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert {"!docs/runbooks", "!docs/how-to/be-on-call.md"} <= set(seen)


def test_a_mail_says_how_to_read_it_on_the_host() -> None:
    mail = (ROOT / "prometheus/voicebot.tmpl").read_text(encoding="utf-8")
    assert "voicebot runbook {{ .Labels.alertname }}\n" in mail
