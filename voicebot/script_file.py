"""Reads a script file from disk; the checks are :mod:`voicebot.dialogue.script_check`'s."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml

from voicebot.dialogue import script_check
from voicebot.dialogue.script import Script, ScriptError


class _Loader(yaml.SafeLoader):
    """YAML without booleans: in a script, yes, no and on are words that people say."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if not tag.endswith(":bool")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}

SHIPPED = Path(str(resources.files("voicebot") / "data" / "scripts" / "sav.fr.yaml"))


def load(path: Path | None = None) -> Script:
    """The script at *path*, or the shipped one. Raises ScriptError; each fault names the file."""
    path = path or SHIPPED
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 -- a SafeLoader
    except FileNotFoundError:
        raise ScriptError([f"{path}: no such file (SCRIPT_FILE)"]) from None
    except OSError as error:
        raise ScriptError([f"{path}: cannot be read: {error.strerror} (SCRIPT_FILE)"]) from None
    except UnicodeDecodeError as error:
        raise ScriptError([f"{path}: is not UTF-8 text (byte {error.start})"]) from None
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f" line {where.line + 1}" if where else ""
        problem = getattr(error, "problem", None) or "is not YAML"
        raise ScriptError([f"{path}:{line} {problem}"]) from None
    try:
        script = script_check.parse(data)
    except ScriptError as error:
        raise ScriptError([f"{path}: {fault}" for fault in error.faults]) from None
    try:
        ZoneInfo(script.hours.timezone)
    except (ZoneInfoNotFoundError, ValueError):
        raise ScriptError(
            [f"{path}: hours.timezone: no such time zone {script.hours.timezone!r}"]
        ) from None
    return script
