"""The two log lines that hold nearly everything: what stands in ``turn ended`` and ``call ended``.

Their fields are listed in docs/reference/logs.md, are always all there (null when there is nothing
to say), and hold no word of the caller's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from voicebot import __version__
from voicebot.call.turn import Turn
from voicebot.turns.timeline import STAGES


@dataclass(frozen=True, slots=True, kw_only=True)
class CallResult:
    """How a call ended."""

    outcome: str
    ended_by: str
    """caller, bot or error."""
    failure: str = ""
    """What was at fault, of a call that failed."""
    recording: str | None = None
    underruns: int = 0
    late_frames: int = 0


def turn_line(turn: Turn, state_to: str, now: float) -> dict[str, Any]:
    """The fields of ``turn ended``."""
    stages = turn.stages()
    stt, llm, tts = (turn.served_by(stage) for stage in ("stt", "llm", "tts"))
    return {
        "turn": turn.number,
        "outcome": turn.outcome,
        "understood": turn.understood,
        "state_from": turn.state_from,
        "state_to": state_to,
        "response_s": rounded(sum(stages.values())) if stages else None,
        **{f"{stage}_s": rounded(stages.get(stage)) for stage in STAGES},
        "stt_compute_s": rounded(turn.stt_seconds),
        "confidence": rounded(turn.confidence),
        "stt_provider": stt.provider if stt else None,
        "llm_provider": llm.provider if llm else None,
        "llm_model": llm.model if llm else None,
        "tts_provider": tts.provider if tts else None,
        "fallback": turn.fell_back(),
        "interrupted": turn.interrupted_at is not None,
        "heard_s": rounded(turn.heard_seconds(now)),
    }


def call_line(
    result: CallResult,
    *,
    traffic: str,
    duration: float,
    turns: int,
    counts: dict[str, int],
    cost: float | None,
    currency: str,
) -> dict[str, Any]:
    """The fields of ``call ended``."""
    return {
        "traffic": traffic,
        "outcome": result.outcome,
        "failure": result.failure or None if result.outcome == "failed" else None,
        "ended_by": result.ended_by,
        "duration_s": rounded(duration),
        "turns": turns,
        **counts,
        "underruns": result.underruns,
        "late_frames": result.late_frames,
        "cost": None if cost is None else round(cost, 6),
        "currency": currency,
        "version": __version__,
    }


def rounded(seconds: float | None) -> float | None:
    """To milliseconds."""
    return None if seconds is None else round(seconds, 3)
