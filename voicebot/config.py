"""The settings: read, checked, frozen.

Environment variables win over secret files (one a setting, in the directory that
``VOICEBOT_SECRETS_DIR`` names), and these over the settings file (``.env`` in the working
directory, or the file that ``VOICEBOT_ENV_FILE`` names). Nothing else in the package reads any of
them. ``load()`` checks everything at once and reports every fault together, so that an operator
mends the files in one go. Which settings there are is :mod:`voicebot.settings.table`.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from voicebot.settings import checks, files
from voicebot.settings.table import Settings, described

__all__ = ["Settings", "SettingsError", "described", "load"]


class SettingsError(Exception):
    """One or more settings are wrong. ``faults`` has a full sentence for each."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


def load(environ: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """Read, check and freeze the settings; *overrides* (from a command line) win.

    Raises SettingsError naming each bad key, its value (unless secret) and what is allowed.
    """
    environ = os.environ if environ is None else environ
    file = Path(environ.get("VOICEBOT_ENV_FILE", ".env"))
    faults: list[str] = []
    from_file = files.read_file(file, "VOICEBOT_ENV_FILE" in environ, faults)
    secrets = Path(environ.get("VOICEBOT_SECRETS_DIR", ""))
    from_secrets = (
        files.read_secrets(secrets, faults) if environ.get("VOICEBOT_SECRETS_DIR") else {}
    )
    sources = [("environment", environ), (str(secrets), from_secrets), (str(file), from_file)]

    values: dict[str, Any] = {}
    known = {f.metadata["env"] for f in described()}
    for f in described():
        env = f.metadata["env"]
        source, text = next(
            ((name, texts[env]) for name, texts in sources if env in texts), ("", "")
        )
        if not source:
            continue
        try:
            values[f.name] = f.metadata["parse"](text.strip())
        except ValueError as error:
            hidden = f.metadata["secret"] or source == str(secrets)
            faults.append(f"{env}={'(hidden)' if hidden else repr(text)} ({source}): {error}")
    for source, texts in sources[1:]:
        for key in texts.keys() - known:
            close = difflib.get_close_matches(key, known, 1)
            hint = f"; did you mean {close[0]}?" if close else "; see .env.example"
            faults.append(f"{key} ({source}): no such setting{hint}")
    if faults:
        raise SettingsError(faults)
    settings = Settings(**{**values, **overrides})
    faults = checks.faults(settings)
    if faults:
        raise SettingsError(faults)
    return settings
