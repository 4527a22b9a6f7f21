"""OpenAI's own kit against the emulator: speech by request, and Realtime as a voice."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from typing import Any

import httpx2
import openai
import pytest
from openai import AsyncOpenAI
from websockets.exceptions import ConnectionClosedError, InvalidMessage, InvalidStatus

from tests.support.cloud import PATIENCE, PLENTY, openai_client
from voicebot.emulator.faults import Fault, Kind, Moment, Service
from voicebot.emulator.latency import Distribution, Profile, Step
from voicebot.emulator.realtime import REWORDED
from voicebot.emulator.server import Emulator

Run = Callable[..., None]
HELLO = "Bonjour, je vous écoute."


async def speak(client: AsyncOpenAI, **more: Any) -> list[bytes]:
    """The pieces in which the audio of HELLO came."""
    async with client.audio.speech.with_streaming_response.create(
        **{
            "model": "gpt-4o-mini-tts", "voice": "marin", "input": HELLO,
            "response_format": "pcm", **more,
        }
    ) as response:  # fmt: skip
        return [piece async for piece in response.iter_bytes()]


def test_speech_is_streamed_faster_than_it_is_spoken(run: Run) -> None:
    async def story(emulator: Emulator) -> None:
        loop = asyncio.get_running_loop()
        async with openai_client(emulator) as client:
            await speak(client)  # so that it is spoken already
            start = loop.time()
            pieces = await speak(client, extra_headers={"x-call-id": "call-1"})
            took = loop.time() - start
        seconds = len(b"".join(pieces)) / 48_000
        assert 1.0 < seconds < 4.0
        assert len(pieces) >= 10
        assert took >= 0.1 + (seconds - 0.2) / 10
        [delay] = emulator.records.delays(step=Step.SPEECH_FIRST_BYTE, tag="call-1")
        assert delay.seconds >= delay.planned == pytest.approx(0.1)

    run(story, Profile(speech_first_byte=Distribution(0.1), speech_times_real_time=10))


@pytest.mark.parametrize(("form", "start"), [("wav", b"RIFF"), ("mp3", b"ID3")])
def test_speech_comes_in_files_too(run: Run, form: str, start: bytes) -> None:
    async def story(emulator: Emulator) -> None:
        async with openai_client(emulator) as client:
            assert b"".join(await speak(client, response_format=form)).startswith(start)

    run(story)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"model": "tts-9"}, openai.NotFoundError),
        ({"input": ""}, openai.BadRequestError),
        ({"input": "a" * 5000}, openai.BadRequestError),
        ({"voice": "gérard"}, openai.BadRequestError),
        ({"model": "tts-1", "instructions": "Vite."}, openai.BadRequestError),
    ],
)
def test_a_request_that_the_service_refuses_is_refused(
    run: Run, change: dict[str, Any], error: type[Exception]
) -> None:
    async def story(emulator: Emulator) -> None:
        async with openai_client(emulator) as client:
            with pytest.raises(error):
                await speak(client, **change)

    run(story)


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (Kind.UNAUTHORIZED, openai.AuthenticationError),
        (Kind.RATE_LIMITED, openai.RateLimitError),
        (Kind.SERVER_ERROR, openai.InternalServerError),
        (Kind.RETIRED, openai.NotFoundError),
        (Kind.REFUSE, openai.APIConnectionError),
        (Kind.DROP, openai.APIConnectionError),
        (Kind.HANG, openai.APITimeoutError),
    ],
)
def test_a_request_that_is_not_answered(run: Run, kind: Kind, error: type[Exception]) -> None:
    async def story(emulator: Emulator) -> None:
        await emulator.inject(Fault(Service.SPEECH, kind, moment=Moment.CONNECT))
        patience = PATIENCE if kind is Kind.HANG else PLENTY
        async with openai_client(emulator, patience=patience) as client:
            with pytest.raises(error):
                await speak(client)
            await emulator.mend()
            assert await speak(client)

    run(story)


@pytest.mark.parametrize(
    ("kind", "error"),
    [(Kind.DROP, httpx2.RemoteProtocolError), (Kind.HANG, httpx2.ReadTimeout)],
)
def test_speech_that_breaks_off(run: Run, kind: Kind, error: type[Exception]) -> None:
    async def story(emulator: Emulator) -> None:
        await emulator.inject(Fault(Service.SPEECH, kind, moment=Moment.STREAM))
        patience = PATIENCE if kind is Kind.HANG else PLENTY
        async with openai_client(emulator, patience=patience) as client:
            with pytest.raises(error):
                await speak(client)

    run(story)


def test_wrong_audio_is_wrong_as_it_was_told(run: Run) -> None:
    async def story(emulator: Emulator) -> None:
        async with openai_client(emulator) as client:
            whole = b"".join(await speak(client))
            got = {}
            for kind in (Kind.HALF, Kind.SILENCE, Kind.ODD, Kind.EMPTY, Kind.MALFORMED):
                await emulator.inject(Fault(Service.SPEECH, kind, times=1))
                got[kind] = b"".join(await speak(client))
        assert whole.startswith(got[Kind.HALF])
        assert got[Kind.SILENCE] == bytes(len(whole))
        assert len(got[Kind.ODD]) == len(whole) - 1
        assert got[Kind.EMPTY] == b""
        assert b"Bad Gateway" in got[Kind.MALFORMED]

    run(story)


# -- Realtime --------------------------------------------------------------------------------


async def read_aloud(connection: Any, text: str, form: str = "audio/pcmu") -> None:
    await connection.session.update(
        session={
            "type": "realtime",
            "output_modalities": ["audio"],
            "instructions": "Lis mot pour mot.",
            "audio": {
                "output": {"voice": "marin", "format": {"type": form}},
                "input": {"turn_detection": None},
            },
        }
    )
    said = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
    await connection.response.create(
        response={"conversation": "none", "output_modalities": ["audio"], "input": [said]}
    )


async def answer(connection: Any) -> tuple[bytes, str, str]:
    """Audio, transcript and status of the next response."""
    audio, said = b"", ""
    async for event in connection:
        if event.type == "response.output_audio.delta":
            audio += base64.b64decode(event.delta)
        elif event.type == "response.output_audio_transcript.done":
            said = event.transcript
        elif event.type == "response.done":
            return audio, said, event.response.status
    raise AssertionError("closed without a response")


def realtime(client: AsyncOpenAI) -> Any:
    return client.realtime.connect(
        model="gpt-realtime-2.1-mini", websocket_connection_options={"close_timeout": 0.1}
    )


@pytest.mark.parametrize(("form", "rate"), [("audio/pcmu", 8_000), ("audio/pcm", 48_000)])
def test_realtime_reads_aloud(run: Run, form: str, rate: int) -> None:
    async def story(emulator: Emulator) -> None:
        async with openai_client(emulator) as client, realtime(client) as connection:
            await read_aloud(connection, HELLO, form)
            audio, said, status = await answer(connection)
        assert (said, status) == (HELLO, "completed")
        assert 1.0 < len(audio) / rate < 4.0
        assert len(list(emulator.records.delays(step=Step.REALTIME_FIRST_BYTE))) == 1

    run(story)


def test_realtime_can_be_interrupted_and_goes_on(run: Run) -> None:
    async def story(emulator: Emulator) -> None:
        async with openai_client(emulator) as client, realtime(client) as connection:
            await read_aloud(connection, HELLO)
            await connection.response.cancel()
            audio, _, status = await answer(connection)
            assert (audio, status) == (b"", "cancelled")
            await emulator.mend()
            emulator.latency.profile = Profile()
            await read_aloud(connection, HELLO)
            assert (await answer(connection))[2] == "completed"

    run(story, Profile(realtime_first_byte=Distribution(5.0)))


def test_realtime_may_choose_its_own_words(run: Run) -> None:
    async def story(emulator: Emulator) -> None:
        await emulator.inject(Fault(Service.REALTIME, Kind.REWORDED))
        async with openai_client(emulator) as client, realtime(client) as connection:
            await read_aloud(connection, HELLO)
            assert (await answer(connection))[1] == REWORDED

    run(story)


def test_what_realtime_does_not_know_is_an_error_event_and_no_end(run: Run) -> None:
    async def story(emulator: Emulator) -> None:
        async with openai_client(emulator) as client, realtime(client) as connection:
            await connection.response.cancel()
            codes = [event.error.code async for event in first_error(connection)]
            assert codes == ["response_cancel_not_active"]
            await read_aloud(connection, HELLO)
            assert (await answer(connection))[1] == HELLO

    run(story)


async def one_answer(client: AsyncOpenAI) -> None:
    async with realtime(client) as connection:
        await read_aloud(connection, HELLO)
        async with asyncio.timeout(PATIENCE):
            await answer(connection)


async def first_error(connection: Any) -> Any:
    async for event in connection:
        if event.type == "error":
            yield event
            return


@pytest.mark.parametrize(
    ("kind", "moment", "error"),
    [
        (Kind.REFUSE, Moment.CONNECT, ConnectionRefusedError),
        (Kind.UNAUTHORIZED, Moment.CONNECT, InvalidStatus),
        (Kind.DROP, Moment.CONNECT, InvalidMessage),
        (Kind.DROP, Moment.STREAM, ConnectionClosedError),
        (Kind.SERVER_ERROR, Moment.STREAM, ConnectionClosedError),
        (Kind.MALFORMED, Moment.STREAM, ValueError),
        (Kind.HANG, Moment.STREAM, TimeoutError),
    ],
)
def test_realtime_that_fails(run: Run, kind: Kind, moment: Moment, error: type[Exception]) -> None:
    async def story(emulator: Emulator) -> None:
        await emulator.inject(Fault(Service.REALTIME, kind, moment=moment))
        async with openai_client(emulator) as client:
            with pytest.raises(error):
                await one_answer(client)

    run(story)
