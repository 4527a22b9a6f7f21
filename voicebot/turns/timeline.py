"""The marks of one turn, from which every latency figure follows.

``speech_ended``, t0, is the end of the caller's last speech sound, not the moment it was decided:
figures that start later hide the largest part. Stages are consecutive and do not overlap, so
their sum is the response time; where work overlaps (a transcript fetched while the silence is still
being waited out) a stage holds only what the caller waited for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

STAGES: Final = ("endpointing", "llm", "tts", "playout")
"""Consecutive: the metric's labels, and the names of a turn's spans."""


@dataclass(slots=True)
class TurnTimeline:
    """Monotonic seconds; a mark that is not reached is ``None``."""

    speech_ended: float
    """t0"""
    turn_ended: float | None = None
    """t2: end of turn decided."""
    answer_ready: float | None = None
    """t4: the first sentence of the answer is known."""
    audio_ready: float | None = None
    """t5: its first audio can be played."""
    audio_sent: float | None = None
    """t6: its first frame is on the wire."""

    def stages(self) -> dict[str, float] | None:
        """Seconds for endpointing, llm, tts, playout (the metric's labels); None if incomplete."""
        marks = (self.turn_ended, self.answer_ready, self.audio_ready, self.audio_sent)
        stages: dict[str, float] = {}
        before = self.speech_ended
        for name, mark in zip(STAGES, marks, strict=True):
            if mark is None:
                return None
            # A mark that lies before its predecessor cost the caller nothing.
            stages[name] = max(0.0, mark - before)
            before = max(before, mark)
        return stages

    def response(self) -> float | None:
        """Seconds from t0 to t6."""
        stages = self.stages()
        return None if stages is None else sum(stages.values())
