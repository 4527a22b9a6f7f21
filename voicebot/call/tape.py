"""Both sides of one call, in step, on their way to its recording."""

from __future__ import annotations

from collections import deque

from voicebot.audio import pcm
from voicebot.audio.pacing import LEAD_FRAMES
from voicebot.call.recorder import Recording

BACKLOG = 10 * pcm.FRAME_BYTES
"""Caller audio kept ahead of the bot's slots; older audio than this is dropped from the tape (only)
after a stall, so that both sides stay in step."""


class CallTape:
    """Fed with the caller's audio as it comes and one frame of the bot's for each slot."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._caller = bytearray()
        # The slot being filled is heard LEAD_FRAMES from now.
        self._bot = deque([pcm.SILENCE_FRAME] * LEAD_FRAMES)

    def heard(self, audio: bytes) -> None:
        """The caller's, any length."""
        self._caller += audio

    def slot(self, frame: bytes | None) -> None:
        """The bot's next frame; None is silence."""
        self._bot.append(frame or pcm.SILENCE_FRAME)
        bot = self._bot.popleft()
        caller = self._caller
        if len(caller) > BACKLOG:
            del caller[: len(caller) - BACKLOG]
        if len(caller) >= pcm.FRAME_BYTES:
            said = bytes(caller[: pcm.FRAME_BYTES])
            del caller[: pcm.FRAME_BYTES]
        else:
            said = pcm.SILENCE_FRAME
        self._recording.write(said, bot)

    def close(self) -> str | None:
        """The file's path, if one was begun."""
        self._recording.close()
        return str(self._recording.path) if self._recording.path else None

    def discard(self) -> None:
        """Stop, and delete what there is."""
        self._recording.discard()
