"""Groq by its own kit: streamed, counted, replaced in time when it fails, and nothing left over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import cast

import pytest
import structlog

from tests.cloud.conftest import Stand
from tests.support.waiting import until
from voicebot.emulator.brain import Reply
from voicebot.emulator.faults import Fault, Kind, Moment, Service
from voicebot.emulator.latency import Profile
from voicebot.providers.interfaces import Judge, Message, ModelRequest, ProviderError, Role, Stage
from voicebot.speech import chains

Play = Callable[..., None]
CHAT = Service.CHAT
REPLY = "Bien sûr, cela prend deux minutes. Et votre nom ?"
ALONE = {"LLM_CHAIN": "groq,rules"}


def request(*, speculative: bool = False) -> ModelRequest:
    messages = (
        Message(Role.SYSTEM, "Tu réponds à un client."),
        Message(Role.USER, "Combien de temps ça prend ?"),
    )
    return ModelRequest(messages, 200, "call", speculative, judge_of_words)


def judge_of_words() -> Judge:
    """Of use as soon as there is a word, for as long as all of them take to say."""
    written = ""

    def judge(piece: str) -> float | None:
        nonlocal written
        written += piece
        return len(written) / 16 if " " in written else None

    return judge


async def ask(stand: Stand) -> str:
    """The reply."""
    assert stand.chains.llm is not None
    return "".join([piece async for piece in stand.chains.llm.answer(request())])


def test_a_reply_is_read_while_it_is_written_and_counted(play: Play) -> None:
    async def story(stand: Stand) -> None:
        stand.emulator.brain.scripted[:] = [Reply(content=REPLY)]
        for _ in range(2):
            assert await ask(stand) == REPLY
        sent = stand.emulator.records.requests[-1].body
        assert [m["role"] for m in sent["messages"]] == ["system", "user"]
        assert sent["model"] == "openai/gpt-oss-20b"
        assert (sent["reasoning_effort"], sent["include_reasoning"]) == ("low", False)
        assert stand.requests("llm", "groq", "ok") == 2
        assert stand.count("llm_first_token_seconds_count", provider="groq") == 2
        for direction in ("input", "output"):
            assert stand.count("llm_tokens_total", provider="groq", direction=direction) > 10

    play(story)


def test_a_model_that_cannot_think_is_not_told_to(play: Play) -> None:
    async def story(stand: Stand) -> None:
        await ask(stand)
        sent = stand.emulator.records.requests[-1].body
        assert not {"reasoning_effort", "include_reasoning"} & sent.keys()

    play(story, GROQ_REASONING="off", GROQ_MODEL="llama-5")


FAULTS = [
    (Kind.REFUSE, None, "error"),
    (Kind.UNAUTHORIZED, None, "error"),
    (Kind.FORBIDDEN, None, "error"),
    (Kind.RATE_LIMITED, None, "error"),
    (Kind.SERVER_ERROR, Moment.CONNECT, "error"),
    (Kind.RETIRED, None, "error"),
    (Kind.HANG, Moment.CONNECT, "timeout"),
    (Kind.DROP, Moment.CONNECT, "error"),
    (Kind.EMPTY, None, "error"),
    (Kind.HANG, Moment.STREAM, "timeout"),
    (Kind.DROP, Moment.STREAM, "error"),
    (Kind.SERVER_ERROR, Moment.STREAM, "error"),
    (Kind.MALFORMED, None, "error"),
]


@pytest.mark.parametrize(("kind", "moment", "outcome"), FAULTS, ids=str)
def test_every_fault_is_an_error_in_time_and_counted(
    play: Play, kind: Kind, moment: Moment | None, outcome: str
) -> None:
    async def story(stand: Stand) -> None:
        stand.emulator.brain.scripted[:] = [Reply(content=REPLY)]
        await ask(stand)
        await stand.emulator.inject(Fault(CHAT, kind, moment=moment, retry_after=30))
        with pytest.raises(ProviderError) as caught:
            await ask(stand)
        assert caught.value.stage is Stage.LLM
        assert "emulator" not in str(caught.value), "the key is not told"
        assert stand.requests("llm", "groq", outcome) >= 1

    play(story, **ALONE)


def test_what_is_odd_but_right_is_read(play: Play) -> None:
    async def story(stand: Stand) -> None:
        stand.emulator.brain.scripted[:] = [Reply(content=REPLY)]
        await stand.emulator.inject(Fault(CHAT, Kind.UNKNOWN))
        assert await ask(stand) == REPLY

    play(story, **ALONE)


def test_a_reply_that_drips_slower_than_it_is_said_is_ended(play: Play) -> None:
    async def story(stand: Stand) -> None:
        stand.emulator.brain.scripted[:] = [Reply(content="a b c d " * 60)]
        await stand.emulator.inject(Fault(CHAT, Kind.SLOW))
        with pytest.raises(ProviderError, match="did not finish a reply in time"):
            await ask(stand)
        assert stand.requests("llm", "groq", "timeout") == 1
        assert stand.count("llm_tokens_total", provider="groq", direction="output") >= 1

    play(story, **ALONE)


def test_a_reply_of_which_nothing_can_be_used_in_time_is_the_next_models(play: Play) -> None:
    async def story(stand: Stand) -> None:
        drips = Reply(content="anticonstitutionnellement " * 9, times=1)
        stand.emulator.brain.scripted[:] = [drips, Reply(content=REPLY)]
        await stand.emulator.inject(Fault(CHAT, Kind.SLOW, times=1))
        assert await ask(stand) == REPLY
        assert stand.requests("llm", "groq", "timeout") == 1
        assert stand.requests("llm", "groq_spare", "ok") == 1

    play(story)


def test_one_bad_answer_is_mended_by_the_second_attempt(play: Play) -> None:
    async def story(stand: Stand) -> None:
        stand.emulator.brain.scripted[:] = [Reply(content=REPLY)]
        await stand.emulator.inject(Fault(CHAT, Kind.SERVER_ERROR, times=1))
        assert await ask(stand) == REPLY

    play(story, **ALONE)


def test_a_retired_model_is_replaced_by_the_spare_one_and_not_tried_again(play: Play) -> None:
    async def story(stand: Stand) -> None:
        stand.emulator.brain.scripted[:] = [Reply(content=REPLY)]
        with structlog.testing.capture_logs() as logs:
            for _ in range(3):
                assert await ask(stand) == REPLY
        models = [r.body["model"] for r in stand.emulator.records.requests]
        assert models == ["mixtral-8x7b-32768", *["openai/gpt-oss-120b"] * 3]
        (said,) = [entry for entry in logs if entry["log_level"] == "error"]
        assert said["event"] == "model is gone"
        assert said["model"] == "mixtral-8x7b-32768"

    play(story, GROQ_MODEL="mixtral-8x7b-32768")


def test_a_model_whose_day_has_come_is_passed_over(play: Play) -> None:
    async def story(stand: Stand) -> None:
        stand.emulator.brain.scripted[:] = [Reply(content=REPLY)]
        assert await ask(stand) == REPLY
        (sent,) = stand.emulator.records.requests
        assert sent.body["model"] == "openai/gpt-oss-120b"

    play(story, GROQ_MODEL="llama-3.1-8b-instant")


def test_warming_finds_a_wrong_key_before_the_first_caller(play: Play) -> None:
    async def story(stand: Stand) -> None:
        await stand.emulator.inject(Fault(CHAT, Kind.UNAUTHORIZED))
        with structlog.testing.capture_logs() as logs:
            await chains.warm(stand.clouds, stand.chains)
        assert any("GROQ_API_KEY" in str(entry.get("reason")) for entry in logs)
        assert stand.count("provider_circuit_open", stage="llm", provider="groq") == 1
        with pytest.raises(ProviderError, match="nobody can be asked"):
            await ask(stand)

    play(story)


@pytest.mark.parametrize("after", [0.0, 0.05, 0.25], ids=["asked", "waiting", "writing"])
@pytest.mark.parametrize("kind", [None, Kind.HANG, Kind.SLOW], ids=str)
def test_a_barge_in_cancels_the_request_itself(play: Play, after: float, kind: Kind | None) -> None:
    async def story(stand: Stand) -> None:
        stand.emulator.brain.scripted[:] = [Reply(content="mot " * 60)]
        stand.emulator.latency.profile = Profile(chat_tokens_per_second=50)
        if kind is not None:
            await stand.emulator.inject(Fault(CHAT, kind, moment=Moment.STREAM))
        assert stand.chains.llm is not None
        answer = cast(AsyncGenerator[str, None], stand.chains.llm.answer(request()))

        async def read() -> None:
            async for _ in answer:
                pass

        task = asyncio.create_task(read())
        await asyncio.sleep(after)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await answer.aclose()
        await until(lambda: not stand.emulator.open_exchanges(CHAT), 5, "the request is let go")

    play(story, **ALONE)
