"""The conversation as it happens: who said what when, and how long the other took to answer.

Sits between the line and the customer: it passes everything through, and notes what the customer
says (from the customer itself), what the bot says and understands (from the event feed), and, live,
the time from the end of an answer to the bot's first sound. A line of the bot is held back until
its first sound is heard, so that its latency can stand beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from voicebot.simulator.customer import Answer, Customer, Kind, is_audible, plain

#: A line of the bot whose sound has not come by then is shown without a latency.
_HOLD_SECONDS = 0.6


class Who(Enum):
    """Whose line it is."""

    CALLER = "caller"
    KEYS = "keys"
    BOT = "bot"
    CUT = "cut"
    """What of the bot's line was heard before the customer interrupted."""
    HEARD = "heard"
    """What the bot understood of the customer."""
    STATE = "state"
    END = "end"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the transcript."""

    at: float
    """Seconds since the call was dialled."""
    who: Who
    text: str
    latency: float | None = None
    """Of the bot's line, if it answers the customer. Live; the report measures it on the tape."""


class Transcript:
    """Records one call; *show* is called with each entry as soon as it is complete."""

    def __init__(
        self, customer: Customer, start: float, show: Callable[[Entry], None] | None = None
    ) -> None:
        self._customer = customer
        self._start = start
        self._show = show
        self._noted_answers = 0
        self._unanswered: Answer | None = None
        self._latency: float | None = None
        self._held: tuple[float, str] | None = None
        self.entries: list[Entry] = []
        self.outcome: str | None = None
        self.ended: Mapping[str, Any] = {}
        """The feed's last event, with what the call cost."""

    def said(self, who: Who) -> list[Entry]:
        """All entries of one kind."""
        return [entry for entry in self.entries if entry.who is who]

    # -- the customer's line

    def frame_heard(self, pcm: bytes, now: float) -> None:
        self._customer.frame_heard(pcm, now)
        waiting = self._unanswered is not None and now >= self._unanswered.end
        if (waiting or self._held) and is_audible(pcm):
            if waiting and self._unanswered is not None:
                self._latency = now - self._unanswered.end
                self._unanswered = None
            self._release()

    def next_frame(self, now: float) -> bytes:
        frame = self._customer.next_frame(now)
        for answer in self._customer.answers[self._noted_answers :]:
            self._noted_answers += 1
            self._unanswered = answer
            who = Who.KEYS if answer.kind is Kind.KEYS else Who.CALLER
            self._add(answer.start, who, answer.text)
        if self._held and now - self._held[0] > _HOLD_SECONDS:
            self._release()
        return frame

    def next_digit(self, now: float) -> str | None:
        return self._customer.next_digit(now)

    def wants_hangup(self, now: float) -> bool:
        return self._customer.wants_hangup(now)

    # -- the event feed

    def event(self, event: Mapping[str, Any], now: float) -> None:
        """Take one event of the service's feed; kinds that are not known here are passed over."""
        text = plain(str(event.get("text", "")))
        match event.get("event"):
            case "bot_said":
                self._customer.bot_said(text, now)
                self._release()
                self._held = (now, text)
            case "bot_cut":
                self._customer.bot_cut(text, now)
                self._add(now, Who.CUT, text)
            case "caller_said":
                self._add(now, Who.HEARD, text)
            case "state":
                self._add(now, Who.STATE, str(event.get("state", "")))
            case "ended":
                self.ended = event
                self.outcome = str(event.get("outcome", ""))
                self._add(now, Who.END, self.outcome)

    def close(self) -> None:
        """Show what is still held back."""
        self._release()

    def _release(self) -> None:
        if self._held is None:
            return
        at, text = self._held
        self._held = None
        latency, self._latency = self._latency, None
        self._append(Entry(at - self._start, Who.BOT, text, latency))

    def _add(self, at: float, who: Who, text: str) -> None:
        self._release()
        self._append(Entry(at - self._start, who, text))

    def _append(self, entry: Entry) -> None:
        self.entries.append(entry)
        if self._show is not None:
            self._show(entry)
