"""The call journal: every call and turn, and the callbacks promised, in a database."""

from voicebot.journal.records import (
    CallbackRequest,
    CallEndRecord,
    CallStartRecord,
    TurnRecord,
    UseRecord,
)
from voicebot.journal.schema import JournalError
from voicebot.journal.writer import Journal

__all__ = [
    "CallEndRecord",
    "CallStartRecord",
    "CallbackRequest",
    "Journal",
    "JournalError",
    "TurnRecord",
    "UseRecord",
]
