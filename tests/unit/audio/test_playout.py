"""The playout buffer: order, padding, underruns, and what was really heard."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebot.audio.pcm import FRAME_BYTES, FRAME_SECONDS
from voicebot.audio.playout import MAX_WAITING_SECONDS, Heard, PlayoutBuffer


def audio(frames: float, value: int = 1) -> bytes:
    return bytes([value]) * round(frames * FRAME_BYTES)


def said(buffer: PlayoutBuffer, utterance: int, frames: float) -> None:
    buffer.push(utterance, audio(frames, utterance + 1))
    buffer.finish(utterance)


def pops(buffer: PlayoutBuffer, slots: int) -> list[int | None]:
    """The utterance of each of the next *slots*."""
    frames = [buffer.pop() for _ in range(slots)]
    return [frame.utterance if frame else None for frame in frames]


def test_silence_when_there_is_nothing_to_say() -> None:
    buffer = PlayoutBuffer()
    assert pops(buffer, 5) == [None] * 5
    assert (buffer.underruns, buffer.busy, buffer.flush()) == (0, False, None)


def test_utterances_follow_each_other_without_a_gap() -> None:
    buffer = PlayoutBuffer()
    said(buffer, 0, 2)
    said(buffer, 1, 1)
    frames = [buffer.pop() for _ in range(4)]
    assert [f and (f.utterance, f.first) for f in frames] == [
        (0, True), (0, False), (1, True), None,
    ]  # fmt: skip
    assert buffer.underruns == 0


def test_the_last_frame_is_padded_with_silence() -> None:
    buffer = PlayoutBuffer()
    said(buffer, 0, 1.5)
    buffer.pop()
    frame = buffer.pop()
    assert frame is not None
    assert frame.pcm == audio(0.5) + bytes(FRAME_BYTES // 2)


def test_an_utterance_is_heard_a_lead_after_it_was_taken() -> None:
    buffer = PlayoutBuffer(lead=2)
    said(buffer, 7, 1)
    assert pops(buffer, 1) == [7]
    assert (buffer.take_heard(), buffer.busy) == ((), True)
    buffer.pop()
    assert buffer.take_heard() == ()
    buffer.pop()
    assert (buffer.take_heard(), buffer.busy) == ((7,), False)
    assert buffer.take_heard() == ()


def test_an_empty_utterance_is_heard_in_its_turn() -> None:
    buffer = PlayoutBuffer(lead=2)
    said(buffer, 0, 1)
    buffer.finish(1)
    buffer.pop()
    buffer.pop()
    assert buffer.take_heard() == ()
    buffer.pop()
    assert buffer.take_heard() == (0, 1)


def test_running_dry_in_the_middle_is_an_underrun() -> None:
    buffer = PlayoutBuffer()
    buffer.push(0, audio(0.5))
    assert pops(buffer, 2) == [None, None]
    assert buffer.underruns == 0, "it has not begun: that is latency, not a hole"
    buffer.push(0, audio(1))
    assert pops(buffer, 3) == [0, None, None]
    assert buffer.underruns == 2
    buffer.finish(0)
    assert pops(buffer, 2) == [0, None]
    assert buffer.underruns == 2


def test_a_later_utterance_waits_for_the_end_of_an_earlier_one() -> None:
    buffer = PlayoutBuffer()
    buffer.push(0, audio(1))
    said(buffer, 1, 1)
    assert pops(buffer, 2) == [0, None]
    buffer.finish(0)
    assert pops(buffer, 1) == [1]


def test_barge_in_says_what_was_heard_without_the_lead() -> None:
    buffer = PlayoutBuffer(lead=2)
    said(buffer, 0, 100)
    said(buffer, 1, 10)
    said(buffer, 2, 10)
    pops(buffer, 52)
    assert buffer.flush() == Heard(0, pytest.approx(50 * FRAME_SECONDS), (1, 2))
    assert pops(buffer, 3) == [None] * 3
    assert (buffer.take_heard(), buffer.flush(), buffer.underruns) == ((), None, 0)


def test_barge_in_before_anything_was_due() -> None:
    buffer = PlayoutBuffer(lead=2)
    said(buffer, 3, 100)
    pops(buffer, 2)
    assert buffer.flush() == Heard(3, 0.0, ())


def test_barge_in_over_the_lead_of_one_and_the_start_of_the_next() -> None:
    buffer = PlayoutBuffer(lead=2)
    said(buffer, 0, 3)
    said(buffer, 1, 3)
    pops(buffer, 4)
    assert buffer.flush() == Heard(0, pytest.approx(2 * FRAME_SECONDS), (1,))


def test_barge_in_after_an_underrun_does_not_take_silence_for_speech() -> None:
    buffer = PlayoutBuffer(lead=2)
    buffer.push(0, audio(3))
    pops(buffer, 5)
    assert buffer.flush() == Heard(0, pytest.approx(3 * FRAME_SECONDS), ())


def test_synthesis_that_is_late_to_stop_is_ignored_after_a_flush() -> None:
    buffer = PlayoutBuffer()
    buffer.push(0, audio(5))
    buffer.flush()
    buffer.push(0, audio(5))
    buffer.finish(0)
    assert pops(buffer, 2) == [None, None]
    said(buffer, 1, 1)
    assert pops(buffer, 1) == [1]


def test_what_was_not_begun_in_order_is_a_bug() -> None:
    buffer = PlayoutBuffer()
    said(buffer, 1, 1)
    with pytest.raises(ValueError, match="finished"):
        buffer.push(1, audio(1))
    with pytest.raises(ValueError, match="1 began before"):
        buffer.push(0, audio(1))


def test_the_bound_drops_the_end_and_counts_it() -> None:
    buffer = PlayoutBuffer()
    frames = round(MAX_WAITING_SECONDS / FRAME_SECONDS)
    buffer.push(0, audio(frames - 1))
    buffer.push(0, audio(3))
    buffer.push(0, audio(1))
    assert buffer.overflow_frames == 3
    assert buffer.waiting_seconds == MAX_WAITING_SECONDS


@given(
    st.lists(st.integers(0, 1500).map(lambda n: n * 2), max_size=12),
    st.lists(st.integers(0, 4), max_size=12),
)
def test_audio_comes_out_as_it_went_in(sizes: list[int], gaps: list[int]) -> None:
    buffer = PlayoutBuffer()
    whole = b"".join(bytes([1 + k % 255]) * size for k, size in enumerate(sizes))
    out = b""
    at = 0
    for k, size in enumerate(sizes):
        buffer.push(0, whole[at : at + size])
        at += size
        for _ in range(gaps[k] if k < len(gaps) else 0):
            frame = buffer.pop()
            out += frame.pcm if frame else b""
    buffer.finish(0)
    while buffer.busy:
        frame = buffer.pop()
        out += frame.pcm if frame else b""
    assert out[: len(whole)] == whole
    assert len(out) - len(whole) < FRAME_BYTES
    assert set(out[len(whole) :]) <= {0}
    assert buffer.take_heard() == (0,)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=5), st.integers(0, 60))
def test_what_is_heard_is_what_was_popped_less_the_lead(lengths: list[int], slots: int) -> None:
    buffer = PlayoutBuffer(lead=2)
    for number, frames in enumerate(lengths):
        said(buffer, number, frames)
    pops(buffer, slots)
    complete = len(buffer.take_heard())
    due = max(0, slots - 2)
    cut = buffer.flush()
    heard = sum(lengths[:complete])
    if cut is not None:
        assert cut.utterance == complete
        assert [cut.utterance, *cut.dropped] == list(range(complete, len(lengths)))
        heard += round(cut.seconds / FRAME_SECONDS)
    assert heard == min(due, sum(lengths))
