"""What the reference document's own design takes, in the same run: a turn's latency, a voice's CPU.

The design is :mod:`bench.reference_design`, a process of its own that talks to the same emulator.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from types import TracebackType

from bench import reference_design
from voicebot.audio.pcm import seconds
from voicebot.commands.demo import ServiceFailedError
from voicebot.providers.in_time import Limits
from voicebot.providers.openai_tts import OpenAIClient, OpenAITextToSpeech
from voicebot.providers.unhurried import UnhurriedTextToSpeech
from voicebot.simulator.runner import Target

HOST = "127.0.0.1"
PATIENT = Limits(10.0, 10.0, 30.0)
SENTENCES = tuple(
    f"Pour la question numéro {word}, je vous propose de redémarrer votre box, puis d'attendre."
    for word in ("une", "deux", "trois", "quatre", "cinq", "six", "sept", "huit")
)


class ReferenceService:
    """A running reference design, as a context manager."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        self._settings = settings

    def __enter__(self) -> ReferenceService:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "bench.reference_design"],
            env={**os.environ, **self._settings},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line.isdigit():
            self._stop()
            raise ServiceFailedError("the reference design did not start")
        self.target = Target(HOST, int(line), None)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.communicate(timeout=15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()


async def voice_cpu(settings: Mapping[str, str]) -> tuple[float, float]:
    """CPU seconds for one second of speech, from a sentence to slin: ours, and the reference's.

    Both by OpenAI's kit from the emulator, one sentence after the other, each once beforehand.
    Raises OSError or ProviderError.
    """
    client = OpenAIClient(settings["OPENAI_API_KEY"], settings["OPENAI_BASE_URL"], timeout=30.0)
    voice = UnhurriedTextToSpeech(
        OpenAITextToSpeech(client, PATIENT, model="gpt-4o-mini-tts", voice="nova", instructions="")
    )

    async def ours(text: str) -> bytes:
        return b"".join([piece async for piece in voice.synthesize(text)])

    try:
        own = await _cpu_per_second(ours, lambda: None)
    finally:
        await client.close()
    previous = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        kits = reference_design.Kits()
    finally:
        for name, value in previous.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)
    pool = ProcessPoolExecutor(1)
    loop = asyncio.get_running_loop()

    async def reference(text: str) -> bytes:
        mp3 = await kits.speak(text)
        return await loop.run_in_executor(pool, reference_design.decode, mp3)

    # What a process of the pool used is known when it has ended.
    try:
        return own, await _cpu_per_second(reference, pool.shutdown)
    finally:
        await kits.close()


async def _cpu_per_second(
    speak: Callable[[str], Awaitable[bytes]], finish: Callable[[], None]
) -> float:
    texts: Sequence[str] = SENTENCES
    for text in texts:  # so that the emulator has them, and clients and pools are warm
        await speak(text)
    before = _cpu()
    made = 0.0
    for text in texts:
        made += seconds(await speak(text))
    during = _cpu() - before
    finish()
    ended = _cpu() - before - during  # with the children's first round: half of it is ours
    return (during + ended / 2) / made


def _cpu() -> float:
    """Of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
