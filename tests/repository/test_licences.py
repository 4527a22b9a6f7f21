"""``docker/licences.py``: what has no licence is named, and a text that says another one now."""

from __future__ import annotations

from typing import Any

import licences
import pytest

COPYRIGHT = "usr/share/doc/thing/copyright"
MACHINE = (
    "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nLicense: MIT\n"
)
PROSE = "It was downloaded from somewhere.\n  The thing is under the\n  MIT licence.\n"
READ = {"packages": ["thing"], "licence": "MIT", "says": ["The thing is under the MIT licence."]}
MODELS = {"name": "Model", "paths": ["opt/models/*"], "licence": "MIT", "source": "somebody"}


def package(declared: str = "NOASSERTION", **more: str) -> dict[str, Any]:
    return {
        "name": "thing", "versionInfo": "1", "SPDXID": "SPDXRef-thing", "licenseDeclared": declared,
        "sourceInfo": f"acquired package info from DPKG DB: /var/lib/x, /{COPYRIGHT}", **more,
    }  # fmt: skip


def review(
    text: str, declared: str = "MIT", files: tuple[str, ...] = (), **table: Any
) -> licences.Review:
    table = {"read": [], "files": [], **table}
    return licences.review([package(declared)], {COPYRIGHT: text}, files, table)


def test_a_machine_readable_file_is_believed() -> None:
    found = review(MACHINE)
    assert (found.faults, found.concluded) == ([], {})
    assert [str(row) for row in found.rows] == [f"thing\t1\tMIT\t{COPYRIGHT}"]


def test_a_licence_that_is_guessed_from_prose_is_not() -> None:
    assert review(PROSE).faults == [f"thing 1: /{COPYRIGHT} is not machine-readable: read it"]


@pytest.mark.parametrize("declared", ["NOASSERTION", "NONE"])
def test_what_has_none_is_named(declared: str) -> None:
    assert review(MACHINE, declared).faults == [
        f"thing 1: no licence is declared ({COPYRIGHT})"
    ]  # fmt: skip


def test_what_somebody_has_read_holds_as_long_as_it_is_there() -> None:
    found = review(PROSE, "NOASSERTION", read=[READ])
    assert found.faults == []
    assert found.rows[0].licence == "MIT"
    assert found.concluded == {"SPDXRef-thing": ("MIT", COPYRIGHT)}
    (fault,) = review("It is no longer free.", "NOASSERTION", read=[READ]).faults
    assert "does not say 'The thing is under the MIT licence.' (any more): read it again" in fault


@pytest.mark.parametrize(
    "stray", ["opt/models/new.bin", "opt/x/numpy.libs/libblas.so", "opt/x/_sound_data/lib.so"]
)
def test_a_file_of_no_package_must_be_somebodys(stray: str) -> None:
    assert review(MACHINE, files=(stray,)).faults == [
        f"/{stray}: whose is it, and under which licence?"
    ]


def test_a_model_is_listed_with_its_publisher() -> None:
    found = licences.review([], {}, ["opt/models/a.bin"], {"read": [], "files": [MODELS]})
    assert found.faults == []
    assert [str(row) for row in found.rows] == ["Model\t\tMIT\tsomebody"]


def test_a_library_inside_a_wheel_is_what_the_wheel_says() -> None:
    path, text = "opt/x/numpy.libs/libblas.so", "opt/x/numpy-2.dist-info/LICENSE.txt"
    entry = {
        "name": "BLAS", "paths": ["*/numpy.libs/libblas*"], "licence": "BSD", "source": "numpy",
        "in": "*/numpy-*.dist-info/LICENSE.txt", "says": ["License: BSD"],
    }  # fmt: skip
    table = {"read": [], "files": [entry]}
    found = licences.review([], {text: "Name: BLAS\nLicense:  BSD\n"}, [path], table)
    assert found.faults == []
    assert [str(row) for row in found.rows] == [f"BLAS\t\tBSD\t{text}"]
    assert "does not say" in licences.review([], {text: "License: ours"}, [path], table).faults[0]
    assert "there is no" in licences.review([], {}, [path], table).faults[0]


def test_the_list_of_parts_tells_what_was_concluded_and_where_it_is_said() -> None:
    document: dict[str, Any] = {"packages": [package()]}
    licences.annotate(document, {"SPDXRef-thing": ("MIT AND LicenseRef-odd", COPYRIGHT)})
    (told,) = document["packages"]
    assert told["licenseConcluded"] == "MIT AND LicenseRef-odd"
    assert COPYRIGHT in told["licenseComments"]
    assert [one["licenseId"] for one in document["hasExtractedLicensingInfos"]] == [
        "LicenseRef-odd"
    ]
