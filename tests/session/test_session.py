"""From the UUID to the end: what callers hear, what is measured, and what is kept."""

from __future__ import annotations

import asyncio
import wave
from collections.abc import Iterable
from pathlib import Path
from typing import cast

import pytest

from tests.support import virtual_time
from tests.support.call_stage import (
    BOT_FRAME,
    SPEECH,
    CallStage,
    NotedJournal,
    ScriptedStt,
    ScriptedTts,
)
from voicebot import script_file
from voicebot.audio import pcm
from voicebot.audiosocket.protocol import RemoteProtocolError
from voicebot.call.recorder import Recorder
from voicebot.call.traffic import new_probe_id
from voicebot.call.transport import PeerStalledError
from voicebot.dialogue.answering import Answering
from voicebot.dialogue.commands import Next
from voicebot.learned import Learned, Privacy
from voicebot.providers.interfaces import Expectation
from voicebot.telemetry.metrics import Metrics


def failures(stage: CallStage) -> dict[tuple[str, str], float]:
    """Reason and traffic of the calls that failed."""
    return {
        (sample.labels["reason"], sample.labels["traffic"]): sample.value
        for family in stage.metrics.call_failures.collect()
        for sample in family.samples
        if sample.value
    }


def fallbacks(stage: CallStage) -> dict[str, float]:
    return {
        sample.labels["reason"]: sample.value
        for family in stage.metrics.dialogue_fallbacks.collect()
        for sample in family.samples
        if sample.value
    }


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

        assert stage.ended is not None
        assert (stage.ended.next, stage.ended.outcome) == (Next.HANGUP, "completed")
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


class Learner:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, list[str]]] = []

    def spoken(self, text: str, call_id: str, about_caller: Iterable[str]) -> None:
        self.told.append((text, call_id, list(about_caller)))


def test_what_was_no_prompt_is_told_to_the_learner_with_what_is_known_of_the_caller() -> None:
    async def story() -> None:
        learner = Learner()
        words = ["Un problème avec mon internet.", "Pierre Dupont, 06 12 34 56 78.", "Oui."]
        stage = CallStage(ScriptedStt(words), learned=cast(Learned, learner))
        await stage.start()
        for _ in range(3):
            await stage.answer()
        (said,) = stage.tts.made
        (told,) = learner.told
        assert told == (said, str(stage.session.call_id), ["Pierre Dupont", "0612345678"])
        assert not Privacy(script_file.load()).allows(said, told[2])

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
        assert response == pytest.approx(0.36, abs=0.05)
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


def test_three_errors_in_a_row_hand_the_caller_to_a_person() -> None:
    async def story() -> None:
        stage = CallStage(ScriptedStt([None, None, None]))
        await stage.start()
        for _ in range(3):
            await stage.answer()
        await stage.listen_until_silent()
        assert stage.ended is not None
        assert (stage.ended.next, stage.ended.outcome) == (Next.TRANSFER, "failed")
        await stage.session.released()
        assert failures(stage) == {("stt", "live"): 1}
        assert fallbacks(stage) == {"provider_errors": 1}

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
        assert stage.ended is None
        said = str(stage.events("bot_said")[-1]["text"])
        assert said == "Pardon, je n'ai pas bien compris. C'est bien ça ?"
        await stage.hang_up()

    virtual_time.run(story())


def test_caller_hangs_up_in_the_middle_of_a_word() -> None:
    async def story() -> None:
        stage = CallStage(ScriptedStt(["bonjour"]))
        await stage.start()
        await stage.listen_until_silent()
        await stage.say(0.5)
        await stage.hang_up()
        assert stage.ended is not None
        assert (stage.ended.next, stage.ended.outcome) == (Next.HANGUP, "caller_hangup")
        assert stage.journal.ended[0].ended_by == "caller"
        (ended,) = stage.events("ended")
        assert ended["outcome"] == "caller_hangup"
        assert ended["t"] == pytest.approx(stage.loop.time() - 1000.0)

    virtual_time.run(story())


def test_a_silent_caller_is_asked_and_then_let_go() -> None:
    async def story() -> None:
        stage = CallStage()
        await stage.start()
        await stage.listen(40)
        said = [str(event["text"]) for event in stage.events("bot_said")]
        assert [text.split(",")[0] for text in said] == [
            "Bonjour", "Allô", "Je ne vous entends plus. Merci pour votre appel",
        ]  # fmt: skip
        assert stage.ended is not None
        assert stage.ended.outcome == "no_input"
        await stage.session.released()

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


def test_a_callback_that_the_journal_does_not_confirm_is_not_promised() -> None:
    async def story() -> None:
        stage = CallStage(
            ScriptedStt(["bonjour", "Pierre Dupont 06 12 34 56 78", "oui", "un technicien", "oui"]),
            journal=NotedJournal(answers=False),
            technician=False,
        )
        await stage.start()
        for _ in range(4):
            await stage.answer()
        await stage.answer()
        await stage.listen(6.0)
        assert stage.metric("voicebot_fillers_total", waiting_for="storage") == 1
        await stage.listen_until_silent()
        assert stage.journal.callbacks[0].number == "0612345678"
        assert any("pas pu enregistrer" in str(e["text"]) for e in stage.events("bot_said"))
        assert stage.ended is not None
        assert stage.ended.outcome == "failed"
        await stage.session.released()
        assert failures(stage) == {("storage", "live"): 1}
        assert fallbacks(stage) == {"technician_asked": 1}

    virtual_time.run(story())


def test_a_callback_is_confirmed_without_waiting_for_the_voice() -> None:
    async def story() -> None:
        texts = ["bonjour", "Pierre Dupont 06 12 34 56 78", "oui", "un technicien", "oui"]
        stage = CallStage(ScriptedStt(list(texts)), tts=ScriptedTts(delay=0.6), technician=False)
        await stage.start()
        for _ in texts:
            await stage.answer()
        assert stage.tts.made[-1] == "Un technicien vous rappellera au 06 12 34 56 78."
        await stage.listen_until_silent()
        assert stage.session.ending is not None
        assert stage.ended is not None
        assert stage.ended.outcome == "callback"
        await stage.session.released()
        assert stage.metric("voicebot_audio_underruns_total") == 0

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


def test_a_bug_in_the_dialogue_costs_no_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    async def story() -> None:
        stage = CallStage(ScriptedStt(["bonjour"]))
        await stage.start()
        monkeypatch.setattr(Answering, "_on_turn_ended", broken)
        await stage.answer()
        assert stage.ended is not None
        assert (stage.ended.next, stage.ended.outcome) == (Next.TRANSFER, "failed")
        await stage.session.released()
        assert failures(stage) == {("internal", "live"): 1}

    virtual_time.run(story())


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (RemoteProtocolError("nonsense"), "protocol"),
        (PeerStalledError("takes nothing"), "audio"),
        (OSError("no route to host"), "audio"),
        (ZeroDivisionError(), "internal"),
    ],
)
def test_a_lost_connection_says_whose_fault_it_was(error: Exception, fault: str) -> None:
    async def story() -> None:
        stage = CallStage()
        await stage.start()
        stage.session.connection_lost(error)
        await stage.session.released()
        assert failures(stage) == {(fault, "live"): 1}

    virtual_time.run(story())


def test_a_service_that_stops_says_so() -> None:
    async def story() -> None:
        stage = CallStage()
        await stage.start()
        stage.session.end(Next.TRANSFER, "failed")
        await stage.slots(1)
        await stage.session.released()
        assert failures(stage) == {("stopped", "live"): 1}

    virtual_time.run(story())


def test_a_probe_is_counted_apart_and_not_recorded(tmp_path: Path) -> None:
    async def story() -> None:
        metrics = Metrics()
        recorder = Recorder(tmp_path, metrics)
        stage = CallStage(
            ScriptedStt(["Non, rien. Au revoir."]), recorder=recorder, call_id=new_probe_id()
        )
        await stage.start()
        await stage.answer()
        await stage.listen_until_silent()
        await stage.session.released()
        recorder.close()
        assert stage.metric("voicebot_calls_total", outcome="completed", traffic="probe") == 1
        assert stage.metric("voicebot_turn_response_seconds_count", traffic="probe") == 1
        assert stage.metric("voicebot_turn_stage_seconds_count", stage="tts", traffic="probe") == 1
        live = [
            sample
            for family in stage.metrics.registry.collect()
            for sample in family.samples
            if sample.labels.get("traffic") == "live" and sample.value
        ]
        assert live == []
        assert stage.metric("voicebot_call_duration_seconds_count") == 0
        assert [record.traffic for record in stage.journal.started] == ["probe"]

    virtual_time.run(story())
    assert list(tmp_path.rglob("*.wav*")) == []


def test_a_caller_who_refuses_is_not_recorded(tmp_path: Path) -> None:
    async def story() -> None:
        recorder = Recorder(tmp_path, Metrics())
        stage = CallStage(ScriptedStt(["Je ne veux pas être enregistré."]), recorder=recorder)
        await stage.start()
        await stage.answer()
        said = str(stage.events("bot_said")[-1]["text"])
        assert said.startswith("D'accord, cet appel n'est plus enregistré.")
        assert said.endswith("quel est votre problème ?")
        await stage.listen_until_silent()
        await stage.hang_up()
        assert await asyncio.to_thread(recorder.close)
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []  # noqa: ASYNC240
        assert stage.journal.ended[0].recording is None

    virtual_time.run(story())


def test_both_sides_are_recorded_in_step(tmp_path: Path) -> None:
    async def story() -> None:
        metrics = Metrics()
        recorder = Recorder(tmp_path, metrics)
        stage = CallStage(ScriptedStt(["J'ai un problème d'internet."]), recorder=recorder)
        await stage.start()
        await stage.answer()
        await stage.listen_until_silent()
        await stage.hang_up()
        assert await asyncio.to_thread(recorder.close)
        (path,) = tmp_path.rglob("*.wav")  # noqa: ASYNC240 -- nothing else runs by now
        with wave.open(str(path)) as file:
            assert (file.getnchannels(), file.getframerate()) == (2, pcm.SAMPLE_RATE)
            stereo = file.readframes(file.getnframes())
        caller, bot = stereo[0::4] + stereo[1::4], stereo[2::4] + stereo[3::4]
        slots = len(stereo) // (2 * pcm.FRAME_BYTES)
        assert slots == len(stage.heard)
        spoken = sum(1 for frame in stage.heard if frame is not None)
        assert sum(map(bool, bot)) == pytest.approx(spoken * pcm.FRAME_SAMPLES, abs=2 * 160)
        assert sum(map(bool, caller)) == pytest.approx(50 * pcm.FRAME_SAMPLES, abs=2 * 160)
        # The answer follows the caller's last word by the wait, on the tape as in the journal.
        last_word = max(i for i in range(slots) if SPEECH[:2] in stereo[i * 640 : i * 640 + 2])
        after = stereo[last_word * 640 :]
        answer = next(i for i in range(2, len(after), 4) if after[i] or after[i + 1]) / 4 / 8000
        assert answer == pytest.approx(0.65, abs=0.1)

    virtual_time.run(story())
