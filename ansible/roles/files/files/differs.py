"""Say which of the wanted files and folders are not on this host as they are wanted.

Reads a list of them from standard input, and prints two lists of paths: `differ` of what is to be
written, `extra` of what is in a folder and not to be there. Changes nothing. Runs on the host, with
the Python that it comes with (3.10 on Ubuntu 22.04).
"""

import grp
import hashlib
import json
import pwd
import stat
import sys
from pathlib import Path

FOLDERS = ("folder", "only")


def number(name: str, of: str) -> int:
    """A mode, or the id of a user or a group; -1 if the host does not know it (yet)."""
    if of == "mode":
        return int(name, 8)
    if name.isdigit():
        return int(name)
    try:
        return pwd.getpwnam(name).pw_uid if of == "owner" else grp.getgrnam(name).gr_gid
    except KeyError:
        return -1


def as_wanted(wanted: dict) -> bool:
    path, kind = Path(wanted["path"]), wanted["kind"]
    try:
        found = path.stat()
    except OSError:
        return kind == "absent" and not path.is_symlink()
    if kind == "absent" or stat.S_ISDIR(found.st_mode) != (kind in FOLDERS):
        return False
    rights = {"mode": stat.S_IMODE(found.st_mode), "owner": found.st_uid, "group": found.st_gid}
    if any(of in wanted and has != number(wanted[of], of) for of, has in rights.items()):
        return False
    if kind in FOLDERS:
        return True
    content = path.read_bytes()
    if kind == "line":
        return wanted["line"].encode() in content.splitlines()
    return hashlib.sha1(content).hexdigest() == wanted["sha1"]  # noqa: S324 -- nobody forges it


everything = json.load(sys.stdin)
paths = {wanted["path"] for wanted in everything}
extra = [
    str(there)
    for wanted in everything
    if wanted["kind"] == "only" and Path(wanted["path"]).is_dir()
    for there in sorted(Path(wanted["path"]).iterdir())
    if str(there) not in paths
]
differ = [wanted["path"] for wanted in everything if not as_wanted(wanted)]
print(json.dumps({"differ": differ, "extra": extra}))
