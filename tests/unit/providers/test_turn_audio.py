"""What is kept of a turn: its last seconds, whatever pieces they came in."""

from __future__ import annotations

import random

import pytest

from voicebot.audio.pcm import BYTES_PER_SECOND
from voicebot.providers.turn_audio import PRE_ROLL, TurnAudio

LONGEST = 0.5


def bound(seconds: float) -> int:
    return round(seconds * BYTES_PER_SECOND)


@pytest.mark.parametrize("seed", range(20))
def test_the_last_seconds_are_kept(seed: int) -> None:
    """At each moment, of several times what is kept, in pieces that fit nowhere."""
    noise = random.Random(seed)
    audio = TurnAudio(LONGEST)

    def push(heard: bytes, seconds: float) -> bytes:
        for _ in range(60):
            piece = noise.randbytes(2 * noise.randrange(500))
            heard += piece
            audio.push(piece)
            assert audio.pcm == heard[-bound(seconds) :]
        return heard

    before = push(b"", PRE_ROLL)
    audio.begin()
    push(before[-bound(PRE_ROLL) :], LONGEST)
    audio.end()
    assert audio.pcm == b""
    push(b"", PRE_ROLL)


def test_a_frame_is_held_and_not_copied() -> None:
    frame = bytes(320)
    audio = TurnAudio()
    audio.push(frame)
    assert audio.pcm is frame  # of one piece, joining makes no new object
