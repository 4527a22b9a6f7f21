"""The place of backups: snapshots are listed, share what has not changed, and are removed."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from voicebot.archive import ArchiveError
from voicebot.archive.place import MANIFEST, Snapshot, name_for
from voicebot.archive.rsync import RsyncPlace

FIRST, SECOND = "2026-03-14T040000Z", "2026-03-15T040000Z"

# Stands in for ssh: takes the user and the host away, and has a shell run the rest, as sshd does.
SSH = """#!/bin/sh
[ "$1 $2" = "-l backup" ] || exit 77
echo "$3" >> "$0.hosts"
shift 3
exec sh -c "$*"
"""


# The same for an account that is held to rsync below one folder, as the documentation says.
RESTRICTED = """#!/bin/sh
shift 3
SSH_CLIENT="127.0.0.1 1 2" SSH_ORIGINAL_COMMAND="$*" exec rrsync "${0%/*}/all backups"
"""


@pytest.fixture(params=["local", "ssh", "relative", "restricted"])
def place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> RsyncPlace:
    """A place that does not exist yet, with a space in its name."""
    root = tmp_path / "all backups"
    if request.param == "local":
        monkeypatch.delenv("RSYNC_RSH", raising=False)
        return RsyncPlace(str(root))
    ssh = tmp_path / "ssh"
    ssh.write_text(RESTRICTED if request.param == "restricted" else SSH)
    ssh.chmod(0o755)
    monkeypatch.setenv("RSYNC_RSH", str(ssh))
    if request.param == "relative":
        monkeypatch.chdir(tmp_path)  # where the account of the other host begins
        return RsyncPlace("backup@vault:all backups")
    if request.param == "restricted":
        root.mkdir()
        return RsyncPlace("backup@vault:/")
    return RsyncPlace(f"backup@vault:{root}")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    (source / "day").mkdir(parents=True)
    (source / "day" / "été.wav").write_bytes(b"sound")
    (source / MANIFEST).write_text("sums")
    return source


def inode(tmp_path: Path, snapshot: str) -> int:
    return (tmp_path / "all backups" / snapshot / "sounds" / "day" / "été.wav").stat().st_ino


def test_a_snapshot_counts_once_its_manifest_has_come(
    place: RsyncPlace, files: Path, tmp_path: Path
) -> None:
    assert place.snapshots() == []
    place.put(files, ["day/été.wav"], f"{FIRST}/sounds")
    assert place.snapshots() == [Snapshot(FIRST, complete=False)]
    place.put(files, [MANIFEST], FIRST)
    assert place.snapshots() == [Snapshot(FIRST, complete=True)]
    (tmp_path / "all backups" / "something else").mkdir()
    assert [one.name for one in place.snapshots()] == [FIRST]
    if (tmp_path / "ssh.hosts").exists():
        assert set((tmp_path / "ssh.hosts").read_text().split()) == {"vault"}


def test_what_has_not_changed_is_shared(place: RsyncPlace, files: Path, tmp_path: Path) -> None:
    place.put(files, ["day/été.wav"], f"{FIRST}/sounds")
    place.put(files, ["day/été.wav"], f"{SECOND}/sounds", [f"{FIRST}/sounds"])
    assert inode(tmp_path, FIRST) == inode(tmp_path, SECOND)

    (files / "day" / "été.wav").write_bytes(b"other sound")
    third = "2026-03-16T040000Z"
    place.put(files, ["day/été.wav"], f"{third}/sounds", [f"{SECOND}/sounds", f"{FIRST}/sounds"])
    assert inode(tmp_path, third) != inode(tmp_path, SECOND)


def test_a_snapshot_comes_back_and_goes(place: RsyncPlace, files: Path, tmp_path: Path) -> None:
    for name in (FIRST, SECOND):
        place.put(files, ["day/été.wav"], f"{name}/sounds")
        place.put(files, [MANIFEST], name)
    place.get(FIRST, tmp_path / "back")
    assert (tmp_path / "back" / "sounds" / "day" / "été.wav").read_bytes() == b"sound"
    assert (tmp_path / "back" / MANIFEST).read_text() == "sums"

    place.get("", tmp_path / "some", only=("/*/", f"/*/{MANIFEST}"))
    names = {str(p.relative_to(tmp_path / "some")) for p in (tmp_path / "some").rglob("*.*")}
    assert names == {f"{FIRST}/{MANIFEST}", f"{SECOND}/{MANIFEST}"}

    place.remove([Snapshot(FIRST, complete=True)])
    assert place.snapshots() == [Snapshot(SECOND, complete=True)]
    assert [path.name for path in (tmp_path / "all backups").iterdir()] == [SECOND]


def test_a_name_tells_when_it_was_taken() -> None:
    moment = datetime(2026, 3, 14, 4, 0, 3, tzinfo=UTC)
    assert name_for(moment) == "2026-03-14T040003Z"
    assert Snapshot(name_for(moment), complete=True).taken == moment


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("", "BACKUP_TARGET"),
        ("s3://bucket/voicebot", "host:path"),
        ("host::module", "host:path"),
        ("host:", "host:path"),
        ("-oProxyCommand=x:path", "host:path"),
    ],
)
def test_a_target_that_cannot_be_is_refused(target: str, says: str) -> None:
    with pytest.raises(ArchiveError, match=says):
        RsyncPlace(target)


def test_a_colon_behind_a_slash_is_no_host() -> None:
    assert not RsyncPlace("/srv/a:b").remote
    assert not RsyncPlace("./a:b").remote
    assert RsyncPlace("vault:backups").remote


def test_a_host_that_does_not_answer_is_named_with_what_to_try(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RSYNC_RSH", "false")
    with pytest.raises(ArchiveError, match=r"vault:/b: rsync failed .*`ssh .* vault true` must"):
        RsyncPlace("vault:/b").put(files, [MANIFEST], FIRST)


def test_without_rsync_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ArchiveError, match="apt-get install rsync"):
        RsyncPlace("/srv/b").snapshots()
