"""The files that settings are read from: one of ``KEY=value`` lines, and one a secret.

Secrets have files of their own so that they are in no environment, no image and no command line,
where other programs see them. Nothing here knows which settings there are
(:mod:`voicebot.settings.table`). A fault is a sentence that names the file and what to do.
"""

from __future__ import annotations

import io
import os
from pathlib import Path

MOST_SECRET_BYTES = 65_536


def read_file(file: Path, required: bool, faults: list[str]) -> dict[str, str]:
    """The ``KEY=value`` lines of *file*. What is wrong is appended to *faults*."""
    try:
        return _values(file.read_text(encoding="utf-8"), file, faults)
    except FileNotFoundError:
        if required:
            faults.append(f"VOICEBOT_ENV_FILE={str(file)!r}: no such file")
    except (OSError, UnicodeDecodeError) as error:
        faults.append(
            f"{file}: cannot be read ({error}); it must be UTF-8 text, one KEY=value a line"
        )
    return {}


def _values(text: str, file: Path, faults: list[str]) -> dict[str, str]:
    # Where no file is read (the playbook checks settings on its controller) there is no dotenv.
    from dotenv import dotenv_values
    from dotenv.parser import parse_stream

    unreadable = [
        f"{file}, line {found.original.line}: is not KEY=value; is a quote open?"
        for found in parse_stream(io.StringIO(text))
        if found.error
    ]
    if unreadable:  # dotenv would leave these out
        faults += unreadable
        return {}
    # As it is written: a password may well have a ${ in it.
    found = dotenv_values(stream=io.StringIO(text), interpolate=False)
    return {k: v or "" for k, v in found.items()}


def read_secrets(directory: Path, faults: list[str]) -> dict[str, str]:
    """Each file of *directory* is a setting: its name is the setting's, its content the value.

    What begins with a dot, and directories, are not ours: a mounted volume has its own. What is
    wrong is appended to *faults*, without a word of the content.
    """
    found: dict[str, str] = {}
    try:
        files = sorted(path for path in directory.iterdir() if not path.name.startswith("."))
    except OSError as error:
        faults.append(
            f"VOICEBOT_SECRETS_DIR={str(directory)!r}: {error.strerror}{_who_asks(error)}"
        )
        return {}
    for path in files:
        try:
            if path.is_dir():
                continue
            with path.open("rb") as stream:
                data = stream.read(MOST_SECRET_BYTES + 1)
        except OSError as error:
            faults.append(f"{path}: cannot be read: {error.strerror}{_who_asks(error)}")
            continue
        try:
            text = data.decode().strip()
        except UnicodeDecodeError:
            text = "\0"
        if not text:
            faults.append(f"{path}: is empty; write the value into it, or remove the file")
        elif len(data) > MOST_SECRET_BYTES or not text.isprintable():
            faults.append(f"{path}: must hold the value alone, one line of text")
        else:
            found[path.name] = text
    return found


def _who_asks(error: OSError) -> str:
    if not isinstance(error, PermissionError):
        return ""
    return (
        f"; this process has uid {os.geteuid()} and gid {os.getegid()}: give it mode 0440 and "
        f"group {os.getegid()}, and each directory above it the right to be entered"
    )
