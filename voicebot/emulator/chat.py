"""Chat completions on the wire: requests checked as Groq checks them, answers in its chunks.

Pure. Field names are those of groq 1's types; rules and error texts are Groq's documented ones.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from voicebot.emulator.brain import Answer
from voicebot.emulator.refusal import RefusalError

RETIRED: Final = frozenset(
    {
        "gemma2-9b-it",
        "llama-3.1-70b-versatile",
        "llama-3.3-70b-versatile",
        "llama-3.1-8b-instant",
        "mixtral-8x7b-32768",
    }
)
_REASONING_EFFORTS: Final = ("low", "medium", "high")
_TOKEN: Final = re.compile(r"\s?\S{1,4}|\s")
#: A line of JSON; and then, if there are words, a sentence.
_FIRST_TO_SAY: Final = re.compile(r"\s*\{[^\n]*(\s*\n[^\n]*?[.!?…](?=\s|\Z))?")


def check(body: Any) -> dict[str, Any]:
    """*body* if it is a request that the service would take. Raises RefusalError."""
    if not isinstance(body, dict):
        raise RefusalError(400, "The request body must be a JSON object.")
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise RefusalError(400, "'model' : property 'model' is missing", param="model")
    if model in RETIRED:
        raise retired(model)
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise RefusalError(400, "'messages' : minimum number of items is 1", param="messages")
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or message.get("role") not in (
            "system", "developer", "user", "assistant", "tool",
        ):  # fmt: skip
            raise RefusalError(400, f"'messages.{index}' : property 'role' has invalid value")
    effort = body.get("reasoning_effort")
    if effort is not None and "gpt-oss" in model and effort not in _REASONING_EFFORTS:
        raise RefusalError(
            400,
            f"`reasoning_effort` must be one of {', '.join(_REASONING_EFFORTS)}",
            param="reasoning_effort",
        )
    if "reasoning_format" in body and "include_reasoning" in body:
        raise RefusalError(400, "cannot specify both `reasoning_format` and `include_reasoning`")
    _check_format(body, model)
    return body


def _check_format(body: Mapping[str, Any], model: str) -> None:
    form = (body.get("response_format") or {}).get("type", "text")
    if form == "json_schema":
        schema = body["response_format"].get("json_schema") or {}
        if not isinstance(schema.get("schema"), dict) or not schema.get("name"):
            raise RefusalError(400, "'response_format.json_schema' needs `name` and `schema`")
        if body.get("stream") or body.get("tools"):
            raise RefusalError(
                400, "response_format `json_schema` does not support streaming or tools"
            )
        if schema.get("strict") and "gpt-oss" not in model:
            raise RefusalError(400, f"model `{model}` does not support `strict: true`")
    elif form == "json_object":
        if "json" not in json.dumps(body["messages"], ensure_ascii=False).lower():
            raise RefusalError(
                400,
                "'messages' must contain the word 'json' in some form, to use 'response_format' "
                "of type 'json_object'.",
            )
        if body.get("tools"):
            raise RefusalError(400, "json mode cannot be combined with tool/function calling")
    elif form != "text":
        raise RefusalError(400, f"'response_format.type' : {form!r} is not supported")


def retired(model: str) -> RefusalError:
    return RefusalError(
        400,
        f"The model `{model}` has been decommissioned and is no longer supported. Please refer to "
        "https://console.groq.com/docs/deprecations for a recommendation on which model to use "
        "instead.",
        code="model_decommissioned",
    )


def tokens(text: str) -> list[str]:
    """*text* in pieces of about the size of a model's tokens."""
    return _TOKEN.findall(text)


@dataclass(frozen=True, slots=True)
class Completion:
    """One answer, and what it is sent as."""

    model: str
    number: int
    """Of the request: makes the identifiers."""
    created: int
    """Unix time."""
    answer: Answer
    prompt_tokens: int
    finish_reason: str

    @classmethod
    def of(cls, body: Mapping[str, Any], answer: Answer, number: int, created: int) -> Completion:
        """The answer to *body*, cut to its ``max_completion_tokens``."""
        most = body.get("max_completion_tokens") or body.get("max_tokens")
        reason = "tool_calls" if answer.tool else "stop"
        if most is not None:
            kept = "".join(tokens(answer.content)[:most])
            arguments = "".join(tokens(answer.arguments)[:most])
            if (kept, arguments) != (answer.content, answer.arguments):
                answer, reason = Answer(kept, answer.tool, arguments), "length"
        prompt = len(json.dumps(body["messages"], ensure_ascii=False)) // 4
        return cls(body["model"], number, created, answer, prompt, reason)

    @property
    def pieces(self) -> list[str]:
        return tokens(self.answer.arguments if self.answer.tool else self.answer.content)

    @property
    def written(self) -> int:
        """How many tokens after the first event a client can act: on the first line, and where
        words to say follow it, on their first sentence, whose end the next token shows."""
        content = self.answer.content
        first = _FIRST_TO_SAY.match(content)
        end = first.end() if first else len(content)
        sure = end if first and not first[1] else end + 1  # of a line the brace is the end
        at = 0
        for number, piece in enumerate(self.pieces, 1):
            at += len(piece)
            if at >= sure:
                return number
        return len(self.pieces) + 1  # the event that says that this is all

    def chunks(self, first_token: float, per_token: float) -> list[bytes]:
        """The answer as server-sent events: one with the role, one a token, one with the usage,
        and the mark of the end. The times (seconds) go into the usage."""
        head: dict[str, Any] = {"role": "assistant", "content": None if self.answer.tool else ""}
        out = [self._event(head, x_groq={"id": self._request_id})]
        out += [self._event(self._delta(piece, n)) for n, piece in enumerate(self.pieces)]
        usage = self.usage(first_token, per_token)
        groq = {"id": self._request_id, "usage": usage}
        out.append(self._event({}, self.finish_reason, x_groq=groq, usage=usage))
        return [*out, b"data: [DONE]\n\n"]

    def whole(self, first_token: float, per_token: float) -> dict[str, Any]:
        """The answer in one piece."""
        answer = self.answer
        message: dict[str, Any] = {"role": "assistant", "content": answer.content or None}
        if answer.tool:
            function = {"name": answer.tool, "arguments": answer.arguments}
            message["tool_calls"] = [{"id": "call_1", "type": "function", "function": function}]
        return {
            **self._frame("chat.completion"),
            "choices": [
                {
                    "index": 0,
                    "message": message,
                    "logprobs": None,
                    "finish_reason": self.finish_reason,
                }
            ],
            "usage": self.usage(first_token, per_token),
            "x_groq": {"id": self._request_id},
        }

    def usage(self, first_token: float, per_token: float) -> dict[str, Any]:
        count = len(self.pieces)
        completion_time = count * per_token
        return {
            "queue_time": round(first_token * 0.2, 6),
            "prompt_tokens": self.prompt_tokens,
            "prompt_time": round(first_token * 0.8, 6),
            "completion_tokens": count,
            "completion_time": round(completion_time, 6),
            "total_tokens": self.prompt_tokens + count,
            "total_time": round(first_token * 0.8 + completion_time, 6),
        }

    @property
    def _request_id(self) -> str:
        return f"req_{self.number:026d}"

    def _frame(self, kind: str) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-{self.number:012d}",
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": "fp_emulator",
        }

    def _delta(self, piece: str, index: int) -> dict[str, Any]:
        if self.answer.tool is None:
            return {"content": piece}
        call: dict[str, Any] = {"index": 0, "function": {"arguments": piece}}
        if not index:
            call |= {"id": "call_1", "type": "function"}
            call["function"]["name"] = self.answer.tool
        return {"tool_calls": [call]}

    def _event(self, delta: dict[str, Any], reason: str | None = None, **extra: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return event({**self._frame("chat.completion.chunk"), "choices": [choice], **extra})


def event(data: Mapping[str, Any]) -> bytes:
    """One server-sent event."""
    return b"data: " + json.dumps(data, ensure_ascii=False).encode() + b"\n\n"
