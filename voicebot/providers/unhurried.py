"""A cloud's voice whose audio is taken when it is needed, and not each piece as it comes.

Clouds make speech several times as fast as it is spoken, and send it in pieces of 0.1 s and less.
Each piece that is waited for wakes the process: 0.3 ms and more, most of it with cold caches. What
comes while nobody reads stays with the kernel and is then taken at once. So as long as something is
in hand to speak from, a part of the time that it lasts is rested. A peer that is no faster than
speech is waited for as before: a rest ends before what is in hand does.

Only for calls: whoever renders prompts wants the sentence as soon as it can be had.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Final, Protocol, cast

from voicebot.audio.pcm import seconds
from voicebot.providers.pace import Pace

LEFT: Final = (1 / 3, 0.05)
"""Of what is in hand, the share and the seconds that no rest takes: the process may be late."""
LEFT_AT_THE_END: Final = (1 / 2, 0.2)
"""The same once the sentence may be complete. Only then the next one is asked for, and its first
sound must fit in."""
LONGEST: Final = 0.5
"""Seconds of the longest rest: by so much at most a sentence is complete later than it could be,
and its failure known later."""
FASTEST: Final = 25.0
"""Characters a second that no voice says: as long as less audio has come, more will."""


class PacedVoice(Protocol):
    """A :class:`~voicebot.providers.interfaces.TextToSpeech` that can let audio lie."""

    name: str
    voice: str

    def synthesize(self, text: str, pace: Pace) -> AsyncIterator[bytes]: ...


class UnhurriedTextToSpeech:
    """A :class:`~voicebot.providers.interfaces.TextToSpeech`, for what is played as it comes."""

    def __init__(self, inner: PacedVoice) -> None:
        self.name = inner.name
        self.voice = inner.voice
        self._inner = inner

    async def synthesize(self, text: str) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        pace = Pace()
        source = cast(AsyncGenerator[bytes, None], self._inner.synthesize(text, pace))
        played_out = 0.0  # when what has come is heard to its end, if it is played as it comes
        to_come = len(text) / FASTEST
        async with aclosing(source) as pieces:
            async for audio in pieces:
                now = loop.time()
                duration = seconds(audio)
                played_out = max(played_out, now) + duration
                to_come -= duration
                in_hand = played_out - now
                share, least = LEFT if to_come > 0 else LEFT_AT_THE_END
                left = max(share * in_hand, least)
                pace.not_before = now + min(in_hand - left, LONGEST)
                yield audio
