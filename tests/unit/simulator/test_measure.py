"""What is measured on a tape, against tapes made to measure."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.stage import tone
from voicebot.audio import alaw
from voicebot.audio.pcm import FRAME_BYTES, FRAME_SECONDS, SAMPLE_RATE, silence
from voicebot.simulator.activity import Segment, audible_span, segments
from voicebot.simulator.customer import Answer, Kind
from voicebot.simulator.measure import Response, dropouts, level, measure, percentile
from voicebot.simulator.tape import Tape

START = 10.0


def samples(pcm: bytes) -> np.ndarray:
    return np.frombuffer(pcm, "<i2")


def track(length: float, *sounds: tuple[float, float]) -> bytes:
    """Silence of *length* seconds with a tone from each start to each end."""
    pcm = bytearray(silence(length))
    for start, end in sounds:
        first = round(start * SAMPLE_RATE) * 2
        piece = tone(end - start)
        pcm[first : first + len(piece)] = piece
    return bytes(pcm)


def tape_of(bot: bytes) -> Tape:
    """A tape on which *bot* arrived frame by frame, exactly on time."""
    tape = Tape(START)
    for number in range(len(bot) // FRAME_BYTES):
        frame = bot[number * FRAME_BYTES : (number + 1) * FRAME_BYTES]
        tape.received(frame, START + number * FRAME_SECONDS)
    return tape


def answer(start: float, end: float, text: str = "Oui.") -> Answer:
    return Answer(Kind.SPEECH, text, START + start, START + end, "Ça marche ?")


@given(
    answered_at=st.floats(1.0, 2.0),
    latency=st.floats(0.05, 2.0),
    spoken=st.floats(0.1, 1.0),
)
def test_latency_is_right_to_ten_milliseconds(
    answered_at: float, latency: float, spoken: float
) -> None:
    onset = answered_at + latency
    tape = tape_of(track(6.0, (0.1, 0.5), (onset, onset + spoken)))
    (turn,) = measure(tape, [answer(answered_at - 0.3, answered_at)]).turns
    assert turn.response is Response.ANSWERED
    assert turn.latency == pytest.approx(latency, abs=0.010)
    assert turn.barge_in is None


def test_each_answer_has_its_own_reply() -> None:
    tape = tape_of(track(12.0, (0.5, 2.0), (4.0, 5.0), (8.0, 9.0)))
    turns = measure(tape, [answer(2.5, 3.2), answer(6.0, 7.5), answer(10.0, 11.0)]).turns
    assert [turn.response for turn in turns] == [
        Response.ANSWERED, Response.ANSWERED, Response.NO_ANSWER,
    ]  # fmt: skip
    assert turns[0].latency == pytest.approx(0.8, abs=0.01)
    assert turns[1].latency == pytest.approx(0.5, abs=0.01)
    assert [turn.number for turn in turns] == [1, 2, 3]


def test_a_reply_after_the_customer_spoke_again_is_not_credited_to_the_first_answer() -> None:
    tape = tape_of(track(6.0, (0.1, 0.5), (5.0, 5.5)))
    first, second = measure(tape, [answer(1.0, 1.5), answer(3.0, 4.0)]).turns
    assert first.response is Response.NO_ANSWER
    assert second.latency == pytest.approx(1.0, abs=0.01)


def test_an_interruption_is_timed_to_the_last_sound() -> None:
    tape = tape_of(track(8.0, (1.0, 2.7), (4.5, 6.0)))
    measured = measure(tape, [answer(2.5, 3.5)])
    (turn,) = measured.turns
    assert turn.barge_in == pytest.approx(0.2, abs=0.01)
    assert turn.latency == pytest.approx(1.0, abs=0.01)
    assert measured.barge_ins == [turn.barge_in]


def test_a_short_word_may_be_over_before_the_bot_falls_silent() -> None:
    tape = tape_of(track(8.0, (1.0, 2.8), (4.0, 5.0)))
    (turn,) = measure(tape, [answer(2.5, 2.7)]).turns
    assert turn.response is Response.ANSWERED
    assert turn.barge_in == pytest.approx(0.3, abs=0.01)
    assert turn.latency == pytest.approx(1.3, abs=0.01)


def test_a_bot_that_talks_on_has_not_yielded() -> None:
    tape = tape_of(track(10.0, (1.0, 6.0), (8.0, 9.0)))
    (turn,) = measure(tape, [answer(2.0, 3.0)]).turns
    assert turn.response is Response.NOT_YIELDED
    assert turn.latency is None


def test_a_bot_that_cannot_wait_is_premature() -> None:
    tape = tape_of(track(8.0, (2.5, 4.0)))
    (turn,) = measure(tape, [answer(1.0, 3.0)]).turns
    assert turn.response is Response.PREMATURE
    assert turn.latency is None


def test_a_bot_that_needs_no_more_keys_is_not_premature() -> None:
    tape = tape_of(track(8.0, (2.5, 4.0)))
    keys = Answer(Kind.KEYS, "0612345678#", START + 1.0, START + 3.0, "Votre numéro ?")
    (turn,) = measure(tape, [keys]).turns
    assert turn.response is Response.ANSWERED
    assert turn.latency is None


def test_a_call_without_sound_measures_as_such() -> None:
    measured = measure(Tape(START), [])
    assert measured.first_audio is None
    assert measured.bot.speech_rms is None
    assert measured.bot.peak is None
    assert measured.latencies == []
    assert percentile(measured.latencies, 50) is None


def test_level_counts_only_the_parts_with_sound() -> None:
    measured = level(samples(track(10.0, (2.0, 3.0))))
    assert measured.peak == pytest.approx(20 * np.log10(8_000 / 32_768), abs=0.05)
    assert measured.speech_rms == pytest.approx(20 * np.log10(8_000 / 32_768) - 3.01, abs=0.1)
    assert measured.speech_seconds == pytest.approx(1.0, abs=0.01)
    assert measured.clipped == 0


def test_clipping_is_seen_before_and_behind_a_telephone_line() -> None:
    clipped = samples(tone(0.1, amplitude=32_767))
    assert level(clipped).clipped > 0
    behind = samples(alaw.decode(alaw.encode(clipped.tobytes())))
    assert level(behind).clipped > 0


def test_a_frame_that_is_missing_inside_speech_is_a_dropout() -> None:
    speech = bytearray(track(3.0, (0.5, 2.5)))
    first = round(1.0 * SAMPLE_RATE) * 2
    speech[first : first + 2 * FRAME_BYTES] = bytes(2 * FRAME_BYTES)
    found = dropouts(samples(bytes(speech)), segments(samples(bytes(speech))))
    (hole,) = found
    assert hole.start == pytest.approx(1.0, abs=0.001)
    assert hole.end == pytest.approx(1.04, abs=0.001)


def test_a_pause_that_fades_is_no_dropout() -> None:
    fade = np.concatenate((np.linspace(1, 0, 800), np.zeros(1600), np.linspace(0, 1, 800)))
    speech = (samples(tone(3_200 / SAMPLE_RATE)) * fade).astype("<i2")
    assert dropouts(speech, [Segment(0.0, 0.4)]) == []


def test_the_idle_noise_of_a_telephone_line_is_no_sound() -> None:
    line = samples(alaw.decode(alaw.encode(track(2.0, (0.5, 1.0)))))
    (sound,) = segments(line)
    assert sound == Segment(0.5, 1.0)


def test_sound_is_found_above_a_noisy_line() -> None:
    noise = np.random.default_rng(1).normal(0, 180, 2 * SAMPLE_RATE)  # -45 dBFS
    noisy = (samples(track(2.0, (0.5, 1.0))) + noise).astype("<i2")
    (sound,) = segments(noisy)
    assert sound.start == pytest.approx(0.5, abs=0.006)
    assert sound.end == pytest.approx(1.0, abs=0.006)


def test_a_click_is_no_speech() -> None:
    assert audible_span(samples(track(1.0, (0.5, 0.51)))) is None
    assert audible_span(samples(track(1.0, (0.25, 0.75)))) == (0.25, 0.75)
