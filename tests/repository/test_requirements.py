"""The requirement files: complete, pinned, hashed, and the same versions in each."""

from __future__ import annotations

import re
import tomllib
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DEPLOY = [
    line
    for line in (ROOT / "requirements" / "deploy.in").read_text().splitlines()
    if line and not line.startswith("#")
]
SETS = {
    "deploy": DEPLOY,
    "runtime": PROJECT["dependencies"],
    "local": PROJECT["dependencies"] + PROJECT["optional-dependencies"]["local"],
    "cloud": PROJECT["dependencies"]
    + PROJECT["optional-dependencies"]["local"]
    + PROJECT["optional-dependencies"]["cloud"],
    "emulator": PROJECT["dependencies"]
    + PROJECT["optional-dependencies"]["local"]
    + PROJECT["optional-dependencies"]["cloud"]
    + PROJECT["optional-dependencies"]["emulator"],
    "image-cloud": PROJECT["dependencies"] + PROJECT["optional-dependencies"]["cloud"],
    "image-full": PROJECT["dependencies"]
    + PROJECT["optional-dependencies"]["cloud"]
    + ["ctranslate2", "onnxruntime"],
    "dev": [*PROJECT["dependencies"], *chain(*PROJECT["optional-dependencies"].values())],
}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def name_of(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found, requirement
    return canonical(found[0])


def pins(name: str) -> dict[str, set[str]]:
    """The versions of each package in a file; more than one where Python versions differ."""
    found: dict[str, set[str]] = {}
    for line in (ROOT / "requirements" / f"{name}.txt").read_text().splitlines():
        if line[:1].isalnum():
            package, version = re.match(r"([A-Za-z0-9._-]+)==([^ ;\\]+)", line).groups()
            found.setdefault(canonical(package), set()).add(version)
    return found


@pytest.mark.parametrize("name", SETS)
def test_every_dependency_of_the_project_is_pinned(name: str) -> None:
    missing = {name_of(requirement) for requirement in SETS[name]} - pins(name).keys()
    assert not missing, "run: make lock"


@pytest.mark.parametrize("name", SETS)
def test_exact_versions_in_pyproject_are_the_pinned_ones(name: str) -> None:
    for requirement in SETS[name]:
        if "==" in requirement.split(";")[0]:
            assert pins(name)[name_of(requirement)] == {requirement.split("==")[1].strip()}


@pytest.mark.parametrize(
    "name", ["runtime", "local", "cloud", "emulator", "image-cloud", "image-full", "deploy"]
)
def test_a_smaller_set_has_the_versions_that_are_tested(name: str) -> None:
    tested = pins("dev")
    for package, versions in pins(name).items():
        assert versions == tested[package], "run: make lock"


@pytest.mark.parametrize(
    "file", sorted((ROOT / "requirements").glob("*.txt")), ids=lambda f: f.name
)
def test_every_pin_is_hashed_and_no_address_is_written_down(file: Path) -> None:
    text = file.read_text()
    assert "://" not in text
    entries = re.split(r"\n(?=[A-Za-z0-9])", text)[1:]
    assert entries
    for entry in entries:
        assert "--hash=sha256:" in entry, entry.splitlines()[0]
