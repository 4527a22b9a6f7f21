"""Look at where a backup goes, try the way there by SSH, and say what is wrong. No secret.

Reads from standard input the target, the key and the machine's line of known_hosts. What is wrong
with these will be so each night, and is a fault. A machine that does not answer may be down for the
moment, and a folder may be on this disk on purpose: such a line begins with WARNING. Changes
nothing, here or there. Runs on the host, with the Python that it comes with (3.10 on Ubuntu 22.04).
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

PATIENCE = 10  # seconds in which the machine must have answered
AFTERWARDS = (
    "so nobody knows whether it takes backup_ssh_key. When it is back: voicebot-backup on this host"
)


def place(target: str) -> tuple[str, str, str]:
    """User, machine and port of where *target* is; the container's user if none is named."""
    where = re.sub("^(restic:)?(sftp:)?", "", target)
    form = r"(?:([^@/]+)@)?(\[[^]]+\]|[^:/]+)"
    found = re.match(f"//{form}(?::([0-9]+))?(?:/|$)", where) or re.match(f"{form}():", where)
    if not found:
        return "", "", ""
    user, machine, port = found.groups()
    return user or "voicebot", machine.strip("[]"), port or "22"


def disk(path: str) -> int:
    """That *path* is on, or will be."""
    return next(p for p in (Path(path), *Path(path).parents) if p.exists()).stat().st_dev


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
        check=False, timeout=3 * PATIENCE,
    )  # fmt: skip


def problem(folder: Path, target: str, key: str, host_key: str) -> str:
    """What there is to say; empty if the machine lets us in."""
    user, machine, port = place(target)
    if not machine:
        return f"backup_target: in {target!r} there is no name of a machine"
    files = folder / "key", folder / "known_hosts"
    for file, text in zip(files, (key, host_key), strict=True):
        file.touch(mode=0o600)
        file.write_text(text.strip() + "\n")
    public = run("ssh-keygen", "-y", "-P", "", "-f", str(files[0]))
    if "passphrase" in public.stderr:
        return (
            "backup_ssh_key: has a passphrase, and nobody is there to type it at night. Take it "
            "off (ssh-keygen -p -N '' -f KEY), the vault protects it"
        )
    if public.returncode:
        return "backup_ssh_key: is no private key as ssh-keygen makes one; is it all of it?"
    tried = run(
        "ssh", "-F", "none", "-T", "-i", str(files[0]), "-p", port, "-l", user,
        "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=yes",
        "-o", f"UserKnownHostsFile={files[1]}", "-o", "GlobalKnownHostsFile=/dev/null",
        "-o", f"ConnectTimeout={PATIENCE}", "--", machine, "true",
    )  # fmt: skip
    # 255 is ssh's own. Any other is that of what runs there: some accounts may run rsync alone.
    if tried.returncode != 255:
        return ""
    if "Host key verification failed" in tried.stderr:
        scan = f"ssh-keyscan {'' if port == '22' else f'-p {port} '}{machine}"
        what = (
            f"is not the key that {machine} shows"
            if "IDENTIFICATION HAS CHANGED" in tried.stderr
            else f"has no line of known_hosts for {machine}"
        )
        return f"backup_ssh_host_key: {what}: `{scan}`, compared with what the machine itself says"
    if "Permission denied" in tried.stderr or "Too many authentication" in tried.stderr:
        half = " ".join(public.stdout.split()[:2])
        return (
            f"backup_ssh_key: {machine} does not let {user} in with it: that user's "
            f"authorized_keys there must have its public half, {half}"
        )
    said = (tried.stderr.strip().splitlines() or ["it said nothing"])[-1]
    return f"WARNING: backup_target: {machine} cannot be reached now ({said}), {AFTERWARDS}"


def look(target: str, key: str, host_key: str) -> str:
    """What there is to say, of another machine or of a folder here; empty if all is well."""
    folder = target.removeprefix("restic:")
    if folder.startswith("/"):
        if disk(folder) != disk("/var/lib/voicebot"):
            return ""
        return (
            f"WARNING: backup_target: {folder} is on the disk that has journal and recordings: "
            "what takes one will take both. Is the other disk mounted?"
        )
    try:
        with tempfile.TemporaryDirectory() as where:
            return problem(Path(where), target, key, host_key)
    except FileNotFoundError:
        return "WARNING: backup_target: this host has no ssh to try it with: voicebot-backup does"
    except subprocess.TimeoutExpired:
        return f"WARNING: backup_target: its machine does not answer in time, {AFTERWARDS}"


site = json.load(sys.stdin)
found = look(site["target"], site["key"], site["host_key"])
if found:
    print(found)
