"""How the commands that read the journal open it and print what they find."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import datetime
from typing import Any

from voicebot import config
from voicebot.journal import JournalError
from voicebot.journal.reader import JournalReader, Row


def with_journal(show: Callable[[JournalReader], int]) -> int:
    """Run *show* on the journal of the settings; what goes wrong is told in a line.

    Returns the exit status: of *show*, 1 if the journal cannot serve, 2 for faulty settings.
    A reader that has seen enough (``voicebot calls | head``) is no fault.
    """
    try:
        url = config.load().journal_url
    except config.SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    try:
        with closing(JournalReader(url)) as reader:
            status = show(reader)
            sys.stdout.flush()
            return status
    except BrokenPipeError:
        # What is still buffered goes nowhere, or the interpreter complains when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except JournalError as error:
        print(error, file=sys.stderr)
        return 1


def print_json(rows: Sequence[Row]) -> None:
    """One object a line; times are ISO 8601, UTC."""
    for row in rows:
        print(json.dumps(row, ensure_ascii=False, default=datetime.isoformat))


def print_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as their widest cell."""
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    for row in (heads, *rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())


def local(moment: datetime) -> str:
    """In the time zone of whoever reads."""
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"


def clock(seconds: float) -> str:
    """Minutes and seconds, as 1:42."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def text(value: Any) -> str:
    """A dash for what is not known."""
    return "-" if value in (None, "") else str(value)
