"""OpenAI Realtime as a speaking voice: the session's events, without audio input.

Pure. The parts of the protocol that reading a text aloud needs: ``session.update``,
``response.create`` with its own input, ``response.cancel``. Event shapes are those of openai 3's
types. The voice is a model: it may say other words than it was given, and a fault makes it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

FORMATS: Final = {
    "audio/pcm": ("linear16", 24_000),
    "audio/pcmu": ("mulaw", 8_000),
    "audio/pcma": ("alaw", 8_000),
}
REWORDED: Final = "Avec plaisir ! Que puis-je faire de plus pour vous aujourd'hui ?"


class RealtimeError(Exception):
    """An ``error`` event; the session goes on."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(slots=True)
class Utterance:
    """One response, being spoken."""

    number: int
    text: str
    encoding: str
    rate: int


class Realtime:
    """One session: client events in, what is to be spoken out."""

    def __init__(self, model: str) -> None:
        self._session: dict[str, Any] = {
            "type": "realtime",
            "object": "realtime.session",
            "id": "sess_emulator",
            "model": model,
            "output_modalities": ["audio"],
            "audio": {"output": {"voice": "alloy", "format": {"type": "audio/pcm"}}},
        }
        self._events = 0
        self._responses = 0
        self._texts: list[str] = []

    def created(self) -> str:
        return self.event("session.created", session=self._session)

    def receive(self, raw: str) -> tuple[list[str], Utterance | None, bool]:
        """Events to send, a response to speak, and whether to cancel the one being spoken.

        Raises RealtimeError.
        """
        try:
            said = json.loads(raw)
            kind = said["type"]
        except (ValueError, TypeError, KeyError):
            raise RealtimeError("Could not parse the event as JSON.", "invalid_json") from None
        match kind:
            case "session.update":
                self._update(said.get("session") or {})
                return [self.event("session.updated", session=self._session)], None, False
            case "conversation.item.create":
                self._texts = [_item_text(said.get("item") or {})]
                return [], None, False
            case "response.create":
                return [], self._respond(said.get("response") or {}), False
            case "response.cancel":
                return [], None, True
            case _:
                raise RealtimeError(f"Invalid value: '{kind}'.", "invalid_value")

    def _update(self, session: Mapping[str, Any]) -> None:
        _format(session)
        audio = {**self._session["audio"]}
        for side, values in (session.get("audio") or {}).items():
            audio[side] = {**audio.get(side, {}), **values}
        self._session = {**self._session, **session, "audio": audio}

    def _respond(self, response: Mapping[str, Any]) -> Utterance:
        texts = [_item_text(item) for item in response.get("input") or ()] or self._texts
        text = " ".join(filter(None, texts))
        if not text:
            raise RealtimeError("There is nothing to say.", "missing_required_parameter")
        encoding, rate = _format(response) or _format(self._session) or FORMATS["audio/pcm"]
        self._responses += 1
        return Utterance(self._responses, text, encoding, rate)

    def event(self, kind: str, **values: Any) -> str:
        """A server event."""
        self._events += 1
        event = {"type": kind, "event_id": f"event_{self._events}", **values}
        return json.dumps(event, ensure_ascii=False)

    def beginning(self, said: Utterance) -> list[str]:
        """The events before the audio."""
        where = self._where(said)
        item = {"id": where["item_id"], "type": "message", "role": "assistant", "content": []}
        return [
            self.event("response.created", response=self._response(said, "in_progress")),
            self.event(
                "response.output_item.added",
                response_id=where["response_id"],
                output_index=0,
                item={**item, "status": "in_progress"},
            ),
            self.event("response.content_part.added", **where, part={"type": "audio"}),
        ]

    def audio(self, said: Utterance, piece: bytes) -> str:
        delta = base64.b64encode(piece).decode("ascii")
        return self.event("response.output_audio.delta", **self._where(said), delta=delta)

    def transcript(self, said: Utterance) -> str:
        """What it is about to say, in one delta."""
        where = self._where(said)
        return self.event("response.output_audio_transcript.delta", **where, delta=said.text)

    def end(self, said: Utterance, *, cancelled: bool = False) -> list[str]:
        """The events after the audio, or after its cancellation."""
        where = self._where(said)
        status = "cancelled" if cancelled else "completed"
        return [
            self.event("response.output_audio.done", **where),
            self.event("response.output_audio_transcript.done", **where, transcript=said.text),
            self.event("response.done", response=self._response(said, status)),
        ]

    def failed(self, said: Utterance) -> str:
        """The service gave up in the middle."""
        return self.event("response.done", response=self._response(said, "failed"))

    def error(self, error: RealtimeError) -> str:
        values = {"message": str(error), "type": "invalid_request_error", "code": error.code}
        return self.event("error", error={**values, "param": None, "event_id": None})

    @staticmethod
    def _where(said: Utterance) -> dict[str, Any]:
        return {
            "response_id": f"resp_{said.number}",
            "item_id": f"item_{said.number}",
            "output_index": 0,
            "content_index": 0,
        }

    @staticmethod
    def _response(said: Utterance, status: str) -> dict[str, Any]:
        response: dict[str, Any] = {
            "id": f"resp_{said.number}",
            "object": "realtime.response",
            "status": status,
            "output": [],
        }
        if status == "cancelled":
            response["status_details"] = {"type": "cancelled", "reason": "client_cancelled"}
        elif status == "failed":
            error = {"type": "server_error", "code": "server_error"}
            response["status_details"] = {"type": "failed", "error": error}
        elif status == "completed":
            spoken = max(1, len(said.text) // 2)
            response["usage"] = {
                "input_tokens": max(1, len(said.text) // 4),
                "output_tokens": spoken,
                "total_tokens": spoken + max(1, len(said.text) // 4),
            }
        return response


def _format(values: Mapping[str, Any]) -> tuple[str, int] | None:
    output = (values.get("audio") or {}).get("output") or {}
    name = (output.get("format") or {}).get("type")
    if name is None:
        return None
    if name not in FORMATS:
        raise RealtimeError(f"Invalid value: '{name}'.", "invalid_value")
    return FORMATS[name]


def _item_text(item: Mapping[str, Any]) -> str:
    parts = [part.get("text", "") for part in item.get("content") or ()]
    return " ".join(filter(None, parts))
