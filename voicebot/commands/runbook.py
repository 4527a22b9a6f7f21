"""``voicebot runbook``: what to do about an alert, for whoever has nothing but this host.

The pages are those of ``docs/runbooks``, and that of on-call with the levers that they name. They
are in the package as links, and so in the images. No setting is read, as that may be what is wrong.
"""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from pathlib import Path

from voicebot.commands.listing import print_table

DATA = Path(__file__).parent.parent / "data"
OTHERS = {
    "README": "no alert, but something is wrong: by what you see",
    "be-on-call": "the first five minutes, and the levers: divert, drain, roll back, …",
}
"""Pages that are no alert's."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this command on *parser*."""
    parser.add_argument(
        "name", nargs="?", help="an alert, or its link to the runbook; without, they are listed"
    )


def run(args: argparse.Namespace) -> int:
    """Print the list, or one page as it is; 1 if there is no such page."""
    found = pages()
    if args.name is None:
        print_table(("RUNBOOK", "SEVERITY", "WHAT IT SAYS"), listed(found))
        return 0
    asked = stem(args.name)
    page = {name.lower(): path for name, path in found.items()}.get(asked.lower())
    if page is None:
        close = near(asked, list(found))
        hint = f"did you mean {' or '.join(close)}?" if close else "`voicebot runbook` lists them"
        print(f"there is no runbook {asked!r}: {hint}", file=sys.stderr)
        return 1
    print(page.read_text(encoding="utf-8"), end="")
    return 0


def pages() -> dict[str, Path]:
    """Every page that there is, by its name."""
    books = {page.stem: page for page in sorted((DATA / "runbooks").glob("*.md"))}
    return {**books, "be-on-call": DATA / "be-on-call.md"}


def listed(found: dict[str, Path]) -> list[tuple[str, str, str]]:
    """A row for each page, in the order of the index: name, severity, what its alert says."""
    index = found["README"].read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[(\w+)\]\(\1\.md\) \| (.*?) \| (.*) \|$", index, flags=re.M)
    return [*rows, *((name, "-", what) for name, what in OTHERS.items())]


def stem(name: str) -> str:
    """The name of the page that *name*, or a link as an alert has it, means."""
    return name.strip().partition("#")[0].rpartition("/")[2].removesuffix(".md")


def near(asked: str, names: list[str]) -> list[str]:
    """Those that have *asked* in them, if it says enough, or else look like it."""
    small = {name.lower(): name for name in names}
    within = [name for key, name in small.items() if asked.lower() in key]
    alike = difflib.get_close_matches(asked.lower(), small, n=3, cutoff=0.7)
    return within if 0 < len(within) <= 5 else [small[key] for key in alike]
