"""What a trace is made of, before any library: spans with their times, and spans inside them.

Plain data. A part of the service that knows what happened builds the tree when it is over;
:mod:`voicebot.telemetry.tracing` sends it. Attribute names are all here. A name that may hold what
people said, or who they are, has a segment ``pii``, and its attribute is left out unless asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

Value = str | bool | int | float
Attributes = Mapping[str, Value | None]
"""None: the attribute is left out."""

# Of a call.
CALL_ID: Final = "voicebot.call.id"
CALL_TRAFFIC: Final = "voicebot.call.traffic"
CALL_OUTCOME: Final = "voicebot.call.outcome"
CALL_FAILURE: Final = "voicebot.call.failure"
CALL_ENDED_BY: Final = "voicebot.call.ended_by"
CALL_TURNS: Final = "voicebot.call.turns"
CALL_COST: Final = "voicebot.call.cost"

# Of a turn.
TURN_NUMBER: Final = "voicebot.turn.number"
TURN_OUTCOME: Final = "voicebot.turn.outcome"
TURN_RESPONSE: Final = "voicebot.turn.response_seconds"
TURN_RULE: Final = "voicebot.turn.understood_by"
TURN_STATE_FROM: Final = "voicebot.turn.state_from"
TURN_STATE_TO: Final = "voicebot.turn.state_to"
TURN_CONFIDENCE: Final = "voicebot.turn.confidence"
TURN_PII_CALLER: Final = "voicebot.turn.pii.caller_said"
TURN_PII_BOT: Final = "voicebot.turn.pii.bot_said"

# Of audio.
FIRST_AUDIO: Final = "voicebot.audio.first_seconds"
HEARD: Final = "voicebot.audio.heard_seconds"
INTERRUPTED: Final = "voicebot.audio.interrupted"
UNDERRUNS: Final = "voicebot.audio.underruns"
LATE_FRAMES: Final = "voicebot.audio.late_frames"

# Of a request to a provider; the conventions for generative AI, and what they lack. Read at
# open-telemetry/semantic-conventions-genai, 024a4f94, where all of them are in development.
# ``speech_to_text`` and ``text_to_speech`` are proposed there (pull request 390).
GEN_AI_OPERATION: Final = "gen_ai.operation.name"
GEN_AI_PROVIDER: Final = "gen_ai.provider.name"
GEN_AI_MODEL: Final = "gen_ai.request.model"
GEN_AI_STREAM: Final = "gen_ai.request.stream"
GEN_AI_CONVERSATION: Final = "gen_ai.conversation.id"
GEN_AI_FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
GEN_AI_INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
GEN_AI_CACHED_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
GEN_AI_OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
REQUEST_OUTCOME: Final = "voicebot.request.outcome"
ERROR_TYPE: Final = "error.type"


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened in a span. *at* is seconds since the epoch."""

    name: str
    at: float
    attributes: Attributes = field(default_factory=dict)


@dataclass(slots=True)
class Span:
    """A piece of work. Times are seconds since the epoch."""

    name: str
    start: float
    end: float
    attributes: Attributes = field(default_factory=dict)
    children: list[Span] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)
    client: bool = False
    """A request to somebody else."""
    failed: bool = False

    def size(self) -> int:
        """Spans in the tree."""
        return 1 + sum(child.size() for child in self.children)


def is_personal(name: str) -> bool:
    """Whether the attribute may hold what people said, or who they are."""
    return "pii" in name.split(".")
