"""One call in real time: the real session and the real dialogue on a stand's chains, and a recorded
caller."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from tests.cloud.conftest import Stand, clips
from tests.support.call_stage import CallStage
from tests.support.waiting import until
from voicebot.audio import pcm
from voicebot.call.detector import VoiceActivity
from voicebot.emulator.faults import Service

SPOKEN = clips()
SOON = 2.0
"""Seconds in which a caller has to hear something."""


class Call:
    """One call on *stand*'s chains."""

    def __init__(self, stand: Stand, vad: VoiceActivity | None = None) -> None:
        self.stand = stand
        self.stage = CallStage(
            cast(Any, stand.chains.stt),
            tts=cast(Any, stand.chains.tts),
            llm=stand.chains.llm,
            vad=vad,
        )

    async def start(self) -> None:
        """Hear the greeting out."""
        await self.stage.start()
        await self.stage.listen_until_silent()

    async def say(self, line: str) -> float:
        """Say a recorded line; seconds from its end to the first sound of the bot's."""
        await self.speak(SPOKEN[line])
        return await self.until_heard()

    async def speak(self, audio: bytes) -> None:
        for at in range(0, len(audio), pcm.FRAME_BYTES):
            frame = audio[at : at + pcm.FRAME_BYTES]
            await self.stage.slots(1, frame.ljust(pcm.FRAME_BYTES, b"\0"))

    async def until_heard(self) -> float:
        """Seconds to the bot's next sound, on the audio that the caller hears."""
        for slot in range(round(5 / pcm.FRAME_SECONDS)):
            await self.stage.slots(1)
            if self.stage.heard[-1] is not None:
                return slot * pcm.FRAME_SECONDS
        raise AssertionError("nothing was heard")

    async def listen_for(self, condition: Callable[[], bool], what: str) -> None:
        """Be silent on the line until *condition* holds."""
        for _ in range(round(10 / pcm.FRAME_SECONDS)):
            if condition():
                return
            await self.stage.slots(1)
        raise AssertionError(f"not in 10 s: {what}")

    async def hear(self) -> str:
        """What the bot said since the last look, heard out."""
        await self.stage.listen_until_silent()
        return " ".join(str(event["text"]) for event in self.stage.events("bot_said"))

    @property
    def heard(self) -> bytes:
        """All that the caller has heard, without the silence."""
        return b"".join(frame for frame in self.stage.heard if frame is not None)

    async def heard_out(self, longest: float) -> None:
        """Hear the bot out, pauses of *longest* seconds included."""
        quiet = 0
        while quiet * pcm.FRAME_SECONDS < longest:
            await self.stage.slots(1)
            quiet = 0 if self.stage.heard[-1] is not None else quiet + 1

    def idle(self, service: Service) -> bool:
        """Whether nobody is at work at *service*: no request, and no line that is not kept for the
        next sentence."""
        kept = self.stand.lines_kept if service is Service.REALTIME else 0
        return len(self.stand.emulator.open_exchanges(service)) <= kept

    def count(self, name: str, **labels: str) -> float:
        return self.stage.metric(f"voicebot_{name}", **labels)

    async def hang_up(self) -> None:
        """End it; nothing of it may be left, at once."""
        await self.stage.hang_up()
        await until(lambda: all(map(self.idle, Service)), 5, "no request is left")
