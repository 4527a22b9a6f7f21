"""The roles' variables as tables, from their argument specifications and defaults.

``python ansible/roles.py ROLE`` prints the README of one role, ``python ansible/roles.py`` the page
of all of them. `make docs` writes both.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

ROLES = Path(__file__).resolve().parent / "roles"
INTERNAL = ("files", "preflight", "release", "unit")
"""Roles that others use, or that have nothing for an operator to choose."""


def load(role: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The argument specification of *role*, and its defaults as they are written."""
    folder = ROLES / role
    specs = yaml.safe_load((folder / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))
    defaults = yaml.safe_load((folder / "defaults" / "main.yml").read_text(encoding="utf-8"))
    return specs["argument_specs"]["main"], defaults or {}


def names() -> list[str]:
    """All roles, in the order of site.yml, then those that only other roles use."""
    (play,) = yaml.safe_load((ROLES.parent / "site.yml").read_text(encoding="utf-8"))
    order = [entry["role"] for entry in play["roles"]]
    return order + sorted(p.name for p in ROLES.iterdir() if p.name not in order)


def default_of(option: dict[str, Any]) -> str:
    """A default as it is shown: as YAML would have it, or in words."""
    if option.get("required"):
        return "required"
    value = option.get("default", "")
    if isinstance(value, str) and option["type"] != "str":
        return value  # words, where it is computed
    return f"`{json.dumps(value, ensure_ascii=False)}`"


def rows(options: dict[str, Any], prefix: str = "") -> list[str]:
    """A line of the table for each option, and for the keys of those that are dictionaries."""
    lines = []
    for name, option in options.items():
        text = " ".join(str(option["description"]).split()).replace("|", "\\|")
        kind = option["type"]
        if kind == "list":
            kind = f"list of {option.get('elements', 'any')}"
        if choices := option.get("choices"):
            kind = ", ".join(f"`{choice}`" for choice in choices)
        shown = default_of(option) if "default" in option or option.get("required") else ""
        lines.append(f"| {prefix}`{name}` | {kind} | {shown} | {text} |")
        lines += rows(option.get("options", {}), f"{prefix}· ")
    return lines


def table(role: str) -> str:
    """Everything there is to say about the variables of *role*."""
    spec, _ = load(role)
    parts = [spec["short_description"] + "."]
    description = spec.get("description", [])
    parts += [description] if isinstance(description, str) else description
    text = "\n\n".join(parts)
    lines = ["| Variable | Type | Default | What |", "|---|---|---|---|", *rows(spec["options"])]
    return text + "\n\n" + "\n".join(lines)


def readme(role: str) -> str:
    """The README of *role*."""
    return (
        f"# Role {role}\n\n"
        "<!-- Made by `make docs` from meta/argument_specs.yml; do not edit. -->\n\n"
        f"{table(role)}"
    )


def page() -> str:
    """The reference page of all roles that an operator sets variables of."""
    head = (
        "# Playbook variables\n\n"
        "<!-- Made by `make docs` from meta/argument_specs.yml of each role; do not edit. -->\n\n"
        "Set them in `group_vars/appliance/vars.yml` in your inventory; passwords and keys in the\n"
        "vault. All mistakes are reported at once, before anything is changed. Sites need not\n"
        "touch those that are set in `group_vars/all.yml`."
    )
    shown = [role for role in names() if role not in INTERNAL]
    return "\n\n".join([head, *(f"## {role}\n\n{table(role)}" for role in shown)])


if __name__ == "__main__":
    print(readme(sys.argv[1]) if len(sys.argv) > 1 else page())
