"""``voicebot callbacks``: who is waiting to be called back, and noting that it was done."""

from __future__ import annotations

import argparse
import getpass
import os
from datetime import UTC, datetime

from voicebot.commands.listing import local, print_json, print_table, text, with_journal
from voicebot.journal.reader import JournalReader, Row

HELP = "list the callers who wait for a technician to call back, or mark one as done"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this command on *parser*."""
    parser.add_argument("--all", action="store_true", help="include those already done")
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    parser.add_argument("--done", type=int, metavar="ID", help="mark this one as called back")


def run(args: argparse.Namespace) -> int:
    """Print or note it; 1 if there is no such callback or no journal, 2 for faulty settings."""
    if args.done is not None:
        return with_journal(lambda reader: _done(reader, args.done))
    return with_journal(lambda reader: _list(reader, done_too=args.all, as_json=args.json))


def _done(reader: JournalReader, callback: int) -> int:
    reader.mark_done(callback, at=datetime.now(UTC), by=_user())
    print(f"callback {callback} is done")
    return 0


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"  # a container's user need not have a name


def _list(reader: JournalReader, *, done_too: bool, as_json: bool) -> int:
    rows = reader.callbacks(done_too=done_too)
    if as_json:
        print_json(rows)
    elif not rows:
        print("no callback request" if done_too else "nobody is waiting to be called back")
    else:
        heads = ("ID", "ASKED", "NUMBER", "NAME", "REASON", "CALL", "DONE")
        print_table(heads, [_line(row) for row in rows])
    return 0


def _line(row: Row) -> tuple[str, ...]:
    done = "-" if row["done_at"] is None else f"{local(row['done_at'])} by {row['done_by']}"
    return (
        str(row["id"]),
        local(row["requested_at"]),
        row["number"],
        text(row["name"]),
        text(row["reason"]),
        text(row["call_id"])[:8],
        done,
    )
