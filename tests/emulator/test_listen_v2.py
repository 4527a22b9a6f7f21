"""Deepgram's second protocol, by time: turns that begin, end, resume."""

from __future__ import annotations

import json

import pytest

from tests.emulator.stream import Stream
from tests.emulator.test_listen_v1 import DELAY, voice
from voicebot.audio.pcm import silence
from voicebot.emulator import options
from voicebot.emulator.latency import Distribution, Latency, Profile
from voicebot.emulator.listen_v2 import EAGER_SHARE, UNFINISHED, ListenV2
from voicebot.emulator.options import OptionError

BASE = {"model": ["flux-general-multi"], "encoding": ["linear16"], "sample_rate": ["8000"]}


def stream(words: str = "Bonjour à tous.", **query: str) -> Stream:
    wanted = options.v2({**BASE, **{name: [value] for name, value in query.items()}})
    latency = Latency(Profile(listen_final=Distribution(DELAY)))
    return Stream(ListenV2(wanted, "id", latency, 0.0), words)


def events(call: Stream) -> list[str]:
    told = [m["event"] for m in call.of("TurnInfo")]
    return [event for event in told if event != "Update"]


def test_a_turn_begins_goes_on_and_ends() -> None:
    call = stream(language_hint="fr")
    call.send(silence(0.5) + voice(1.5) + silence(0.5))
    assert events(call) == ["StartOfTurn", "EndOfTurn"]
    assert call.when(event="EndOfTurn") == pytest.approx(2.0 + DELAY, abs=0.03)
    end = call.of("TurnInfo")[-1]
    assert (end["transcript"], end["trigger"], end["turn_index"]) == ("Bonjour à tous.", "model", 0)
    assert end["languages_hinted"] == ["fr"]
    assert "Update" in [m["event"] for m in call.of("TurnInfo")]


def test_messages_are_numbered_from_the_first_on() -> None:
    call = stream()
    call.send(voice(1.0) + silence(0.5))
    assert call.heard[0][1]["type"] == "Connected"
    numbers = [message["sequence_id"] for _, message in call.heard]
    assert numbers == list(range(len(numbers)))


def test_an_eager_end_comes_early() -> None:
    call = stream(eager_eot_threshold="0.4")
    call.send(voice(1.0) + silence(0.6))
    assert events(call) == ["StartOfTurn", "EagerEndOfTurn", "EndOfTurn"]
    eager = call.when(event="EagerEndOfTurn")
    assert eager == pytest.approx(1.0 + max(EAGER_SHARE * DELAY, 0.15), abs=0.03)


def test_an_eager_end_is_taken_back_when_the_caller_goes_on() -> None:
    call = stream(eager_eot_threshold="0.4", eot_threshold="0.9")
    call.send(voice(1.0) + silence(0.24) + voice(1.0) + silence(0.8))
    assert events(call) == [
        "StartOfTurn", "EagerEndOfTurn", "TurnResumed", "EagerEndOfTurn", "EndOfTurn",
    ]  # fmt: skip
    assert {m["turn_index"] for m in call.of("TurnInfo") if m["transcript"]} == {0}


def test_words_that_stop_at_a_comma_are_not_the_end() -> None:
    call = stream("Pierre Dupont,", eager_eot_threshold="0.4")
    call.send(voice(1.0) + silence(2.0))
    assert events(call) == ["StartOfTurn", "EndOfTurn"]
    assert call.when(event="EndOfTurn") == pytest.approx(1.0 + DELAY + UNFINISHED, abs=0.03)


def test_a_turn_can_be_ended_by_the_client() -> None:
    call = stream()
    call.send(voice(1.0))
    call.say('{"type":"ForceEndTurn"}')
    call.send(silence(0.4))
    end = call.of("TurnInfo")[-1]
    assert (end["event"], end["trigger"]) == ("EndOfTurn", "manual")


def test_a_forced_end_without_a_turn_is_nothing() -> None:
    call = stream()
    call.send(silence(0.3))
    call.say('{"type":"ForceEndTurn"}')
    assert events(call) == []


def test_the_next_turn_has_the_next_number() -> None:
    call = stream()
    call.send(voice(1.0) + silence(0.6) + voice(1.0) + silence(0.6))
    ends = [m for m in call.of("TurnInfo") if m["event"] == "EndOfTurn"]
    assert [m["turn_index"] for m in ends] == [0, 1]


def test_thresholds_can_be_changed_within_bounds() -> None:
    call = stream()
    call.say(json.dumps({"type": "Configure", "thresholds": {"eot_threshold": 0.8}}))
    call.say(json.dumps({"type": "Configure", "thresholds": {"eot_threshold": 8}}))
    assert call.of("ConfigureSuccess")[0]["thresholds"]["eot_threshold"] == 0.8
    assert "0.5 to 0.9" in call.of("ConfigureFailure")[0]["description"]


def test_what_is_not_a_message_ends_the_connection() -> None:
    call = stream()
    call.say('{"type":"KeepAlive"}')
    assert call.of("Error")[0]["code"] == "UNPARSABLE_CLIENT_MESSAGE"
    assert call.closed is not None


def test_a_client_that_leaves_is_let_go() -> None:
    call = stream()
    call.send(voice(1.0))
    call.say('{"type":"CloseStream"}')
    call.wait(0.5)
    assert events(call)[-1] == "EndOfTurn"
    assert call.closed is not None
    assert call.closed.code == 1000


@pytest.mark.parametrize(
    "query",
    [
        {"model": "nova-3"},
        {"language": "fr"},
        {"interim_results": "true"},
        {"eot_threshold": "0.2"},
        {"eager_eot_threshold": "0.9"},
        {"eot_timeout_ms": "10"},
        {"model": "flux-general-en", "language_hint": "fr"},
    ],
)
def test_options_that_the_service_refuses_are_refused(query: dict[str, str]) -> None:
    with pytest.raises(OptionError):
        stream(**query)


def test_updates_come_whether_there_is_a_turn_or_not() -> None:
    """ "For approximately every 0.25 seconds of transcribed audio, regardless": their words."""
    call = stream()
    call.send(silence(2.0))
    told = call.of("TurnInfo")
    assert {m["event"] for m in told} == {"Update"}
    assert len(told) in (7, 8)
    assert all(m["transcript"] == "" for m in told)


def test_a_client_that_ends_turns_itself_is_left_to_it() -> None:
    call = stream(eot_threshold="1.0", eager_eot_threshold="0.4", eot_timeout_ms="5000")
    call.send(voice(1.0) + silence(3.0))
    assert events(call) == ["StartOfTurn", "EagerEndOfTurn"]
    call.say('{"type": "ForceEndTurn"}')
    call.send(silence(1.0))
    assert events(call)[-1] == "EndOfTurn"
    assert [m["trigger"] for m in call.of("TurnInfo") if m["event"] == "EndOfTurn"] == ["manual"]
