"""Deepgram's own kit against the emulator: what a client sees when all is well, and when not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import numpy as np
import pytest
from deepgram import AsyncDeepgramClient
from deepgram.core.api_error import ApiError
from deepgram.listen.v1.types import ListenV1Results
from deepgram.speak.v1.types import SpeakV1Text
from websockets.exceptions import ConnectionClosedError, InvalidMessage, InvalidStatus

from tests.support.cloud import PATIENCE, clip, deepgram_client, talk
from voicebot.emulator.faults import Fault, Kind, Moment, Service
from voicebot.emulator.latency import Distribution, Profile, Step
from voicebot.emulator.server import Emulator

Run = Callable[..., None]
HELLO = "Bonjour, je vous écoute."
OPTIONS: dict[str, Any] = {
    "model": "nova-3", "language": "fr", "encoding": "linear16", "sample_rate": 8000,
    "channels": 1, "interim_results": True, "endpointing": 300, "utterance_end_ms": 1000,
    "vad_events": True, "punctuate": True, "smart_format": True, "numerals": True,
    "keyterm": ["box", "fibre"], "mip_opt_out": True, "tag": "call-42",
}  # fmt: skip


def listen(client: AsyncDeepgramClient, **more: Any) -> AbstractAsyncContextManager[Any]:
    return client.listen.v1.connect(**{**OPTIONS, **more})


async def until_final(connection: Any) -> list[Any]:
    """What comes, up to the first final result."""
    seen = []
    async for message in connection:
        seen.append(message)
        if isinstance(message, ListenV1Results) and message.is_final:
            break
    return seen


def transcript(message: Any) -> str:
    return str(message.channel.alternatives[0].transcript)


def test_what_a_caller_says_comes_back(run: Run) -> None:
    async def story(emulator: Emulator) -> None:
        async with deepgram_client(emulator) as client, listen(client) as connection:
            talking = asyncio.create_task(talk(connection, clip("oui-c-est-ca", after=1.3)))
            seen = [message async for message in until_end(connection, talking)]
        kinds = [message.type for message in seen]
        assert kinds[0] == "SpeechStarted"
        assert kinds[-2:] == ["UtteranceEnd", "Metadata"]
        results = [message for message in seen if message.type == "Results"]
        assert [transcript(m) for m in results if m.is_final] == ["Oui, c'est ça."]
        assert any(not m.is_final and transcript(m).startswith("Oui") for m in results)
        words = next(m for m in results if m.is_final).channel.alternatives[0].words
        assert [word.word for word in words] == ["oui", "c'est", "ça"]
        assert words[0].start < words[1].start < words[2].end
        [request] = emulator.records.asked(Service.LISTEN)
        assert request.query["keyterm"] == ["box", "fibre"]

    run(story)


async def until_end(connection: Any, talking: asyncio.Task[None]) -> Any:
    """What comes until the service closes; it is asked to once all was said."""
    talking.add_done_callback(lambda _: asyncio.ensure_future(connection.send_close_stream()))
    async for message in connection:
        yield message


def test_a_final_result_comes_when_it_is_due_and_its_delay_is_recorded(run: Run) -> None:
    async def story(emulator: Emulator) -> None:
        async with (
            deepgram_client(emulator) as client,
            listen(client, endpointing=False) as connection,
        ):
            await talk(connection, clip("oui", after=0.25))
            await connection.send_finalize()
            final = (await until_final(connection))[-1]
        assert (transcript(final), final.from_finalize) == ("Oui.", True)
        [delay] = emulator.records.delays(step=Step.LISTEN_FINAL, tag="call-42")
        assert delay.planned == pytest.approx(0.4)
        assert delay.seconds >= 0.4

    run(story, Profile(listen_final=Distribution(0.4)))


def test_flux_tells_turns(run: Run) -> None:
    async def story(emulator: Emulator) -> None:
        async with deepgram_client(emulator) as client, client.listen.v2.connect(
            model="flux-general-multi", encoding="linear16", sample_rate=8000,
            language_hint=["fr"], eager_eot_threshold=0.4, keyterm=["box"],
        ) as connection:  # fmt: skip
            talking = asyncio.create_task(talk(connection, clip("oui-c-est-ca", after=0.6)))
            told = [m async for m in until_end(connection, talking)]
        assert told[0].type == "Connected"
        events = [m.event for m in told[1:] if m.event != "Update"]
        assert events == ["StartOfTurn", "EagerEndOfTurn", "EndOfTurn"]
        (end,) = (m for m in told[1:] if m.event == "EndOfTurn")
        assert (end.transcript, end.trigger) == ("Oui, c'est ça.", "model")

    run(story, Profile(listen_final=Distribution(0.25)))


@pytest.mark.parametrize(
    ("kind", "error", "status"),
    [
        (Kind.UNAUTHORIZED, InvalidStatus, 401),
        (Kind.FORBIDDEN, InvalidStatus, 403),
        (Kind.RATE_LIMITED, InvalidStatus, 429),
        (Kind.SERVER_ERROR, InvalidStatus, 500),
        (Kind.REFUSE, ConnectionRefusedError, None),
        (Kind.DROP, InvalidMessage, None),
        (Kind.HANG, TimeoutError, None),
    ],
)
def test_a_connection_that_is_not_made(
    run: Run, kind: Kind, error: type[Exception], status: int | None
) -> None:
    async def story(emulator: Emulator) -> None:
        await emulator.inject(Fault(Service.LISTEN, kind, moment=Moment.CONNECT, retry_after=3))
        async with deepgram_client(emulator) as client:
            with pytest.raises(error) as caught:
                async with listen(client):
                    raise AssertionError("connected")
            if isinstance(caught.value, InvalidStatus):
                response = caught.value.response
                assert response.status_code == status
                assert response.headers["dg-error"]
                if status == 429:
                    assert response.headers["retry-after"] == "3"
            await emulator.mend()
            async with listen(client):
                pass

    run(story)


def test_a_wrong_option_is_refused_with_the_reason(run: Run) -> None:
    async def story(emulator: Emulator) -> None:
        async with deepgram_client(emulator) as client:
            with pytest.raises(InvalidStatus) as caught:
                async with listen(client, model="nova-2"):
                    raise AssertionError("connected")
        assert caught.value.response.headers["dg-error"].startswith("Keyterm prompting")

    run(story)


@pytest.mark.parametrize("kind", [Kind.DROP, Kind.SERVER_ERROR])
def test_a_connection_that_breaks_at_a_result(run: Run, kind: Kind) -> None:
    async def story(emulator: Emulator) -> None:
        await emulator.inject(Fault(Service.LISTEN, kind, moment=Moment.STREAM, times=1))
        async with deepgram_client(emulator) as client, listen(client) as connection:
            await talk(connection, clip("oui"), speed=20)
            await connection.send_finalize()
            with pytest.raises(ConnectionClosedError) as caught:
                await until_final(connection)
        code = caught.value.rcvd.code if caught.value.rcvd else None
        assert code == (1011 if kind is Kind.SERVER_ERROR else None)
        assert emulator.faults.struck(Service.LISTEN, kind) == 1

    run(story)


@pytest.mark.parametrize("moment", [Moment.STREAM, Moment.NOW])
def test_a_peer_that_goes_quiet(run: Run, moment: Moment) -> None:
    async def story(emulator: Emulator) -> None:
        async with deepgram_client(emulator) as client, listen(client) as connection:
            await talk(connection, clip("oui"), speed=20)
            await emulator.inject(Fault(Service.LISTEN, Kind.HANG, moment=moment))
            await connection.send_finalize()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await until_final(connection)
            await connection.send_keep_alive()  # it still takes what is sent

    run(story)


def test_every_open_connection_can_be_cut_at_once(run: Run) -> None:
    async def story(emulator: Emulator) -> None:
        async with (
            deepgram_client(emulator) as client,
            listen(client) as one,
            listen(client) as other,
        ):
            await emulator.inject(Fault(Service.LISTEN, Kind.DROP, moment=Moment.NOW))
            for connection in (one, other):
                with pytest.raises(ConnectionClosedError):
                    await until_final(connection)
        assert emulator.faults.struck(Service.LISTEN, Kind.DROP) == 2

    run(story)


def test_an_unknown_message_is_none_and_the_result_comes_all_the_same(run: Run) -> None:
    async def story(emulator: Emulator) -> None:
        await emulator.inject(Fault(Service.LISTEN, Kind.UNKNOWN))
        async with deepgram_client(emulator) as client, listen(client) as connection:
            await talk(connection, clip("oui"), speed=20)
            await connection.send_finalize()
            seen = await until_final(connection)
        assert transcript(seen[-1]) == "Oui."
        assert not isinstance(seen[-2], ListenV1Results)

    run(story)


@pytest.mark.parametrize("kind", [Kind.EMPTY, Kind.MALFORMED, Kind.SLOW])
def test_a_result_can_be_lost_or_unreadable_or_late(run: Run, kind: Kind) -> None:
    async def story(emulator: Emulator) -> None:
        await emulator.inject(Fault(Service.LISTEN, kind, times=1))
        async with deepgram_client(emulator) as client, listen(client) as connection:
            await talk(connection, clip("oui"), speed=20)
            await connection.send_finalize()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await until_final(connection)  # the kit skips what is not JSON, with a warning
            await connection.send_finalize()
            late = transcript((await until_final(connection))[-1])
        assert late == ("Oui." if kind is Kind.SLOW else "")

    run(story)


# -- speaking --------------------------------------------------------------------------------


async def said_by_request(client: AsyncDeepgramClient, text: str = HELLO) -> bytes:
    stream = client.speak.v1.audio.generate(
        text=text, model="aura-2-agathe-fr", encoding="linear16", sample_rate=8000,
        container="none",
    )  # fmt: skip
    return b"".join([piece async for piece in stream])


def audible(pcm: bytes) -> bool:
    return bool(np.abs(np.frombuffer(pcm[: len(pcm) & ~1], "<i2")).max(initial=0) > 1000)


def test_aura_speaks_by_request(run: Run) -> None:
    async def story(emulator: Emulator) -> None:
        async with deepgram_client(emulator) as client:
            pcm = await said_by_request(client)
        assert 1.0 < len(pcm) / 16_000 < 4.0
        assert audible(pcm)
        [delay] = emulator.records.delays(step=Step.SPEAK_FIRST_BYTE)
        assert delay.seconds >= 0.1

    run(story, Profile(speak_first_byte=Distribution(0.1)))


async def next_flush(connection: Any) -> bytes:
    pcm = b""
    async for message in connection:
        if isinstance(message, bytes):
            pcm += message
        elif message.type == "Flushed":
            break
    return pcm


def test_aura_speaks_on_a_websocket_and_is_cleared(run: Run) -> None:
    async def story(emulator: Emulator) -> None:
        async with (
            deepgram_client(emulator) as client,
            client.speak.v1.connect(
                model="aura-2-agathe-fr", encoding="mulaw", sample_rate=8000
            ) as connection,
        ):
            await connection.send_text(SpeakV1Text(type="Speak", text="Bonjour, "))
            await connection.send_text(SpeakV1Text(type="Speak", text="je vous écoute."))
            await connection.send_flush()
            spoken = await next_flush(connection)
            await connection.send_text(SpeakV1Text(type="Speak", text=HELLO))
            await connection.send_flush()
            await connection.send_clear()
            kinds = [m.type async for m in up_to(connection, "Cleared")]
            await connection.send_close()
            async for _ in connection:
                pass
        assert 1.0 < len(spoken) / 8_000 < 4.0
        assert kinds == ["Cleared"]

    run(story, Profile(speak_first_byte=Distribution(0.1)))


async def up_to(connection: Any, kind: str) -> Any:
    async for message in connection:
        yield message
        if getattr(message, "type", None) == kind:
            break


@pytest.mark.parametrize(
    ("kind", "status"),
    [(Kind.UNAUTHORIZED, 401), (Kind.RATE_LIMITED, 429), (Kind.SERVER_ERROR, 500)],
)
def test_aura_refuses_a_request(run: Run, kind: Kind, status: int) -> None:
    async def story(emulator: Emulator) -> None:
        await emulator.inject(Fault(Service.SPEAK, kind))
        async with deepgram_client(emulator) as client:
            with pytest.raises(ApiError) as caught:
                await said_by_request(client)
        assert caught.value.status_code == status

    run(story)


def test_wrong_audio_is_wrong_as_it_was_told(run: Run) -> None:
    async def story(emulator: Emulator) -> None:
        async with deepgram_client(emulator) as client:
            whole = await said_by_request(client)
            got = {}
            for kind in (Kind.HALF, Kind.SILENCE, Kind.ODD, Kind.EMPTY):
                await emulator.inject(Fault(Service.SPEAK, kind, times=1))
                got[kind] = await said_by_request(client)
        assert len(got[Kind.HALF]) == len(whole) // 4 * 2
        assert not audible(got[Kind.SILENCE])
        assert len(got[Kind.ODD]) == len(whole) - 1
        assert got[Kind.EMPTY] == b""

    run(story)
