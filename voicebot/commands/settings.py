"""``voicebot settings``: every setting, what it is now and what it means.

Also the source of ``.env.example`` (``--env``) and of ``docs/reference/settings.md``
(``--markdown``). Both are rendered from the table in :mod:`voicebot.settings.table` alone, so that
neither this machine's values nor a secret can get into them.
"""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Iterable
from dataclasses import Field, fields
from itertools import groupby
from typing import Any

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from voicebot import config
from voicebot.archive.place import without_password
from voicebot.settings.values import text_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this command on *parser*."""
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--env", action="store_true", help="print a settings file to start from")
    form.add_argument("--markdown", action="store_true", help="print the documentation page")


def run(args: argparse.Namespace) -> int:
    """Print the table; 0, or 2 when the settings of this machine are faulty."""
    if args.env:
        print(env_file())
        return 0
    if args.markdown:
        print(markdown())
        return 0
    try:
        settings = config.load()
    except config.SettingsError as error:
        print("\n".join(error.faults), file=sys.stderr)
        return 2
    print(table(settings))
    return 0


def env_file() -> str:
    """A settings file with everything in it and nothing set: each line is the default."""
    parts = [
        "# Settings of the voicebot. Copy this file to .env, or point VOICEBOT_ENV_FILE at it,\n"
        "# and uncomment a line to change it; the values shown are the defaults. Environment\n"
        "# variables win over the file. Keys are better kept in files of their own: see\n"
        "# docs/reference/settings.md. `voicebot doctor` checks the result."
    ]
    for group, settings in _groups():
        parts.append(f"# ---- {group} " + "-" * (72 - len(group)))
        for setting in settings:
            meta = setting.metadata
            about = f"{meta['about']} ({meta['unit']})" if meta["unit"] else meta["about"]
            parts.append(textwrap.fill(about, 94, initial_indent="# ", subsequent_indent="# "))
            parts[-1] += f"\n#{meta['env']}={meta['text']}"
    return "\n\n".join(parts)


def markdown() -> str:
    """The reference page."""
    lines = [
        "# Settings",
        "",
        "Generated from `voicebot/settings/table.py` by `make docs`; do not edit.",
        "",
        "Each setting is an environment variable, or a line in the settings file: `.env` in the",
        "working directory, or the file that `VOICEBOT_ENV_FILE` names. The environment wins. All",
        "are checked together at start, and every mistake is reported with the allowed values; an",
        "unknown key in the file is a mistake too. `voicebot settings` prints what is in force.",
        "",
        "Keys and passwords belong in neither: `VOICEBOT_SECRETS_DIR` names a directory with one",
        "file per secret, named after its setting (`DEEPGRAM_API_KEY`) and containing only the",
        "value, mode 0440, with the service's group. It wins over the settings file. A file that",
        "is empty, unreadable or not named after a setting keeps the service from starting; names",
        "that begin with a dot are ignored. systemd credentials and Docker secrets have this form.",
    ]
    for group, settings in _groups():
        lines += ["", f"## {group.capitalize()}", ""]
        lines += ["| Setting | Default | Unit | Meaning |", "|---|---|---|---|"]
        for setting in settings:
            meta = setting.metadata
            default = f"`{meta['text']}`" if meta["text"] else "(empty)"
            about = meta["about"] + (" Secret: never logged." if meta["secret"] else "")
            lines.append(f"| `{meta['env']}` | {default} | {meta['unit']} | {about} |")
    return "\n".join(lines)


def table(settings: config.Settings) -> str:
    """The values in force, one line each; a star marks those that are not the default."""
    defaults = config.Settings()
    rows = []
    for setting in fields(config.Settings):
        value, default = getattr(settings, setting.name), getattr(defaults, setting.name)
        star = " " if value == default else "*"
        meta = setting.metadata
        rows.append(f"{star} {meta['env']:<24} {_shown(value, meta['secret']):<28} {meta['unit']}")
    return "\n".join([*(row.rstrip() for row in rows), "", "* differs from the default"])


def saved(settings: config.Settings) -> str:
    """A settings file of what is not the default, with a place for each secret that is set."""
    lines = ["# Settings in force when this was saved; keys and passwords are not in it."]
    for setting in config.described():
        value, meta = getattr(settings, setting.name), setting.metadata
        text = text_of(value)
        if value == meta["parse"](meta["text"]):
            continue
        if meta["secret"] or _has_password(text):
            lines.append(f"# {meta['env']} was set; fill it in again\n#{meta['env']}=")
        else:
            quoted = text.replace("\\", "\\\\").replace("'", "\\'")
            lines.append(f"{meta['env']}='{quoted}'")
    return "\n".join(lines) + "\n"


def _has_password(text: str) -> bool:
    if "://" not in text:
        return False
    try:
        return make_url(text).password is not None
    except (ArgumentError, ValueError):
        return "@" in text


def _shown(value: Any, secret: bool) -> str:
    if secret:
        return "(set)" if value else "(not set)"
    return without_password(text_of(value))


def _groups() -> Iterable[tuple[str, Iterable[Field[Any]]]]:
    return groupby(config.described(), key=lambda setting: str(setting.metadata["group"]))
