"""Audio for the customer's lines, with the embedded engine started only if a line needs it.

Runs before any call, so it may take its time. The lines are spoken in the language and with the
voice of the script that the service uses: whoever writes a script in another language can write
scenarios for it without recording clips.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from voicebot import models, script_file
from voicebot.config import Settings
from voicebot.dialogue.script import Script
from voicebot.providers.interfaces import TextToSpeech
from voicebot.providers.local_tts import LocalTextToSpeech, make_voice, warm_call
from voicebot.simulator.lines import Line, Voice
from voicebot.telemetry.metrics import Metrics
from voicebot.workers.layout import layout
from voicebot.workers.pool import WorkerPool


async def prepare_lines(
    texts: Sequence[str], settings: Settings, progress: Callable[[str], None]
) -> dict[str, Line]:
    """The audio of each of *texts*: clips, cached lines, and the rest synthesised.

    Raises LineError, ScriptError, ModelError, WorkerError and ProviderError.
    """
    clips = Voice(settings.cache_dir)
    if not clips.without_clip(texts):
        return await clips.prepare(texts)
    script = script_file.load(settings.script_file)
    name = f"{script.voice} {script.language}"
    missing = Voice(settings.cache_dir, name=name).missing(texts)
    if not missing:
        return await Voice(settings.cache_dir, name=name).prepare(texts)
    progress(f"Synthesising {len(missing)} lines of the customer, once …")
    async with _engine(settings, script) as engine:

        async def synthesize(text: str) -> bytes:
            progress(f"  {text}")
            return b"".join([pcm async for pcm in engine.synthesize(text)])

        return await Voice(settings.cache_dir, synthesize, name=name).prepare(texts)


@asynccontextmanager
async def _engine(settings: Settings, script: Script) -> AsyncIterator[TextToSpeech]:
    """The embedded voice in one worker process."""
    voice = make_voice(
        models.ensure(settings.models_dir, turns=False),
        script.voice,
        language=script.language,
        pronunciations=script.pronunciations,
    )
    core = layout(os.sched_getaffinity(0)).workers[0]
    pool = WorkerPool([core], Metrics(), warm=[warm_call(voice)])
    await pool.start()
    try:
        yield LocalTextToSpeech(pool, voice, whole=True)
    finally:
        await pool.close()
