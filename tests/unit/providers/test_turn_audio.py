"""What is kept of a turn: its last seconds, whatever pieces they came in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from voicebot.audio.pcm import BYTES_PER_SECOND
from voicebot.providers.turn_audio import PRE_ROLL, TurnAudio

LONGEST = 0.5
PIECES = st.lists(  # several times what is kept, in pieces that fit nowhere
    st.tuples(st.integers(0, 999), st.randoms(use_true_random=False)), min_size=5, max_size=30
).map(lambda pieces: [noise.randbytes(2 * samples) for samples, noise in pieces])


def bound(seconds: float) -> int:
    return round(seconds * BYTES_PER_SECOND)


@given(before=PIECES, during=PIECES, after=PIECES)
def test_the_last_seconds_are_kept(
    before: list[bytes], during: list[bytes], after: list[bytes]
) -> None:
    audio = TurnAudio(LONGEST)
    for piece in before:
        audio.push(piece)
    pre_roll = b"".join(before)[-bound(PRE_ROLL) :]
    assert audio.pcm == pre_roll
    audio.begin()
    for piece in during:
        audio.push(piece)
    assert audio.pcm == (pre_roll + b"".join(during))[-bound(LONGEST) :]
    audio.end()
    assert audio.pcm == b""
    for piece in after:
        audio.push(piece)
    assert audio.pcm == b"".join(after)[-bound(PRE_ROLL) :]


def test_a_frame_is_held_and_not_copied() -> None:
    frame = bytes(320)
    audio = TurnAudio()
    audio.push(frame)
    assert audio.pcm is frame  # of one piece, joining makes no new object
