"""How a call ends, and what is counted and kept of it."""

from __future__ import annotations

import asyncio
import wave
from collections.abc import Iterable
from pathlib import Path
from typing import cast

import pytest

from tests.support import virtual_time
from tests.support.call_stage import (
    SPEECH,
    CallStage,
    NotedJournal,
    ScriptedModel,
    ScriptedStt,
    ScriptedTts,
)
from voicebot import script_file
from voicebot.audio import pcm
from voicebot.audiosocket.protocol import RemoteProtocolError
from voicebot.call.callbacks import CALLBACK_DEADLINE
from voicebot.call.recorder import Recorder
from voicebot.call.traffic import new_probe_id
from voicebot.call.transport import PeerStalledError
from voicebot.dialogue.answering import Answering
from voicebot.dialogue.commands import NextStep
from voicebot.prompts.learned import Learned, Privacy
from voicebot.providers.interfaces import ProviderError, Stage, Transcript
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


def test_three_errors_in_a_row_hand_the_caller_to_a_person() -> None:
    async def story() -> None:
        stage = CallStage(ScriptedStt([None, None, None]))
        await stage.start()
        for _ in range(3):
            await stage.answer()
        await stage.listen_until_silent()
        assert stage.memory is not None
        assert (stage.memory.next_step, stage.memory.outcome) == (NextStep.TRANSFER, "failed")
        await stage.session.released()
        assert failures(stage) == {("stt", "live"): 1}
        assert fallbacks(stage) == {"provider_errors": 1}

    virtual_time.run(story())


def test_caller_hangs_up_in_the_middle_of_a_word() -> None:
    async def story() -> None:
        stage = CallStage(ScriptedStt(["bonjour"]))
        await stage.start()
        await stage.listen_until_silent()
        await stage.say(0.5)
        await stage.hang_up()
        assert stage.memory is not None
        assert (stage.memory.next_step, stage.memory.outcome) == (NextStep.HANGUP, "caller_hangup")
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
        assert stage.memory is not None
        assert stage.memory.outcome == "no_input"
        await stage.session.released()

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
        assert stage.memory is not None
        assert stage.memory.outcome == "failed"
        await stage.session.released()
        assert failures(stage) == {("storage", "live"): 1}
        assert fallbacks(stage) == {"technician_asked": 1}

    virtual_time.run(story())


def test_who_hangs_up_while_a_callback_is_stored_is_told_nothing_more() -> None:
    async def story() -> None:
        texts = ["bonjour", "Pierre Dupont 06 12 34 56 78", "oui", "un technicien", "oui"]
        stage = CallStage(
            ScriptedStt(list(texts)), journal=NotedJournal(answers=False), technician=False
        )
        await stage.start()
        for _ in texts[:-1]:
            await stage.answer()
        await stage.listen_until_silent()
        await stage.say(1.0)
        await stage.listen(1.2)
        assert stage.journal.callbacks
        await stage.hang_up()
        await asyncio.sleep(CALLBACK_DEADLINE + 1)
        assert stage.session.state == "transfer"

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
        assert stage.session.end_command is not None
        assert stage.memory is not None
        assert stage.memory.outcome == "callback"
        await stage.session.released()
        assert stage.metric("voicebot_audio_underruns_total") == 0

    virtual_time.run(story())


def test_a_bug_in_the_dialogue_costs_no_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    async def story() -> None:
        stage = CallStage(ScriptedStt(["bonjour"]))
        await stage.start()
        monkeypatch.setattr(Answering, "_on_caller_said", broken)
        await stage.answer()
        assert stage.memory is not None
        assert (stage.memory.next_step, stage.memory.outcome) == (NextStep.TRANSFER, "failed")
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
        assert stage.memory is not None
        assert stage.memory.next_step is NextStep.TRANSFER, "a person takes over"

    virtual_time.run(story())


def test_what_the_recogniser_tells_after_the_end_changes_nothing() -> None:
    """Its connection is closed a moment after the call."""

    async def story() -> None:
        model = ScriptedModel([['{"intent": "question"}', "Deux minutes."]])
        stage = CallStage(ScriptedStt([...]), llm=model)
        await stage.start()
        await stage.listen_until_silent()
        await stage.say(1.0)
        await stage.listen(0.3)
        stage.session.connection_lost(None)
        turns = len(stage.journal.turns)
        await stage.session.released()
        stage.stt._on_transcript(Transcript("Combien de temps ça prend ?", 1, 0.9))
        stage.stt._on_error(ProviderError(Stage.STT, "local", "broken", retryable=True))
        await asyncio.sleep(1)
        assert model.requests == []
        assert len(stage.journal.turns) == turns
        assert stage.events()[-1]["event"] == "ended"

    virtual_time.run(story())


def test_the_end_of_a_call_leaves_no_sentence_in_the_making() -> None:
    async def story() -> None:
        tts = ScriptedTts(delay=30.0)
        stage = CallStage(ScriptedStt(["bonjour", "Pierre Dupont 06 12 34 56 78"]), tts=tts)
        await stage.start()
        await stage.answer()
        await stage.listen_until_silent()
        await stage.say(1.0)
        await stage.listen(2.0)
        before = asyncio.all_tasks()
        await stage.hang_up()
        assert len(before) > 1, "one was being made"
        assert asyncio.all_tasks() == {asyncio.current_task()}

    virtual_time.run(story())


def test_sounds_without_words_are_no_turn() -> None:
    async def story() -> None:
        stage = CallStage(ScriptedStt([""]))
        await stage.start()
        await stage.listen_until_silent()
        await stage.say(0.4)
        await stage.listen(2.0)
        await stage.hang_up()
        assert [turn.number for turn in stage.journal.turns] == [0]
        assert stage.events("caller_said") == []

    virtual_time.run(story())


def test_who_speaks_over_the_goodbye_and_hangs_up_has_interrupted_nothing() -> None:
    async def story() -> None:
        stage = CallStage(ScriptedStt(["Non, rien. Au revoir."]))
        await stage.start()
        await stage.answer()
        await stage.say(0.5)
        assert stage.heard[-1] is not None, "the goodbye goes on"
        await stage.hang_up()
        assert stage.metric("voicebot_barge_in_stop_seconds_count") == 0
        assert stage.journal.turns[-1].outcome == "answered"

    virtual_time.run(story())


@pytest.mark.parametrize(("reply", "confirmed"), [("oui", True), ("euh", False)])
def test_what_is_remembered_says_whether_the_number_is_right(reply: str, confirmed: bool) -> None:
    async def story() -> None:
        texts = ["bonjour", "Pierre Dupont 06 12 34 56 78", reply, "un technicien"]
        stage = CallStage(ScriptedStt(list(texts)))
        await stage.start()
        for _ in texts:
            await stage.answer()
        await stage.listen_until_silent()
        assert stage.memory is not None
        assert (stage.memory.outcome, stage.memory.number) == ("transferred", "0612345678")
        assert stage.memory.confirmed is confirmed
        await stage.session.released()

    virtual_time.run(story())


def test_a_service_that_stops_says_so() -> None:
    async def story() -> None:
        stage = CallStage()
        await stage.start()
        stage.session.end(NextStep.TRANSFER, "failed")
        await stage.slots(1)
        await stage.session.released()
        assert failures(stage) == {("stopped", "live"): 1}

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
