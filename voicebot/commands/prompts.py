"""``voicebot prompts``: render the script's fixed sentences, so that calls play them from memory.

Renders only what is missing or damaged. Exit status: 0 if every sentence is there afterwards, 1
if not, 2 if the settings or the script are wrong.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from typing import TextIO

import uvloop

from voicebot import config, models, script_file
from voicebot.audio.pcm import seconds
from voicebot.config import Settings
from voicebot.dialogue.script import Script, ScriptError
from voicebot.prompts.cache import PromptCache, PromptError, Rendered, recorded_in
from voicebot.prompts.studio import Studio
from voicebot.providers import local_tts
from voicebot.providers.interfaces import ProviderError
from voicebot.telemetry import logs
from voicebot.telemetry.metrics import Metrics
from voicebot.workers.jobs import Voice
from voicebot.workers.layout import LayoutError, layout
from voicebot.workers.pool import WorkerError, WorkerPool

HELP = "render what the bot says"
_BAR = 24  #: characters


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this command on *parser*."""
    parser.add_argument("--check", action="store_true", help="only list what is missing")
    parser.add_argument(
        "--all-cores",
        action="store_true",
        help="also use the event loop's core: faster, for a service that takes no calls meanwhile",
    )
    parser.add_argument(
        "--prune", action="store_true", help="remove sentences that are not in this script"
    )


def run(args: argparse.Namespace) -> int:
    """Render or check."""
    try:
        settings = config.load()
        script = script_file.load(settings.script_file)
    except (config.SettingsError, ScriptError) as error:
        print(error, file=sys.stderr)
        return 2
    logs.configure("warning", settings.log_format)
    try:
        return _check(settings, script) if args.check else _render(settings, script, args)
    except (models.ModelError, LayoutError, WorkerError, ProviderError, PromptError) as error:
        print(error, file=sys.stderr)
        return 1


def _voice(paths: models.ModelPaths, script: Script) -> Voice:
    return local_tts.make_voice(
        paths, script.voice, language=script.language, pronunciations=script.pronunciations
    )


def _cache(settings: Settings, voice: Voice) -> PromptCache:
    return PromptCache(
        settings.cache_dir,
        local_tts.identity(voice),
        shipped=settings.prompts_dir,
        recorded=recorded_in(settings.recorded_prompts),
    )


def _check(settings: Settings, script: Script) -> int:
    voice = _voice(models.paths(settings.models_dir), script)
    cache = _cache(settings, voice)
    texts = script.fixed_texts()
    missing = cache.load(texts)
    for text in missing:
        print(f"not rendered: {text}", file=sys.stderr)
    if missing:
        print("run voicebot prompts", file=sys.stderr)
        return 1
    print(f"{settings.cache_dir}: all {len(texts)} sentences of {script.name} are rendered")
    return 0


def _render(settings: Settings, script: Script, args: argparse.Namespace) -> int:
    voice = _voice(models.ensure(settings.models_dir, turns=False), script)
    cache = _cache(settings, voice)
    texts = script.fixed_texts()
    missing = cache.load(texts)
    started = time.monotonic()
    if missing:
        print(f"Rendering {len(missing)} of {len(texts)} sentences with {script.voice}.")
        cores = _cores(settings, args.all_cores)[: len(missing)]
        uvloop.run(_render_with(cache, voice, missing, cores))
    if args.prune:
        print(f"{cache.prune(texts)} sentences removed")
    print(summary(cache, texts, time.monotonic() - started))
    return 0


def _cores(settings: Settings, every: bool) -> Sequence[int]:
    available = os.sched_getaffinity(0)
    if every:
        return sorted(available)
    loop_core = settings.loop_core if settings.loop_core >= 0 else None
    return layout(available, loop_core, settings.worker_cores).workers


async def _render_with(
    cache: PromptCache, voice: Voice, texts: Sequence[str], cores: Sequence[int]
) -> None:
    pool = WorkerPool(cores, Metrics(), warm=[local_tts.warm_call(voice)])
    await pool.start()
    try:
        engine = local_tts.LocalTextToSpeech(pool, voice, whole=True)
        await cache.render(
            engine, texts, Bar(sys.stdout).show, at_once=pool.size, studio=Studio(pool)
        )
    finally:
        await pool.close()


class Bar:
    """A line for each sentence, and below them, on a terminal, how far it has come."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._live = out.isatty()

    def show(self, made: Rendered) -> None:
        clear = "\r\x1b[K" if self._live else ""
        line = f"{made.seconds:5.1f} s {made.size / 1024:5.0f} KiB in {made.took:4.1f} s"
        print(f"{clear}{line}  {made.text}", file=self._out)
        if self._live and made.done < made.total:
            filled = _BAR * made.done // made.total
            bar = "█" * filled + "░" * (_BAR - filled)
            print(f"{bar} {made.done}/{made.total}", end="", file=self._out)
        self._out.flush()


def summary(cache: PromptCache, texts: Sequence[str], took: float) -> str:
    """The closing line: how much there is now."""
    audio = b"".join(cache.get(text) or b"" for text in texts)
    return (
        f"{len(texts)} sentences, {seconds(audio):.0f} s of speech, {len(audio) / 2**20:.1f} MiB, "
        f"ready in {took:.1f} s"
    )
