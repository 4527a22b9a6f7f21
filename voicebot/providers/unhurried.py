"""A cloud's voice whose audio is taken when it is needed, and not each piece as it comes.

Clouds make speech several times as fast as it is spoken, and send it in pieces of 0.1 s and less.
Each piece that is waited for wakes the process: 0.35 ms, most of it with cold caches. What comes
while nobody waits stays with the kernel and is then taken at once. So as soon as there is enough in
hand to speak from, a part of the time that it lasts is rested. A peer that is no faster than speech
never gets that far ahead, and is listened to all the time.

Only for calls: whoever renders prompts wants the sentence as soon as it can be had.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Final, cast

from voicebot.audio.pcm import seconds
from voicebot.providers.interfaces import TextToSpeech

ENOUGH: Final = 0.4
"""Seconds in hand from which on there are rests. Half of it is left after a rest, and what has come
meanwhile: the next sentence is asked for when this one is complete, so its first sound must fit
in."""
SHARE: Final = 0.5
"""Of what is in hand, how much is rested."""
LONGEST: Final = 0.5
"""Seconds of the longest rest: by so much at most a sentence is complete later than it could be,
and its failure known later."""
_AT_ONCE: Final = 0.001
"""A piece that took longer (s) was waited for, so nothing more is there."""


class UnhurriedTextToSpeech:
    """A :class:`~voicebot.providers.interfaces.TextToSpeech`, for what is played as it comes."""

    def __init__(self, inner: TextToSpeech) -> None:
        self.name = inner.name
        self.voice = inner.voice
        self._inner = inner

    async def synthesize(self, text: str) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        source = cast(AsyncGenerator[bytes, None], self._inner.synthesize(text))
        played_out = 0.0  # when what has come is heard to its end, if it is played as it comes
        asked = loop.time()
        async with aclosing(source) as pieces:
            async for audio in pieces:
                now = loop.time()
                played_out = max(played_out, now) + seconds(audio)
                yield audio
                in_hand = played_out - now
                if now - asked > _AT_ONCE and in_hand > ENOUGH:
                    await asyncio.sleep(min(SHARE * in_hand, LONGEST))
                asked = loop.time()
