"""The services that answer a request: chat completions, OpenAI speech, Aura by request.

A thin shell: it waits, sends, and records the delays; what is sent is made by the pure modules.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from voicebot.emulator import chat, codec, options, wrong
from voicebot.emulator.brain import Answer
from voicebot.emulator.engines import EngineError
from voicebot.emulator.exchange import SLOW_SECONDS, Exchange, now, paced, until
from voicebot.emulator.faults import Fault, Kind, Moment
from voicebot.emulator.latency import Step
from voicebot.emulator.parts import Parts
from voicebot.emulator.records import Request
from voicebot.emulator.refusal import RefusalError

SPEECH_RATE: Final = 24_000
PIECE_SECONDS: Final = 0.1  #: of audio in one piece of a streamed answer
MOST_CHARACTERS: Final = 4096
MOST_AURA_CHARACTERS: Final = 2000
SPEECH_MODELS: Final = ("tts-1", "tts-1-hd", "gpt-4o-mini-tts", "gpt-4o-mini-tts-2025-12-15")
VOICES: Final = (
    "alloy", "ash", "ballad", "coral", "echo", "fable", "onyx", "nova", "sage", "shimmer", "verse",
    "marin", "cedar",
)  # fmt: skip
_TYPES: Final = {
    "pcm": "audio/pcm",
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
}


async def read_json(parts: Parts, exchange: Exchange) -> Any:
    """The body, recorded. Raises RefusalError."""
    try:
        body = json.loads(await exchange.request.read())
    except ValueError:
        raise RefusalError(400, "The request body is not valid JSON.") from None
    exchange.arrived = now()
    query = {key: exchange.request.query.getall(key) for key in exchange.request.query}
    parts.records.requests.append(
        Request(exchange.service, exchange.tag, exchange.arrived, query, body)
    )
    return body


async def complete(parts: Parts, exchange: Exchange) -> web.StreamResponse:
    """``POST /openai/v1/chat/completions`` (Groq) and ``/v1/chat/completions``."""
    body = await read_json(parts, exchange)
    model = body.get("model", "") if isinstance(body, dict) else ""
    fault = parts.faults.take(exchange.service, Moment.CONNECT)
    if fault is not None and fault.kind is Kind.RETIRED:
        raise chat.retired(model)
    await exchange.early(fault, model)
    body = chat.check(body)
    answer = parts.brain.answer(body)
    fault = parts.faults.take(exchange.service, Moment.STREAM)
    if fault is not None and fault.kind is Kind.UNFIT:
        answer = Answer(wrong.REFUSAL)
    completion = chat.Completion.of(body, answer, exchange.number, int(time.time()))
    delay = parts.latency.draw(Step.CHAT_FIRST_TOKEN)
    per_token = 1 / parts.latency.profile.chat_tokens_per_second
    if not body.get("stream"):
        await until(exchange.arrived + delay + per_token * len(completion.pieces))
        exchange.answered(Step.CHAT_FIRST_TOKEN, exchange.arrived, delay)
        return await _whole(exchange, completion.whole(delay, per_token), fault)
    kind = None if fault is None else fault.kind
    written = completion.written
    answer_stream = _Stream(exchange, Step.CHAT_FIRST_TOKEN, delay, per_token, fault, written)
    chunks = wrong.events(completion.chunks(delay, per_token), kind)
    return await answer_stream.send(chunks, {"Content-Type": "text/event-stream"})


async def _whole(exchange: Exchange, answer: Any, fault: Fault | None) -> web.StreamResponse:
    """One JSON answer; faults of the stream strike it as well as they can."""
    text = json.dumps(answer, ensure_ascii=False)
    if fault is not None:
        match fault.kind:
            case Kind.DROP | Kind.SERVER_ERROR:
                exchange.cut()
            case Kind.HANG:
                await exchange.hang()
            case Kind.SLOW:
                await until(now() + 10 * SLOW_SECONDS)
            case Kind.MALFORMED:
                text = text[: len(text) // 2]
            case Kind.UNKNOWN:
                text = json.dumps({"surprise": {"version": 9}, **answer})
            case Kind.EMPTY:
                answer["choices"] = []
                text = json.dumps(answer)
    headers = {"x-request-id": exchange.request_id}
    return web.Response(text=text, content_type="application/json", headers=headers)


async def speech(parts: Parts, exchange: Exchange) -> web.StreamResponse:
    """``POST /v1/audio/speech`` (OpenAI)."""
    body = await read_json(parts, exchange)
    model = str(body.get("model", "")) if isinstance(body, dict) else ""
    await exchange.early(parts.faults.take(exchange.service, Moment.CONNECT), model)
    form = _check_speech(body)
    encoding = "linear16" if form in ("pcm", "wav") else form
    try:
        audio = await parts.sentences.speak(body["input"], encoding, SPEECH_RATE)
    except EngineError as error:
        raise RefusalError(500, str(error), kind="server_error") from error
    seconds = len(audio) / (2 * SPEECH_RATE) if encoding == "linear16" else len(audio) / 8000
    if form == "wav":
        audio = codec.wav(audio, SPEECH_RATE)
    return await send_audio(parts, exchange, audio, seconds, _TYPES[form])


def _check_speech(body: Any) -> str:
    """The format that *body* asks for. Raises RefusalError."""
    if not isinstance(body, dict) or not isinstance(body.get("input"), str) or not body["input"]:
        raise RefusalError(400, "Missing required parameter: 'input'.", param="input")
    model = body.get("model")
    if model not in SPEECH_MODELS:
        message = f"The model `{model}` does not exist or you do not have access to it."
        raise RefusalError(404, message, code="model_not_found")
    if len(body["input"]) > MOST_CHARACTERS:
        raise RefusalError(400, f"input: at most {MOST_CHARACTERS} characters", param="input")
    voice = body.get("voice")
    if voice not in VOICES and not isinstance(voice, dict):
        raise RefusalError(400, f"voice: {voice!r} is not one of {', '.join(VOICES)}")
    if body.get("instructions") and model.startswith("tts-1"):
        raise RefusalError(400, f"instructions: not supported with {model}", param="instructions")
    if body.get("stream_format", "audio") != "audio":
        raise RefusalError(400, "stream_format: only `audio` is emulated", param="stream_format")
    form = body.get("response_format", "mp3")
    if form not in _TYPES:
        raise RefusalError(400, f"response_format: {form!r} is not one of {', '.join(_TYPES)}")
    return str(form)


async def aura(parts: Parts, exchange: Exchange) -> web.StreamResponse:
    """``POST /v1/speak`` (Deepgram)."""
    body = await read_json(parts, exchange)
    query = {key: exchange.request.query.getall(key) for key in exchange.request.query}
    model = exchange.request.query.get("model", "")
    await exchange.early(parts.faults.take(exchange.service, Moment.CONNECT), model)
    try:
        wanted = options.speak(query, streaming=False)
    except options.OptionError as error:
        raise RefusalError(400, str(error), code="INVALID_QUERY_PARAMETER") from error
    text = body.get("text") if isinstance(body, dict) else None
    if not isinstance(text, str) or not text:
        raise RefusalError(400, "The `text` field is missing.", code="PAYLOAD_ERROR")
    if len(text) > MOST_AURA_CHARACTERS:
        raise RefusalError(413, "The text is too long.", code="INPUT_TEXT_TOO_LONG")
    try:
        audio = await parts.sentences.speak(text, wanted.encoding, wanted.sample_rate)
    except EngineError as error:
        raise RefusalError(500, str(error), kind="server_error") from error
    width = codec.WIDTHS.get(wanted.encoding)
    seconds = len(audio) / (width * wanted.sample_rate) if width else len(audio) / 8000
    if wanted.encoding == "linear16" and wanted.container == "wav":
        audio = codec.wav(audio, wanted.sample_rate)
    kind = "audio/mpeg" if wanted.encoding == "mp3" else "audio/wav"
    return await send_audio(parts, exchange, audio, seconds, kind)


async def send_audio(
    parts: Parts, exchange: Exchange, audio: bytes, seconds: float, kind: str
) -> web.StreamResponse:
    """*audio*, which lasts *seconds*, after the delay and at the speed of the service."""
    fault = parts.faults.take(exchange.service, Moment.STREAM)
    step = (
        Step.SPEECH_FIRST_BYTE
        if "audio/speech" in exchange.request.path
        else (Step.SPEAK_FIRST_BYTE)
    )
    count = max(1, round(seconds / PIECE_SECONDS))
    size = -(-len(audio) // count) if audio else 1
    size += size % 2
    pieces = wrong.pieces(audio, size, None if fault is None else fault.kind)
    every = PIECE_SECONDS / parts.latency.profile.speech_times_real_time
    stream = _Stream(exchange, step, parts.latency.draw(step), every, fault)
    return await stream.send(pieces, {"Content-Type": kind})


@dataclass(slots=True)
class _Stream:
    """An answer in pieces: the first after a delay, the others one after the other."""

    exchange: Exchange
    step: Step
    delay: float
    every: float
    """Seconds between two pieces."""
    fault: Fault | None
    written: int | None = None
    """The piece that makes what came before of use, if not every piece is."""

    async def send(self, pieces: list[bytes], headers: dict[str, str]) -> web.StreamResponse:
        exchange, kind = self.exchange, None if self.fault is None else self.fault.kind
        response = web.StreamResponse(
            headers={**headers, "Cache-Control": "no-cache", "x-request-id": exchange.request_id}
        )
        every = max(self.every, SLOW_SECONDS) if kind is Kind.SLOW else self.every
        halfway = max(1, len(pieces) // 2)
        await until(exchange.arrived + self.delay)
        await response.prepare(exchange.request)
        first_at = now()
        sent = 0
        async for piece in paced(pieces, first_at, every):
            if sent == halfway:
                await self._break(response, kind)
            if not sent:
                exchange.answered(self.step, exchange.arrived, self.delay)
            if sent == self.written:
                exchange.answered(Step.CHAT_WRITTEN, first_at, sent * every)
            await exchange.write(response, piece)
            sent += 1
        if sent <= halfway:
            await self._break(response, kind)
        await response.write_eof()
        return response

    async def _break(self, response: web.StreamResponse, kind: Kind | None) -> None:
        match kind:
            case Kind.DROP:
                self.exchange.cut()
            case Kind.HANG:
                await self.exchange.hang()
            case Kind.SERVER_ERROR:
                if self.step is Step.CHAT_FIRST_TOKEN:
                    error = RefusalError(500, "Internal server error.", kind="server_error")
                    await self.exchange.write(response, chat.event(error.openai_body()))
                self.exchange.cut()
