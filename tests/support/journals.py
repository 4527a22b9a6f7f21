"""A journal for a test, what it is told, and a reader of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from voicebot.journal import (
    CallEndRecord,
    CallStartRecord,
    Journal,
    TurnRecord,
    UseRecord,
)
from voicebot.journal.reader import JournalReader
from voicebot.telemetry.metrics import Metrics

CALL = "3f2a7f0e-8a4b-4a53-9a56-1f1d0a6ad777"


NOON = datetime(2026, 3, 14, 12, 0, 5, tzinfo=UTC)


def url_of(directory: Path) -> str:
    return f"sqlite:///{directory}/var/journal.db"


@contextmanager
def journal_at(url: str, metrics: Metrics | None = None, **options: Any) -> Iterator[Journal]:
    journal = Journal(url, metrics or Metrics(), **options)
    try:
        yield journal
    finally:
        journal.close()


@contextmanager
def reading(url: str) -> Iterator[JournalReader]:
    reader = JournalReader(url)
    try:
        yield reader
    finally:
        reader.close()


def started(call_id: str = CALL, **more: Any) -> CallStartRecord:
    return CallStartRecord(call_id=call_id, started_at=NOON, **more)


def turn(number: int, call_id: str = CALL, **more: Any) -> TurnRecord:
    values: dict[str, Any] = {
        "started_at": NOON + timedelta(seconds=5 * number),
        "state_from": "welcome",
        "state_to": "identification",
        "outcome": "answered",
        **more,
    }
    return TurnRecord(call_id=call_id, number=number, **values)


def ended(call_id: str = CALL, **more: Any) -> CallEndRecord:
    values: dict[str, Any] = {"outcome": "completed", "ended_by": "bot", **more}
    return CallEndRecord(call_id=call_id, ended_at=NOON + timedelta(seconds=102), **values)


def value(metrics: Metrics, name: str) -> float | None:
    return metrics.registry.get_sample_value(name)


def used(model: str, amount: float, cost: float | None) -> UseRecord:
    return UseRecord(
        stage="tts", provider="openai", model=model, unit="characters", amount=amount, cost=cost,
        currency="EUR",
    )  # fmt: skip
