"""Groq's own kit against the emulator."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import groq
import httpx
import pytest
from groq import AsyncGroq

from tests.support import waiting
from tests.support.cloud import PATIENCE, PLENTY, groq_client
from voicebot.emulator.brain import Answer, Reply
from voicebot.emulator.chat import Completion
from voicebot.emulator.faults import Fault, Kind, Moment, Service
from voicebot.emulator.latency import Distribution, Profile, Step
from voicebot.emulator.server import Emulator

Run = Callable[..., None]
ASKED = [
    {"role": "system", "content": "Tu es le SAV."},
    {"role": "user", "content": "Ma box ne marche plus."},
]
SAID = "Je vois, c'est votre connexion internet."


async def chunks(client: AsyncGroq, **more: Any) -> list[Any]:
    """The streamed answer, asked for as the service asks."""
    stream = await client.chat.completions.create(
        **{
            "model": "openai/gpt-oss-20b", "stream": True, "reasoning_effort": "low",
            "include_reasoning": False, "max_completion_tokens": 200, "messages": [],
            "extra_body": {"messages": ASKED}, **more,
        }
    )  # fmt: skip
    return [chunk async for chunk in stream]


def content(stream: list[Any]) -> str:
    return "".join(c.choices[0].delta.content or "" for c in stream if c.choices)


def test_an_answer_is_streamed_with_groqs_own_fields(run: Run) -> None:
    async def story(emulator: Emulator) -> None:
        async with groq_client(emulator) as client:
            stream = await chunks(client)
        assert content(stream).startswith(SAID)
        assert len(stream) > 20
        assert stream[0].x_groq.id == stream[-1].x_groq.id
        assert stream[-1].choices[0].finish_reason == "stop"
        usage = stream[-1].x_groq.usage
        assert usage.completion_tokens == len(stream) - 2
        assert usage.total_time > 0

    run(story, Profile(chat_tokens_per_second=2000))


def test_the_first_token_takes_its_time_and_the_others_theirs(run: Run) -> None:
    async def story(emulator: Emulator) -> None:
        loop = asyncio.get_running_loop()
        async with groq_client(emulator) as client:
            start = loop.time()
            stream = await chunks(client, extra_headers={"x-call-id": "call-7"})
            took = loop.time() - start
        [delay] = emulator.records.delays(step=Step.CHAT_FIRST_TOKEN, tag="call-7")
        assert delay.seconds >= delay.planned == pytest.approx(0.1)
        assert took >= 0.1 + (len(stream) - 3) / 500

    run(story, Profile(chat_first_token=Distribution(0.1), chat_tokens_per_second=500))


@pytest.mark.parametrize(
    ("content", "needed"),
    [
        ('{"intent": "yes"}', '{"intent": "yes"}'),
        (
            '{"intent": "question"}\nDeux minutes. Pas plus.',
            '{"intent": "question"}\nDeux minutes. ',
        ),
        ('{"intent": "question"}\nDeux minutes.', None),
        ("Rien de tel", None),
    ],
)
def test_how_much_must_be_written_before_a_client_can_act(content: str, needed: str | None) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "?"}]}
    completion = Completion.of(body, Answer(content), 0, 0)
    if needed is None:  # it may go on until it is told that it does not
        assert completion.written == len(completion.pieces) + 1
    else:
        written = "".join(completion.pieces[: completion.written])
        assert written.startswith(needed)
        assert len("".join(completion.pieces[: completion.written - 1])) < len(needed)


def test_what_is_written_takes_its_time_which_is_recorded(run: Run) -> None:
    async def story(emulator: Emulator) -> None:
        said = '{"intent": "question"}\nDeux minutes. Pas plus.'
        emulator.brain.scripted.append(Reply(content=said))
        async with groq_client(emulator) as client:
            await chunks(client, extra_headers={"x-call-id": "call-7"})
        [delay] = emulator.records.delays(step=Step.CHAT_WRITTEN, tag="call-7")
        assert delay.planned == pytest.approx(0.11, abs=0.03)  # ten tokens
        assert delay.seconds >= delay.planned - 0.001

    run(story, Profile(chat_tokens_per_second=100))


def test_an_answer_follows_its_schema(run: Run) -> None:
    schema = {
        "type": "object",
        "properties": {"intent": {"enum": ["internet", "mobile"]}, "say": {"type": "string"}},
    }

    async def story(emulator: Emulator) -> None:
        form = {
            "type": "json_schema",
            "json_schema": {"name": "turn", "strict": True, "schema": schema},
        }
        async with groq_client(emulator) as client:
            whole = await client.chat.completions.create(
                model="openai/gpt-oss-20b", messages=ASKED, response_format=form
            )
            with pytest.raises(groq.BadRequestError, match="does not support streaming"):
                await chunks(client, response_format=form)
        assert json.loads(whole.choices[0].message.content)["intent"] == "internet"

    run(story)


def test_a_tool_is_called_in_pieces(run: Run) -> None:
    tool = {"name": "turn", "parameters": {"type": "object", "properties": {"say": {}}}}

    async def story(emulator: Emulator) -> None:
        async with groq_client(emulator) as client:
            stream = await chunks(client, tools=[{"type": "function", "function": tool}])
        calls = [c.choices[0].delta.tool_calls[0] for c in stream if c.choices[0].delta.tool_calls]
        assert calls[0].function.name == "turn"
        assert json.loads("".join(call.function.arguments for call in calls)) == {"say": {}}
        assert stream[-1].choices[0].finish_reason == "tool_calls"

    run(story)


def test_an_answer_is_cut_at_its_limit(run: Run) -> None:
    async def story(emulator: Emulator) -> None:
        async with groq_client(emulator) as client:
            stream = await chunks(client, max_completion_tokens=3)
        assert stream[-1].choices[0].finish_reason == "length"
        assert len(stream) == 5

    run(story)


def test_a_scripted_answer_is_given_word_for_word(run: Run) -> None:
    async def story(emulator: Emulator) -> None:
        emulator.brain.scripted.append(Reply(content="Un, deux, trois."))
        async with groq_client(emulator) as client:
            assert content(await chunks(client)) == "Un, deux, trois."

    run(story)


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (Kind.UNAUTHORIZED, groq.AuthenticationError),
        (Kind.FORBIDDEN, groq.PermissionDeniedError),
        (Kind.RATE_LIMITED, groq.RateLimitError),
        (Kind.SERVER_ERROR, groq.InternalServerError),
        (Kind.RETIRED, groq.BadRequestError),
        (Kind.REFUSE, groq.APIConnectionError),
        (Kind.DROP, groq.APIConnectionError),
        (Kind.HANG, groq.APITimeoutError),
    ],
)
def test_a_request_that_is_not_answered(run: Run, kind: Kind, error: type[Exception]) -> None:
    async def story(emulator: Emulator) -> None:
        await emulator.inject(Fault(Service.CHAT, kind, moment=Moment.CONNECT, retry_after=2))
        patience = PATIENCE if kind is Kind.HANG else PLENTY
        async with groq_client(emulator, patience=patience) as client:
            with pytest.raises(error) as caught:
                await chunks(client)
            if isinstance(caught.value, groq.RateLimitError):
                assert caught.value.response.headers["retry-after"] == "2"
            await emulator.mend()
            assert content(await chunks(client)).startswith(SAID)

    run(story)


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (Kind.DROP, httpx.RemoteProtocolError),
        (Kind.HANG, httpx.ReadTimeout),
        (Kind.SERVER_ERROR, groq.APIError),
        (Kind.MALFORMED, json.JSONDecodeError),
    ],
)
def test_an_answer_that_breaks_half_way(run: Run, kind: Kind, error: type[Exception]) -> None:
    async def story(emulator: Emulator) -> None:
        await emulator.inject(Fault(Service.CHAT, kind, moment=Moment.STREAM, times=1))
        patience = PATIENCE if kind is Kind.HANG else PLENTY
        async with groq_client(emulator, patience=patience) as client:
            with pytest.raises(error):
                await chunks(client)
            assert content(await chunks(client)).startswith(SAID)

    run(story)


def test_an_answer_may_hold_what_nobody_knows_or_nothing_or_end_early(run: Run) -> None:
    async def story(emulator: Emulator) -> None:
        async with groq_client(emulator) as client:
            got = {}
            for kind in (Kind.UNKNOWN, Kind.EMPTY):
                await emulator.inject(Fault(Service.CHAT, kind, times=1))
                got[kind] = content(await chunks(client))
        assert got[Kind.UNKNOWN].startswith(SAID)
        assert got[Kind.EMPTY] == ""

    run(story)


def test_a_slow_answer_drips(run: Run) -> None:
    async def story(emulator: Emulator) -> None:
        emulator.brain.scripted.append(Reply(content="Un deux"))
        await emulator.inject(Fault(Service.CHAT, Kind.SLOW))
        loop = asyncio.get_running_loop()
        async with groq_client(emulator) as client:
            start = loop.time()
            await chunks(client)
        assert loop.time() - start > 0.7

    run(story)


def test_a_client_that_goes_away_leaves_nothing_behind(run: Run) -> None:
    async def story(emulator: Emulator) -> None:
        async with groq_client(emulator) as client:
            asking = asyncio.create_task(chunks(client))
            await waiting.until(
                lambda: bool(emulator.open_exchanges(Service.CHAT)), 2, "the request is there"
            )
            asking.cancel()
            await waiting.until(
                lambda: not emulator.open_exchanges(Service.CHAT), 2, "the request is gone"
            )

    run(story, Profile(chat_first_token=Distribution(5.0)))
