"""A voicebot's belongings as they lie on disk after some days: recordings and a journal."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import wave
from array import array
from contextlib import closing
from datetime import UTC, datetime, timedelta
from math import pi, sin
from pathlib import Path

from voicebot.cli import main
from voicebot.journal import CallbackRequest, CallEndRecord, CallStartRecord, Journal, TurnRecord
from voicebot.telemetry.metrics import Metrics

NOW = datetime(2026, 3, 14, 12, 0, 5, tzinfo=UTC)
PIERRE = "0612345678"
MARIE = "0698765432"
RATE = 8000


def call_id(number: int) -> str:
    return f"3f2a7f0e-8a4b-4a53-9a56-{number:012x}"


def tone(seconds: float, channels: int = 2) -> bytes:
    """A sound whose channels differ."""
    samples = array("h")
    for n in range(int(seconds * RATE)):
        samples.extend(int(6000 * sin(2 * pi * 300 * (c + 1) * n / RATE)) for c in range(channels))
    return samples.tobytes()


def write_wav(path: Path, seconds: float = 0.5, sound: bytes | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(tone(seconds) if sound is None else sound)
    return path


class House:
    """Folders below one root, and the environment of the commands set to them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.recordings = root / "recordings"
        self.journal_file = root / "journal.db"
        self.journal_url = f"sqlite:///{self.journal_file}"
        self.backups = root / "backups"
        self.cache = root / "cache"
        self.environment = {
            "RECORDINGS_DIR": str(self.recordings),
            "JOURNAL_URL": self.journal_url,
            "CONTROL_PORT": "0",
            "CACHE_DIR": str(self.cache),
            "VOICEBOT_ENV_FILE": os.devnull,
            "TZ": "UTC",
        }

    def record(self, number: int, *, at: datetime = NOW, suffix: str = ".wav") -> Path:
        """The recording of call *number*."""
        name = f"{at:%Y-%m-%d}/{at:%H%M%S}-{call_id(number)}"
        return write_wav(self.recordings / f"{name}{suffix}")

    def write_noise(self, number: int, *, megabytes: int) -> Path:
        """A recording that no compression makes smaller."""
        path = self.recordings / f"{NOW:%Y-%m-%d}/{NOW:%H%M%S}-{call_id(number)}.wav"
        return write_wav(path, sound=random.Random(number).randbytes(megabytes * 1_000_000))

    def live(
        self,
        number: int,
        phone: str | None = PIERRE,
        *,
        at: datetime = NOW,
        said: str = "Ma box ne marche plus.",
        callback: bool = False,
        traffic: str = "live",
    ) -> Path:
        """A call that was held: in the journal, and recorded. The path of the recording."""
        recording = self.record(number, at=at)
        name = "Pierre Dupont" if phone == PIERRE else "Marie Martin"
        call = call_id(number)
        journal = Journal(self.journal_url, Metrics())
        journal.call_started(CallStartRecord(call_id=call, started_at=at, traffic=traffic))
        journal.turn_ended(
            TurnRecord(
                call_id=call, number=1, started_at=at + timedelta(seconds=7), state_from="welcome",
                state_to="identification", outcome="answered", caller_text=said,
                bot_text="Très bien, j'ai compris.", response_s=0.84,
            )
        )  # fmt: skip
        if callback:
            assert phone is not None
            journal.callback_requested(
                CallbackRequest(call_id=call, requested_at=at, number=phone, name=name)
            )
        journal.call_ended(
            CallEndRecord(
                call_id=call, ended_at=at + timedelta(seconds=60), outcome="completed", turns=1,
                ended_by="bot", caller_name=name,
                caller_number=phone, recording=str(recording),
            )
        )  # fmt: skip
        assert journal.close()
        return recording

    def files(self, below: Path | None = None) -> list[str]:
        """Every file, hidden ones too, relative to *below* (the recordings)."""
        below = self.recordings if below is None else below
        return sorted(str(p.relative_to(below)) for p in below.rglob("*") if p.is_file())


def contents(house: House) -> dict[str, bytes]:
    """Every recording, and every row of the journal."""
    found = {
        name: (house.recordings / name).read_bytes() for name in house.files() if name[0] != "."
    }
    with closing(sqlite3.connect(house.journal_file)) as journal:
        found["journal"] = "\n".join(journal.iterdump()).encode()
    return found


def destroy(house: House) -> None:
    shutil.rmtree(house.recordings)
    for file in house.root.glob("journal.db*"):
        file.unlink()


def voicebot(*words: str) -> int:
    """Run the command line, here."""
    return main(words)
