"""Both sides of a recording stay in step, whatever comes late."""

from __future__ import annotations

from typing import Any

from voicebot.audio import pcm
from voicebot.call.tape import BACKLOG, CallTape


class Recording:
    def __init__(self) -> None:
        self.caller: list[bytes] = []

    def write(self, caller: bytes, bot: bytes) -> None:
        self.caller.append(caller)


def frame(number: int) -> bytes:
    return bytes([number]) * pcm.FRAME_BYTES


def test_what_came_in_a_heap_after_a_stall_does_not_put_the_caller_behind_for_good() -> None:
    recording: Any = Recording()
    tape = CallTape(recording)
    for number in range(1, 51):
        tape.heard(frame(number))
    for number in range(51, 61):
        tape.slot(None)
        tape.heard(frame(number))
    kept = BACKLOG // pcm.FRAME_BYTES
    assert recording.caller == [frame(number) for number in range(51 - kept, 61 - kept)]
