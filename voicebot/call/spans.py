"""A call as a trace: call > turn > stages, requests to providers, and the bot speaking.

Pure: made from what was noted of a turn or a call when it is over. The four stages of a turn tile
the time from the caller's last sound to the first of the answer, so the blame for a slow turn is
read off their lengths. Requests are spans of their own beside them: they overlap the stages, and
each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from voicebot.call.turn import Turn
from voicebot.telemetry import spans
from voicebot.telemetry.requests import Request
from voicebot.telemetry.spans import Moment, Span

_OPERATIONS: Final = {"stt": "speech_to_text", "llm": "chat", "tts": "text_to_speech"}
_TOKENS: Final = {
    "input_tokens": spans.GEN_AI_INPUT_TOKENS,
    "cached_tokens": spans.GEN_AI_CACHED_TOKENS,
    "output_tokens": spans.GEN_AI_OUTPUT_TOKENS,
}


def turn_span(turn: Turn, call_id: str, state_to: str, offset: float, now: float) -> Span:
    """The tree of a turn that is over. *offset* makes seconds since the epoch of ours."""
    children = [
        *_stages(turn, offset),
        *(request_span(request, call_id, offset) for request in turn.requests),
        *_speaking(turn, offset, now),
    ]
    children.sort(key=lambda child: child.start)
    opened = turn.opened + offset
    response = sum(turn.stages().values()) if turn.stages() else None
    return Span(
        "turn" if turn.number else "greeting",
        min([opened, *(child.start for child in children)]),
        max([opened, *(child.end for child in children)]),
        {
            spans.TURN_NUMBER: turn.number,
            spans.TURN_OUTCOME: turn.outcome,
            spans.TURN_RESPONSE: response,
            spans.TURN_RULE: turn.understood or None,
            spans.TURN_STATE_FROM: turn.state_from,
            spans.TURN_STATE_TO: state_to,
            spans.TURN_CONFIDENCE: turn.confidence,
            spans.TURN_PII_CALLER: turn.caller_text or None,
            spans.TURN_PII_BOT: " ".join(turn.bot_texts) or None,
        },
        children,
        [
            Moment("barge_in", at + offset, {spans.HEARD: turn.heard_seconds(at)})
            for at in [turn.interrupted_at]
            if at is not None
        ],
        failed=turn.outcome == "failed",
    )


def call_span(start: float, end: float, attributes: spans.Attributes, ended_by: str) -> Span:
    """The root. Times are seconds since the epoch."""
    hangup = Span("hangup", end, end, {spans.CALL_ENDED_BY: ended_by})
    return Span("call", start, end, attributes, [hangup], failed=ended_by == "error")


def _stages(turn: Turn, offset: float) -> Iterator[Span]:
    if turn.timeline is None:
        return
    start = turn.timeline.speech_ended + offset
    for stage, seconds in turn.stages().items():
        yield Span(stage, start, start + seconds)
        start += seconds


def request_span(request: Request, call_id: str, offset: float) -> Span:
    """A request to a provider that has ended."""
    operation = _OPERATIONS[request.stage]
    first = None if request.first is None else request.first - request.began
    tokens = {
        name: int(request.used[unit]) for unit, name in _TOKENS.items() if unit in request.used
    }
    return Span(
        f"{operation} {request.model}",
        request.began + offset,
        request.ended + offset,
        {
            spans.GEN_AI_OPERATION: operation,
            spans.GEN_AI_PROVIDER: request.provider,
            spans.GEN_AI_MODEL: request.model,
            spans.GEN_AI_CONVERSATION: call_id,
            spans.GEN_AI_STREAM: True,
            spans.GEN_AI_FIRST_CHUNK: first,
            spans.REQUEST_OUTCOME: request.outcome,
            spans.ERROR_TYPE: request.error or None,
            **tokens,
        },
        client=True,
        # What a barge-in cancels has not failed.
        failed=request.outcome in ("error", "timeout"),
    )


def _speaking(turn: Turn, offset: float, now: float) -> Iterator[Span]:
    for sound in turn.sounds:
        end = now if sound.end is None else sound.end
        interrupted = turn.interrupted_at is not None and sound is turn.sounds[-1]
        yield Span(
            "speaking",
            sound.start + offset,
            end + offset,
            {spans.HEARD: end - sound.start, spans.INTERRUPTED: interrupted},
        )
