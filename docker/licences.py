"""The licence of everything in an image: as syft found it, put right by what people have read.

``docker/licences.py IMAGE.tar LIST.spdx.json LIST.tsv`` takes an image (``docker save``) and syft's
list of it. The table it writes has a line for each component: name, version, licence, and where
that is said. What was concluded from ``licences.toml`` goes into the SPDX file too. Exit status 1
if something has no licence, or if a package no longer says what was read there: each is named.

Of a Debian package whose copyright file is machine-readable, and of a Python package, syft's
answer stands. Of any other it is guessed from words of the text, and somebody has to read it.
"""

from __future__ import annotations

import json
import re
import sys
import tarfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

TABLE = Path(__file__).with_name("licences.toml")
UNKNOWN = ("NOASSERTION", "NONE", "")
TEXTS = ("*/copyright", "*.dist-info/*LICEN[CS]E*")
OUTSIDE = ("opt/models/*", "opt/prompts/*", "*.libs/*", "*_data/*.so")
"""What syft does not look at: files that no package list names, and libraries inside wheels."""


@dataclass(frozen=True, slots=True)
class Row:
    """One component."""

    name: str
    version: str
    licence: str
    source: str

    def __str__(self) -> str:
        return "\t".join((self.name, self.version, self.licence, self.source))


@dataclass(slots=True)
class Review:
    """What came of it."""

    rows: list[Row] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    concluded: dict[str, tuple[str, str]] = field(default_factory=dict)
    """SPDX identifier of a package: its licence as somebody read it, and where."""


def review(
    packages: Sequence[Mapping[str, Any]],
    texts: Mapping[str, str],
    files: Sequence[str],
    table: Mapping[str, Any],
) -> Review:
    """*packages* as in SPDX, *texts* of copyright files by their path, *files* of the image."""
    found = Review()
    read = {name: entry for entry in table["read"] for name in entry["packages"]}
    for package in packages:
        name, version = package["name"], package.get("versionInfo", "")
        declared = package.get("licenseDeclared", "NOASSERTION")
        source = _source(package)
        text = texts.get(source)
        if name in read:
            entry = read[name]
            source = f"usr/share/doc/{entry['in']}/copyright" if "in" in entry else source
            found.faults += _unsaid(name, source, texts.get(source), entry)
            declared = entry["licence"]
            found.concluded[package["SPDXID"]] = (declared, source)
        elif declared in UNKNOWN:
            found.faults.append(f"{name} {version}: no licence is declared ({source or 'nowhere'})")
        elif text is not None and not _machine_readable(text):
            found.faults.append(f"{name} {version}: /{source} is not machine-readable: read it")
        found.rows.append(Row(name, version, declared, source))
    for entry in table["files"]:
        if not any(_of(entry, path) for path in files):
            continue
        source = entry["source"]
        if "in" in entry:
            source = next(
                (path for path in sorted(texts) if fnmatch(path, entry["in"])), entry["in"]
            )
            found.faults += _unsaid(entry["name"], source, texts.get(source), entry)
        found.rows.append(Row(entry["name"], "", entry["licence"], source))
    strays = [path for path in files if any(fnmatch(path, one) for one in OUTSIDE)]
    strays = [path for path in strays if not any(_of(entry, path) for entry in table["files"])]
    found.faults += [f"/{path}: whose is it, and under which licence?" for path in strays]
    found.rows = sorted(set(found.rows), key=str)
    return found


def _source(package: Mapping[str, Any]) -> str:
    """Where syft has it from: the copyright file, or the metadata of a Python package."""
    paths = re.findall(r"/([^\s,]+)", package.get("sourceInfo", "").partition(": ")[2])
    ranked = sorted(paths, key=lambda path: (not path.endswith("/copyright"), paths.index(path)))
    return str(ranked[0]) if ranked else ""


def _machine_readable(text: str) -> bool:
    """By the first field of Debian's copyright format 1.0."""
    return re.match(r"\s*(#.*\n\s*)*Format(-Specification)?:", text) is not None


def _words(text: str) -> str:
    return " ".join(text.split())


def _unsaid(name: str, source: str, text: str | None, entry: Mapping[str, Any]) -> Iterator[str]:
    """What the table has read in *text* and is not in it."""
    for sentence in entry.get("says", ()):
        if text is None:
            yield f"{name}: there is no /{source}, in which licences.toml read {sentence!r}"
        elif _words(sentence) not in _words(text):
            yield f"{name}: /{source} does not say {sentence!r} (any more): read it again"


def _of(entry: Mapping[str, Any], path: str) -> bool:
    return any(fnmatch(path, pattern) for pattern in entry["paths"])


def contents(image: Path) -> tuple[list[str], dict[str, str]]:
    """Paths of all files of *image* (no layer of ours removes one), and what its licences say."""
    names: dict[str, None] = {}
    texts: dict[str, str] = {}
    with tarfile.open(image) as archive:
        (manifest,) = json.load(_member(archive, "manifest.json"))
        for layer in manifest["Layers"]:
            with tarfile.open(fileobj=_member(archive, layer)) as tree:
                for entry in tree:
                    if entry.isdir():
                        continue
                    path = entry.name.removeprefix("./")
                    names[path] = None
                    if entry.isfile() and any(fnmatch(path, one) for one in TEXTS):
                        texts[path] = _member(tree, entry).read().decode(errors="replace")
    return list(names), texts


def _member(archive: tarfile.TarFile, member: str | tarfile.TarInfo) -> Any:
    file = archive.extractfile(member)
    assert file is not None, member
    return file


def annotate(document: dict[str, Any], concluded: Mapping[str, tuple[str, str]]) -> None:
    """Put what was read into the SPDX *document*, as concluded by people."""
    for package in document["packages"]:
        if package["SPDXID"] in concluded:
            licence, source = concluded[package["SPDXID"]]
            package["licenseConcluded"] = licence
            package["licenseComments"] = f"read in /{source}; see docker/licences.toml"
    known = {one["licenseId"] for one in document.setdefault("hasExtractedLicensingInfos", [])}
    wanted = re.findall(
        r"LicenseRef-[A-Za-z0-9.-]+", " ".join(one for one, _ in concluded.values())
    )
    for reference in sorted(set(wanted) - known):
        document["hasExtractedLicensingInfos"].append(
            {"licenseId": reference, "extractedText": reference.removeprefix("LicenseRef-")}
        )


def main(image: str, spdx: str, output: str) -> int:
    """See the module."""
    document = json.loads(Path(spdx).read_text(encoding="utf-8"))
    files, texts = contents(Path(image))
    packages = [
        one for one in document["packages"] if one.get("primaryPackagePurpose") != "CONTAINER"
    ]
    found = review(packages, texts, files, tomllib.loads(TABLE.read_text(encoding="utf-8")))
    annotate(document, found.concluded)
    Path(spdx).write_text(json.dumps(document), encoding="utf-8")
    Path(output).write_text("".join(f"{row}\n" for row in found.rows), encoding="utf-8")
    for fault in found.faults:
        print(f"licences: {Path(output).name}: {fault}", file=sys.stderr)
    if not found.faults:
        print(f"licences: {Path(output).name}: {len(found.rows)} components, each with a licence")
    return bool(found.faults)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
