"""What a session tells the journal. Times of day are aware datetimes, durations seconds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CallStartRecord:
    """A call was accepted. Told again for a call that comes back from a failed transfer."""

    call_id: str
    started_at: datetime
    traffic: str = "live"
    """``live`` or ``probe``."""
    script_name: str = ""
    script_version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnRecord:
    """One turn: what the caller said, and the bot's answer as far as it was heard.

    Turn 0 is the greeting, which answers nobody. A stage that did not take place is None.
    """

    call_id: str
    number: int
    started_at: datetime
    """When what the caller had said, or done, was known; turn 0: when the call was accepted."""
    state_from: str
    state_to: str
    outcome: str
    """answered, interrupted, no_input, no_match or failed, as in the metric."""
    caller_text: str = ""
    bot_text: str = ""
    understood: str = ""
    """Name of the rule, or of the model, that understood it; empty if nothing did."""
    response_s: float | None = None
    endpointing_s: float | None = None
    stt_s: float | None = None
    think_s: float | None = None
    playout_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackRequest:
    """A technician is to call this number back: a promise, so it must not get lost."""

    call_id: str
    requested_at: datetime
    number: str
    name: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UseRecord:
    """So much of one model, used by a call: what a provider charges for."""

    stage: str
    provider: str
    model: str
    unit: str
    """audio_seconds, speech_seconds, characters, input_tokens, cached_tokens or output_tokens."""
    amount: float
    cost: float | None
    """In *currency*; None: there was no price for the model."""
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEndRecord:
    """A call was handed back or hung up.

    The counts are those since the last :class:`CallStartRecord` of this call; the journal adds them
    to earlier ones. A name, number or reason of None leaves what is already known.
    """

    call_id: str
    ended_at: datetime
    outcome: str
    """As in the metric ``voicebot_calls_total``."""
    ended_by: str
    """caller, bot or error."""
    reason: str | None = None
    """The problem: internet, mobile, other, or whatever the script names."""
    caller_name: str | None = None
    caller_number: str | None = None
    turns: int = 0
    no_input: int = 0
    no_match: int = 0
    barge_ins: int = 0
    transfers: int = 0
    recording: str | None = None
    """Path of the file."""
    uses: tuple[UseRecord, ...] = ()
    """What was used since the last :class:`CallStartRecord`."""


Record = CallStartRecord | TurnRecord | CallbackRequest | CallEndRecord
