"""Deepgram's first protocol, by time: what is sent, and not before when."""

from __future__ import annotations

import json
import random
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.emulator.stream import Stream
from voicebot.audio.pcm import SAMPLE_RATE, silence
from voicebot.emulator import options
from voicebot.emulator.latency import Distribution, Latency, Profile
from voicebot.emulator.listen_v1 import IDLE_REASON, ListenV1
from voicebot.emulator.listening import Send
from voicebot.emulator.options import OptionError
from voicebot.emulator.words import Word

DELAY = 0.247
BASE = {"model": ["nova-3"], "language": ["fr"], "encoding": ["linear16"], "sample_rate": ["8000"]}


def voice(seconds: float) -> bytes:
    samples = np.random.default_rng(0).normal(0, 3000, round(seconds * SAMPLE_RATE))
    return samples.astype("<i2").tobytes()


def stream(words: str = "Bonjour à tous.", **query: str) -> Stream:
    profile = Profile(listen_final=Distribution(DELAY), listen_interim=Distribution(0.1))
    wanted = options.v1({**BASE, **{name: [value] for name, value in query.items()}})
    return Stream(ListenV1(wanted, "id", Latency(profile), 0.0), words)


def test_an_utterance_is_final_after_its_silence() -> None:
    call = stream(endpointing="400", punctuate="true", vad_events="true")
    call.send(silence(0.5) + voice(1.0) + silence(1.0))
    assert call.texts() == ["Bonjour à tous."]
    assert call.when(type="SpeechStarted") == pytest.approx(0.55, abs=0.04)
    assert call.when(type="Results", speech_final=True) == pytest.approx(1.9, abs=0.03)
    [final] = call.finals()
    assert final["start"] == pytest.approx(0.5, abs=0.03)
    assert final["duration"] == pytest.approx(1.0, abs=0.04)
    assert [w["punctuated_word"] for w in final["channel"]["alternatives"][0]["words"]] == [
        "Bonjour", "à", "tous.",
    ]  # fmt: skip


def test_it_is_never_final_before_the_delay_of_the_service() -> None:
    call = stream(endpointing="10")
    call.send(silence(0.5) + voice(1.0) + silence(1.0))
    assert call.when(type="Results", is_final=True) == pytest.approx(1.5 + DELAY, abs=0.03)
    [wait] = [output.wait for output in call.outputs if output.result]
    assert wait is not None
    assert wait.since == pytest.approx(1.5, abs=0.03)
    assert wait.planned == pytest.approx(DELAY)


def test_without_punctuation_words_are_bare() -> None:
    call = stream()
    call.send(silence(0.5) + voice(1.0) + silence(1.0))
    assert call.texts() == ["bonjour à tous"]


def test_a_short_pause_does_not_end_the_utterance() -> None:
    call = stream(endpointing="500")
    call.send(voice(0.6) + silence(0.3) + voice(0.6) + silence(0.8))
    assert len(call.finals()) == 1
    assert call.finals()[0]["duration"] == pytest.approx(1.5, abs=0.05)


def test_interim_results_come_while_the_caller_speaks() -> None:
    call = stream(interim_results="true", endpointing="300")
    call.send(silence(0.3) + voice(1.5) + silence(0.6))
    interim = [m for m in call.of("Results") if not m["is_final"]]
    assert len(interim) >= 3
    assert call.when(type="Results", is_final=False) < 0.3 + 0.6


def test_the_end_of_an_utterance_is_told_when_asked_for() -> None:
    call = stream(interim_results="true", utterance_end_ms="1000", endpointing="300")
    call.send(voice(1.0) + silence(1.5))
    assert call.when(type="UtteranceEnd") == pytest.approx(2.0, abs=0.04)
    assert call.of("UtteranceEnd")[0]["last_word_end"] == pytest.approx(1.0, abs=0.04)


def test_finalize_answers_after_the_delay_alone() -> None:
    call = stream(endpointing="false")
    call.send(voice(1.0) + silence(0.2))
    call.say('{"type":"Finalize"}')
    call.send(silence(0.5))
    assert call.when(type="Results", from_finalize=True) == pytest.approx(1.0 + DELAY, abs=0.03)
    assert call.texts() == ["bonjour à tous"]


def test_finalize_in_the_middle_of_speech_splits_it_without_repeating() -> None:
    call = stream(endpointing="300")
    call.send(voice(1.0))
    call.say('{"type":"Finalize"}')
    call.send(voice(1.0) + silence(1.0))
    first, second = call.finals()
    assert first["from_finalize"]
    assert not second["from_finalize"]
    assert second["start"] >= first["start"] + first["duration"] - 0.05


def test_a_finalize_that_comes_late_is_no_delay_of_the_service() -> None:
    call = stream(endpointing="false")
    call.send(voice(1.0) + silence(0.6))
    call.say('{"type":"Finalize"}')
    call.send(silence(0.1))
    assert call.when(type="Results", from_finalize=True) == pytest.approx(1.6, abs=0.03)
    [wait] = [output.wait for output in call.outputs if output.result]
    assert wait is not None
    assert wait.planned == pytest.approx(DELAY)


def test_an_answer_to_finalize_reaches_as_far_as_was_listened() -> None:
    """Also when two wishes are granted by one answer, as the second comes before the first is."""
    call = stream(endpointing="false")
    call.send(voice(1.0) + silence(0.18))
    call.say('{"type":"Finalize"}')
    call.send(silence(0.02))
    call.say('{"type":"Finalize"}')
    call.send(silence(0.5))
    [final] = call.finals()
    assert final["from_finalize"]
    assert final["start"] + final["duration"] == pytest.approx(1.18, abs=0.03)


def test_a_word_that_a_finalize_cuts_is_said_once() -> None:
    """Its two halves are recognised apart, and both recognitions may hold it."""
    call = stream(endpointing="300", interim_results="true")
    cut = Word("douze", 0.8, 1.1)

    def pump() -> None:
        for question in call.session.take_questions():
            word = cut.later(-question.start)
            call.session.recognised(question, (word,), call.now)
        for output in call.session.poll(call.now):
            if isinstance(output, Send):
                call.heard.append((call.now, json.loads(output.text)))

    call.pump = pump  # type: ignore[method-assign]
    call.send(voice(1.0))
    call.say('{"type":"Finalize"}')
    call.send(voice(1.0) + silence(1.0))
    assert call.texts() == ["douze", ""]
    [final, _] = [at for at, told in call.heard if told["type"] == "Results" and told["is_final"]]
    after = [told for at, told in call.heard if at > final and told["type"] == "Results"]
    said = [told["channel"]["alternatives"][0]["transcript"] for told in after]
    assert said == [""], "nor does what is told while the caller goes on hold it"


def test_finalize_with_nothing_to_say_is_answered_too() -> None:
    call = stream()
    call.send(silence(0.5))
    call.say('{"type":"Finalize"}')
    [final] = call.finals()
    assert final["from_finalize"]
    assert call.texts() == [""]


def test_long_speech_becomes_final_in_parts_that_make_the_whole() -> None:
    words = " ".join(f"mot{n}" for n in range(24))
    call = stream(words, endpointing="300")
    call.send(voice(11.0) + silence(1.0))
    assert [m["speech_final"] for m in call.finals()] == [False, False, True]
    assert " ".join(filter(None, call.texts())) == words


def test_a_client_that_says_nothing_is_closed() -> None:
    call = stream()
    call.wait(9.0)
    call.say('{"type":"KeepAlive"}')
    call.wait(9.9)
    assert call.closed is None
    call.wait(0.2)
    assert call.closed is not None
    assert (call.closed.code, call.closed.reason) == (1011, IDLE_REASON)


def test_a_client_that_leaves_gets_what_is_left_and_then_the_metadata() -> None:
    call = stream(endpointing="false")
    call.send(voice(1.0) + silence(0.1))
    call.say('{"type":"CloseStream"}')
    call.wait(0.5)
    assert [m["type"] for _, m in call.heard][-2:] == ["Results", "Metadata"]
    assert call.of("Metadata")[0]["duration"] == pytest.approx(1.1)
    assert call.closed is not None
    assert call.closed.code == 1000


def test_what_is_not_a_message_is_complained_about() -> None:
    call = stream()
    for text in ("not json", '{"kind":1}', "[]", '{"type":"Sing"}'):
        call.say(text)
    assert [m["variant"] for m in call.of("Error")] == ["SchemaError"] * 4
    assert call.closed is None


def test_keyterms_can_be_changed_on_nova_3_only() -> None:
    call = stream()
    call.say(json.dumps({"type": "Configure", "keyterms": ["box"]}))
    assert call.of("ConfigureSuccess")[0]["keyterms"] == ["box"]
    old = stream(model="nova-2")
    old.say(json.dumps({"type": "Configure", "keyterms": ["box"]}))
    assert old.of("ConfigureFailure")[0]["code"] == "CONFIGURE_KEYTERMS_NOT_SUPPORTED"


def test_without_the_language_it_understands_nothing_and_says_no_word_of_it() -> None:
    query = {name: values for name, values in BASE.items() if name != "language"}
    session = ListenV1(options.v1(query), "id", Latency(Profile()), 0.0)
    call = Stream(session)
    call.send(voice(1.0) + silence(1.0))
    assert call.texts() == [""]


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ({"model": "whisper-9"}, "No such model"),
        ({"model": "nova-2-phonecall"}, "No such model"),
        ({"model": "nova-2", "keyterm": "box"}, "Nova-3"),
        ({"encoding": "mp3"}, "encoding 'mp3'"),
        ({"sample_rate": "100"}, "sample_rate"),
        ({"interim_results": "yes"}, "interim_results"),
        ({"utterance_end_ms": "1000"}, "interim_results=true"),
        ({"endpointing": "soon"}, "endpointing"),
        ({"channels": "2"}, "mono"),
    ],
)
def test_options_that_the_service_refuses_are_refused(
    query: dict[str, str], complaint: str
) -> None:
    with pytest.raises(OptionError, match=complaint):
        stream(**query)


@settings(max_examples=40)
@given(st.integers(0, 10_000))
@example(671)  # a Finalize between the first sound and the moment that it counts as speech
def test_whatever_comes_every_result_is_in_order_and_every_word_is_sent_once(seed: int) -> None:
    chance = random.Random(seed)
    call = stream(interim_results="true", endpointing="300", vad_events="true")
    for _ in range(chance.randint(1, 8)):
        call.send(voice(chance.uniform(0, 2)) if chance.random() < 0.5 else silence(0.6))
        if chance.random() < 0.3:
            call.say('{"type":"Finalize"}')
    call.say('{"type":"CloseStream"}')
    call.wait(1.0)
    finals = call.finals()
    assert all(a["start"] <= b["start"] + 1e-6 for a, b in pairwise(finals))
    words = " ".join(filter(None, call.texts())).split()
    assert words == ["bonjour", "à", "tous"] * (len(words) // 3)
    assert call.closed is not None
    assert call.closed.code == 1000
