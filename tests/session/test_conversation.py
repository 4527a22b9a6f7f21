"""What callers hear, and how soon."""

from __future__ import annotations

import pytest

from tests.support import virtual_time
from tests.support.call_stage import BOT_FRAME, CallStage, ScriptedStt, ScriptedTts
from voicebot.dialogue.commands import NextStep
from voicebot.providers.interfaces import Expectation


def test_the_reference_scenario() -> None:
    async def story() -> None:
        stage = CallStage(
            ScriptedStt(
                [
                    "J'ai un problème avec mon internet.",
                    "Pierre Dupont, 06 12 34 56 78.",
                    "Oui, c'est ça.",
                    "Oui, ça marche !",
                ]
            )
        )
        await stage.start()
        for _ in range(3):
            await stage.answer()
        await stage.listen_until_silent()  # the advice
        await stage.listen(2.2)  # its pause
        await stage.answer()
        await stage.listen_until_silent()
        await stage.session.released()

        assert stage.memory is not None
        assert (stage.memory.next_step, stage.memory.outcome) == (NextStep.HANGUP, "completed")
        states = [event["state"] for event in stage.events("state")]
        assert states == [
            "welcome", "identification", "diagnostic", "solution", "verification", "goodbye",
        ]  # fmt: skip
        assert stage.tts.made == ["Vous êtes Pierre Dupont, au 06 12 34 56 78."]
        assert stage.metric("voicebot_calls_total", outcome="completed", traffic="live") == 1
        (ended,) = stage.journal.ended
        assert (ended.caller_name, ended.caller_number) == ("Pierre Dupont", "0612345678")
        assert (ended.turns, ended.ended_by, ended.reason) == (4, "bot", "internet")

    virtual_time.run(story())


def test_the_answer_comes_when_the_wait_is_over_and_is_measured_so() -> None:
    async def story() -> None:
        stage = CallStage(ScriptedStt(["Pierre Dupont, 06 12 34 56 78."]))
        await stage.start()
        await stage.answer()  # to the greeting; anything may follow, so the open wait of 0.65 s
        await stage.hang_up()
        turn = stage.journal.turns[-1]
        assert turn.number == 1
        assert turn.response_s == pytest.approx(0.65, abs=0.05)
        assert turn.endpointing_s == pytest.approx(turn.response_s, abs=0.001)
        assert stage.metric("voicebot_turn_response_seconds_count", traffic="live") == 1

    virtual_time.run(story())


def test_a_complete_answer_is_answered_sooner() -> None:
    async def story() -> None:
        stage = CallStage(ScriptedStt(["euh, bonjour", "06 12 34 56 78"]))
        await stage.start()
        await stage.answer()
        await stage.answer()
        await stage.hang_up()
        response = stage.journal.turns[-1].response_s
        assert response is not None
        assert response == pytest.approx(0.30, abs=0.03)  # noticed after 0.2 s, words 0.1 s later
        assert Expectation.NUMBER in stage.stt.expectations

    virtual_time.run(story())


def test_a_slow_recogniser_is_all_that_the_caller_waits_for() -> None:
    async def story() -> None:
        stage = CallStage(ScriptedStt(["J'ai un problème d'internet."], delay=1.2))
        await stage.start()
        await stage.answer()
        await stage.hang_up()
        response = stage.journal.turns[-1].response_s
        assert response is not None
        assert 1.2 < response < 1.2 + 0.3  # its time, and the hangover that precedes it

    virtual_time.run(story())


def test_barge_in_stops_the_bot_and_keeps_what_was_heard() -> None:
    async def story() -> None:
        stage = CallStage(ScriptedStt(["Ma box ne marche plus."]))
        await stage.start()
        await stage.listen(1.0)
        assert stage.heard[-1] == BOT_FRAME
        await stage.say(0.3)
        assert stage.heard[-1] is None
        await stage.say(0.7)
        await stage.listen(1.2)
        await stage.hang_up()
        events = stage.events()
        (cut,) = [event for event in events if event["event"] == "bot_cut"]
        # A word takes 0.1 s; 1 s and the time it took to notice were heard.
        assert str(cut["text"]).startswith("Bonjour, bienvenue au SAV Wouippleul. Cet appel est")
        assert "Je vous écoute" not in str(cut["text"])
        assert stage.journal.turns[0].bot_text == cut["text"]
        assert stage.journal.turns[0].outcome == "interrupted"
        assert stage.metric("voicebot_barge_ins_total", outcome="accepted") == 1
        assert stage.metric("voicebot_barge_in_stop_seconds_sum") < 0.3

    virtual_time.run(story())


def test_a_repeated_sentence_is_synthesised_once() -> None:
    async def story() -> None:
        stage = CallStage(
            ScriptedStt(["bonjour", "Pierre Dupont 06 12 34 56 78", "Vous pouvez répéter ?"])
        )
        await stage.start()
        for _ in range(3):
            await stage.answer()
        await stage.listen_until_silent()
        await stage.hang_up()
        assert stage.tts.made == ["Vous êtes Pierre Dupont, au 06 12 34 56 78."]
        said = [str(event["text"]) for event in stage.events("bot_said")]
        assert said[-1] == said[-2]

    virtual_time.run(story())


def test_a_recogniser_that_never_answers_does_not_leave_the_caller_in_silence() -> None:
    async def story() -> None:
        stage = CallStage(ScriptedStt([...]))
        await stage.start()
        await stage.answer()
        assert "Un instant" in str(stage.events("bot_said")[-1]["text"])
        assert stage.metric("voicebot_fillers_total", waiting_for="stt") == 1
        await stage.listen(4.0)
        assert "Pardon" in str(stage.events("bot_said")[-1]["text"])
        await stage.hang_up()

    virtual_time.run(story())


def test_a_voice_that_fails_is_reported_and_the_call_goes_on() -> None:
    async def story() -> None:
        stage = CallStage(
            ScriptedStt(["bonjour", "Pierre Dupont 06 12 34 56 78"]),
            tts=ScriptedTts(fails_on="Pierre"),
        )
        await stage.start()
        await stage.answer()
        await stage.answer()
        await stage.listen_until_silent()
        assert stage.memory is None
        said = str(stage.events("bot_said")[-1]["text"])
        assert said == "Pardon, je n'ai pas bien compris. C'est bien ça ?"
        await stage.hang_up()

    virtual_time.run(story())


def test_a_caller_on_mute_is_silent_too() -> None:
    """No frames arrive at all: hold, mute, silence suppression."""

    async def story() -> None:
        stage = CallStage(ScriptedStt(["J'ai un problème d'internet."]))
        await stage.start()
        await stage.listen_until_silent()
        await stage.say(1.0)
        await stage.slots(100, None)
        assert len(stage.events("caller_said")) == 1
        await stage.hang_up()

    virtual_time.run(story())


def test_keys_are_answered_in_the_same_slot() -> None:
    async def story() -> None:
        stage = CallStage()
        await stage.start()
        await stage.listen(0.5)
        stage.session.digit_received("1", stage.loop.time())
        await stage.slots(1)
        assert stage.heard[-1] == BOT_FRAME
        assert "votre nom" in str(stage.events("bot_said")[-1]["text"])
        await stage.hang_up()
        turn = stage.journal.turns[-1]
        assert (turn.caller_text, turn.understood) == ("1", "keys")
        assert turn.response_s == pytest.approx(0.0, abs=0.021)

    virtual_time.run(story())


def test_keys_over_speech_are_one_turn_and_what_was_heard_belongs_to_the_one_before() -> None:
    async def story() -> None:
        stage = CallStage()
        await stage.start()
        await stage.listen(0.5)
        for digit in "1":
            stage.session.digit_received(digit, stage.loop.time())
            await stage.listen(0.3)
        for digit in "0612345678":
            stage.session.digit_received(digit, stage.loop.time())
            await stage.listen(0.1)
        await stage.hang_up()
        turns = stage.journal.turns
        assert [turn.caller_text for turn in turns] == ["", "1", "0612345678"]
        assert turns[0].bot_text.startswith("Bonjour")
        assert turns[1].bot_text.startswith("Très")

    virtual_time.run(story())
