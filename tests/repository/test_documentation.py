"""The documentation says nothing that the project does not have: links, names, commands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from prometheus_client import CollectorRegistry

from voicebot import __version__, config
from voicebot.cli import VERBS
from voicebot.control.api import ControlApp, ServiceView
from voicebot.telemetry import reference
from voicebot.telemetry.metrics import CALL_OUTCOMES

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
OTHER_VARIABLES = {
    "VOICEBOT_ENV_FILE", "VOICEBOT_SECRETS_DIR", "PYTHON", "SCENARIO", "SPEECH", "ARGS",
    "NOTIFY_SOCKET", "VOICEBOT_SITE", "GRAFANA", "VARIANT", "KEEP", "REVISION", "BASE",
    "ASTERISK_MIRROR", "ASTERISK_VERSION", "BUILD_BASE", "ANSIBLE_VAULT_PASSWORD_FILE",
    "BUNDLE_IMAGES",
}  # fmt: skip
OF_DEPLOY_ENV = {
    "VOICEBOT_IMAGE",
    "ASTERISK_IMAGE",
    "VOICEBOT_CPUSET",
    "ASTERISK_CPUSET",
    "TASK_CPUSET",
    "TASK_MEMORY",
    "TASK_METRICS",
}
VOICEBOT_ROLE = ROOT / "ansible" / "roles" / "voicebot" / "meta" / "argument_specs.yml"
OF_ASTERISK = {"VOICEBOT_AUDIOSOCKET", "VOICEBOT_CONTROL", "VOICEBOT_TECHNICIAN"}


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def prose(path: Path) -> str:
    """The page without the parts that are made from the code."""
    return re.sub(r"<!-- generated.*?<!-- end -->", "", path.read_text(), flags=re.S)


def code(path: Path) -> Iterator[str]:
    """Everything that is set as code: `spans` and the lines of blocks, changes of code left out."""
    text = re.sub(r"^```diff\n.*?^```$", "", prose(path), flags=re.S | re.M)
    blocks = re.findall(r"^ *```[a-z]*\n(.*?)^ *```", text, flags=re.S | re.M)
    for block in blocks:
        yield from block.splitlines()
    yield from re.findall(r"`([^`\n]+)`", text)


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", prose(page))
    broken = [x for x in links if "://" not in x and not (page.parent / x).exists()]
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_every_setting_that_is_named_exists(page: Path) -> None:
    known = {setting.metadata["env"] for setting in config.described()}
    named = {m for text in code(page) for m in re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b(?!\()", text)}
    assert named - known - OTHER_VARIABLES - OF_DEPLOY_ENV - OF_ASTERISK == set()


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_every_metric_that_is_named_exists(page: Path) -> None:
    named = {m for text in code(page) for m in re.findall(r"\bvoicebot_[a-z_]+[a-z]\b", text)}
    of_ansible = set(re.findall(r"^      (voicebot_[a-z_]+):$", VOICEBOT_ROLE.read_text(), re.M))
    assert named - set(reference.names()) - of_ansible == set()


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_every_target_and_command_that_is_named_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), flags=re.M))
    for text in code(page):
        if match := re.match(r"(?:\S+/)?make ([a-z-]+)", text):
            assert match[1] in targets, text
        if match := re.match(r"(?:\S+/)?voicebot ([a-z]+)(?: |$)", text):
            assert match[1] in VERBS, text
        if match := re.match(r"(?:voicebot|scripts|systemd|prometheus|asterisk)/[\w./-]+", text):
            assert (ROOT / match[0]).exists(), text


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_an_image_that_is_named_is_of_this_version(page: Path) -> None:
    image = re.compile(r"\bvoicebot[a-z-]*[:-](\d+\.[\d.]*\d)")
    assert {version for text in code(page) for version in image.findall(text)} <= {__version__}


def test_every_page_is_listed_in_the_index() -> None:
    docs = ROOT / "docs"
    index = "".join((docs / name).read_text() for name in ("README.md", "runbooks/README.md"))
    index += (docs / "decisions" / "README.md").read_text()
    missing = [p for p in docs.rglob("*.md") if p.name != "README.md" and p.name not in index]
    assert missing == []


@pytest.mark.parametrize(
    "page", sorted((ROOT / "docs" / "decisions").glob("0*.md")), ids=lambda p: p.stem
)
def test_a_decision_has_all_its_parts(page: Path) -> None:
    parts = set(re.findall(r"^## (.+)$", page.read_text(), flags=re.M))
    assert {"Context", "Options", "Decision", "Consequences", "Confirmation"} <= parts
    assert page.read_text().startswith(f"# {page.stem[:4]}. ")


def test_the_mapping_has_every_section_of_the_reference() -> None:
    mapping = (ROOT / "docs" / "reference" / "mapping.md").read_text()
    rows = re.findall(r"^\| \*\*(\d+)\*\* ", mapping, flags=re.M)
    assert [int(row) for row in rows] == list(range(1, 29))


def test_the_mapping_names_files_that_exist() -> None:
    """In the root or in the package. The first column has the names of the reference."""
    mapping = (ROOT / "docs" / "reference" / "mapping.md").read_text()
    rows = [line.split(" | ", 1)[1] for line in mapping.splitlines() if " | " in line]
    named = set(re.findall(r"`([\w./-]+(?:\.(?:py|yaml|conf)|/))`", "\n".join(rows)))
    places = (ROOT, ROOT / "voicebot")
    assert len(named) > 40
    assert {n for n in named if not any((place / n).exists() for place in places)} == set()


def test_the_howto_names_parts_of_the_script_that_exist() -> None:
    script = (ROOT / "voicebot" / "data" / "scripts" / "sav.fr.yaml").read_text()
    page = (ROOT / "docs" / "how-to" / "change-what-the-bot-says.md").read_text()
    named = re.findall(r"^   \* `([a-z]+)`", page, flags=re.M)
    assert named
    for part in named:
        assert re.search(rf"^{part}:", script, flags=re.M), part


def test_the_page_of_the_control_api_has_its_paths() -> None:
    page = (ROOT / "docs" / "reference" / "control-api.md").read_text()
    app = ControlApp(cast(ServiceView, None), CollectorRegistry())
    assert set(re.findall(r"^\| `((?:GET|POST) [^`]+)` \|", page, flags=re.M)) == set(app.paths)


def test_the_page_of_commands_has_every_command() -> None:
    page = (ROOT / "docs" / "reference" / "commands.md").read_text()
    assert set(re.findall(r"^\| `([a-z]+)", page, flags=re.M)) == VERBS.keys()


def test_the_page_of_the_journal_explains_every_outcome() -> None:
    page = (ROOT / "docs" / "how-to" / "read-the-journal.md").read_text()
    assert set(re.findall(r"^\| `([a-z_]+)` \|", page, flags=re.M)) == set(CALL_OUTCOMES)
