"""The language model in a call, in virtual time: how long the caller waits, and what is left."""

from __future__ import annotations

import asyncio

import pytest

from tests.support import virtual_time
from tests.support.call_stage import CallStage, ScriptedModel, ScriptedStt, ScriptedTts
from voicebot.providers.interfaces import ProviderError, Role, Stage

FREE = "Combien de temps ça prend ?"
HEAD = '{"intent": "question"}\n'
BROKEN = ProviderError(Stage.LLM, "groq", "500", retryable=True)
WORDS_AFTER = 0.25
"""Seconds from the pause to the words: what Deepgram takes."""
FIRST_TOKEN = FIRST_AUDIO = 0.2
HANGOVER = 0.16


def stage(texts: list[object], *script: object, tts: float = FIRST_AUDIO) -> CallStage:
    return CallStage(
        ScriptedStt(texts, delay=WORDS_AFTER - HANGOVER),
        tts=ScriptedTts(tts),
        llm=ScriptedModel([list(script)]),
    )


async def waited(call: CallStage) -> float:
    """Speak; seconds from the last sound to the bot's first one."""
    await call.listen_until_silent()
    await call.say(1.0)
    began = call.loop.time()
    for _ in range(500):
        await call.slots(1)
        if call.heard[-1] is not None:
            return call.loop.time() - began
    raise AssertionError("nothing was heard")


def test_what_is_thought_ahead_costs_no_time() -> None:
    async def story() -> None:
        call = stage([FREE], FIRST_TOKEN, HEAD + "Deux minutes.")
        await call.start()
        took = await waited(call)
        # The reply has begun after 0.45 s, and so 0.5 s are enough; then it is the voice that
        # is waited for, which has had 0.05 s.
        assert WORDS_AFTER + FIRST_TOKEN + FIRST_AUDIO <= took <= 0.75
        await call.listen_until_silent()
        said = [str(event["text"]) for event in call.events("bot_said")]
        assert said[-2:] == ["Deux minutes.", "Je vous écoute, quel est votre problème ?"]
        await call.hang_up()
        (turn,) = call.journal.turns[1:]
        assert turn.understood == "model: question"
        assert turn.response_s == pytest.approx(took, abs=0.05)
        assert call.metric("voicebot_llm_speculations_total", fate="used") == 1
        assert call.metric("voicebot_fillers_total", waiting_for="llm") == 0

    virtual_time.run(story())


@pytest.mark.parametrize(
    ("reply", "wait"), [(HEAD + "Deux minutes.", 0.5), ('{"intent": "unclear"}', 0.65)]
)
def test_what_the_model_can_answer_is_not_waited_for_longer(reply: str, wait: float) -> None:
    async def story() -> None:
        call = stage([FREE], FIRST_TOKEN, reply, tts=0.0)
        await call.start()
        assert await waited(call) == pytest.approx(wait, abs=0.06)
        await call.hang_up()

    virtual_time.run(story())


def test_only_what_is_slower_than_the_wait_for_the_end_of_the_turn_is_waited_for() -> None:
    async def story() -> None:
        call = stage([FREE], 0.85, HEAD + "Deux minutes.")
        await call.start()
        assert await waited(call) == pytest.approx(WORDS_AFTER + 0.85 + FIRST_AUDIO, abs=0.1)
        await call.hang_up()

    virtual_time.run(story())


def test_a_caller_who_goes_on_leaves_nothing_running() -> None:
    async def story() -> None:
        call = stage([FREE, "ma box ne marche plus"], 0.1, HEAD + "Deux minutes. ", 5.0)
        await call.start()
        await call.listen_until_silent()
        await call.say(1.0)
        await call.listen(0.5)
        llm = call.llm
        assert isinstance(llm, ScriptedModel)
        assert llm.running == 1
        await call.say(1.0)
        assert llm.running == 0
        assert call.tts.made == [], "the sentence was let go"
        await call.listen(1.5)
        assert call.session.state == "identification"
        assert call.metric("voicebot_llm_speculations_total", fate="dropped") == 1
        await call.hang_up()

    virtual_time.run(story())


def test_a_model_that_is_slow_is_bridged_and_its_answer_follows() -> None:
    async def story() -> None:
        call = stage([FREE], 3.0, HEAD + "Deux minutes.")
        await call.start()
        assert 1.5 <= await waited(call) <= 1.65
        await call.listen(4.0)
        said = [str(event["text"]) for event in call.events("bot_said")]
        assert said[-3:] == [
            "Un instant s'il vous plaît.",
            "Deux minutes.",
            "Je vous écoute, quel est votre problème ?",
        ]
        assert call.metric("voicebot_fillers_total", waiting_for="llm") == 1
        await call.hang_up()
        (turn,) = call.journal.turns[1:]
        # It was asked at the pause, when the words were known; the filler is over long before.
        answered = WORDS_AFTER + 3.0 + FIRST_AUDIO
        assert turn.response_s == pytest.approx(answered, abs=0.1), "not with the filler"

    virtual_time.run(story())


def test_a_voice_that_is_slow_is_bridged_without_starting_over() -> None:
    async def story() -> None:
        call = stage([FREE], 0.1, HEAD + "Deux minutes.", tts=3.0)
        await call.start()
        assert 1.5 <= await waited(call) <= 1.65
        await call.listen(4.0)
        assert call.tts.made == ["Deux minutes."], "made once"
        assert call.metric("voicebot_fillers_total", waiting_for="tts") == 1
        await call.hang_up()
        (turn,) = call.journal.turns[1:]
        assert turn.response_s == pytest.approx(WORDS_AFTER + 0.1 + 3.0, abs=0.1)

    virtual_time.run(story())


@pytest.mark.parametrize("failure", [BROKEN, ValueError("a bug")], ids=["provider", "bug"])
def test_a_model_that_fails_leaves_it_to_the_rules(failure: Exception) -> None:
    async def story() -> None:
        call = stage([FREE], 0.1, failure)
        await call.start()
        assert await waited(call) < 1.0
        assert call.session.state == "identification"
        # Once ahead of time, and once in earnest.
        assert [r.speculative for r in call.llm.requests] == [True, False]  # type: ignore[union-attr]
        assert call.metric("voicebot_llm_replies_total", outcome="failed") == 1
        await call.hang_up()

    virtual_time.run(story())


def test_it_is_told_what_was_heard() -> None:
    async def story() -> None:
        call = stage([FREE], 0.1, HEAD + "Deux minutes.")
        await call.start()
        await call.listen(0.6)
        await call.say(1.0)
        await call.listen(1.5)
        llm = call.llm
        assert isinstance(llm, ScriptedModel)
        system, greeting, now, said = llm.requests[0].messages
        assert (system.role, now.role) == (Role.SYSTEM, Role.SYSTEM)
        assert greeting.role is Role.ASSISTANT
        assert greeting.content.startswith("Bonjour, bienvenue")
        assert "votre problème" not in greeting.content, "nobody heard that"
        assert said.content == FREE
        await call.hang_up()

    virtual_time.run(story())


def test_hanging_up_ends_every_request() -> None:
    async def story() -> None:
        call = stage([FREE], 5.0)
        await call.start()
        await call.listen_until_silent()
        await call.say(1.0)
        await call.listen(1.0)
        llm = call.llm
        assert isinstance(llm, ScriptedModel)
        assert llm.running == 1
        await call.hang_up()
        assert llm.running == 0
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert left == []

    virtual_time.run(story())
