"""How the role `files` asks a host what differs: its script, on files of this machine."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "ansible" / "roles" / "files" / "files" / "differs.py"
TEXT = "a = 1\nb = 2\n"


def ask(*wanted: dict[str, Any]) -> dict[str, list[str]]:
    command = [sys.executable, "-c", SCRIPT.read_text()]
    done = subprocess.run(
        command, input=json.dumps(wanted), capture_output=True, text=True, check=True
    )
    return dict(json.loads(done.stdout))


def file(path: Path, text: str = TEXT, **rights: str) -> dict[str, Any]:
    sha1 = hashlib.sha1(text.encode()).hexdigest()
    return {"path": str(path), "kind": "file", "sha1": sha1, "mode": "0644", **rights}


@pytest.fixture
def there(tmp_path: Path) -> Path:
    path = tmp_path / "there"
    path.write_text(TEXT)
    path.chmod(0o644)
    return path


def test_what_is_as_wanted_is_left_alone(there: Path) -> None:
    found = there.stat()
    me = {"owner": str(found.st_uid), "group": str(found.st_gid)}
    line = {"path": str(there), "kind": "line", "line": "b = 2", "mode": "0644"}
    folder = {"path": str(there.parent), "kind": "folder", "mode": "0700"}
    there.parent.chmod(0o700)
    nothing = {"path": str(there.parent / "nothing"), "kind": "absent"}
    assert ask(file(there, **me), line, folder, nothing) == {"differ": [], "extra": []}


@pytest.mark.parametrize(
    "wanted",
    [
        {"sha1": "0" * 40},
        {"mode": "0600"},
        {"mode": "4644"},
        {"owner": "4242"},
        {"group": "4242"},
        {"owner": "nobody-has-this-name"},
        {"kind": "line", "line": "b = 3"},
        {"kind": "line", "line": "b = "},
        {"kind": "folder"},
        {"kind": "absent"},
    ],
)
def test_what_is_not_as_wanted_is_named(there: Path, wanted: dict[str, str]) -> None:
    assert ask(file(there) | wanted)["differ"] == [str(there)]


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    missing, folder = tmp_path / "missing", tmp_path / "folder"
    asked = ask(file(missing), {"path": str(folder), "kind": "only", "mode": "0755"})
    assert asked == {"differ": [str(missing), str(folder)], "extra": []}


def test_what_is_in_a_folder_and_not_to_be_there_is_named(there: Path) -> None:
    left = there.parent / "left"
    left.mkdir()
    asked = ask(file(there), {"path": str(there.parent), "kind": "only", "mode": "0700"})
    there.parent.chmod(0o700)
    assert asked["extra"] == [str(left)]


def test_a_dangling_link_is_something(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "nowhere")
    assert ask({"path": str(link), "kind": "absent"})["differ"] == [str(link)]
