"""``voicebot emulate``: Deepgram, Groq and OpenAI on this machine, to try the cloud path by.

Prints the settings that lead the service to it, and serves until it is interrupted. How to direct
it while it runs is on its front page and in docs/reference/emulator.md.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from voicebot.config import Settings
    from voicebot.emulator.engines import Recogniser, Speaker
    from voicebot.emulator.latency import Profile
    from voicebot.emulator.server import Emulator

PORT = 9180


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this command on *parser*."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument(
        "--port", type=int, default=PORT, metavar="N",
        help=f"admin port; the vendors use the next three (default {PORT}; 0: any free)",
    )  # fmt: skip
    parser.add_argument(
        "--latency", default="published", metavar="HOW",
        help="delays: published (default), none, or a YAML file of quantiles",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="seed of the delays (default 0)")
    parser.add_argument(
        "--recognise", default="script", metavar="HOW",
        help="script (default): the shipped recordings and nothing else; whisper: the embedded "
        "recogniser listens; or a YAML file of recordings and their words",
    )  # fmt: skip
    parser.add_argument(
        "--voice", choices=("auto", "kokoro", "espeak"), default="auto",
        help="auto (default): kokoro if its models are there, else espeak-ng",
    )  # fmt: skip
    parser.add_argument("--rules", type=Path, metavar="FILE", help="keyword table of the model")


def run(args: argparse.Namespace) -> int:
    """0 when interrupted, 1 when it cannot start."""
    import uvloop

    from voicebot import config
    from voicebot.dialogue.script import ScriptError
    from voicebot.models import ModelError
    from voicebot.workers.pool import WorkerError

    try:
        from voicebot.emulator.brain import BrainError
        from voicebot.emulator.engines import EngineError
        from voicebot.emulator.latency import LatencyError
        from voicebot.emulator.server import PortError
    except ModuleNotFoundError as error:
        print(
            f"voicebot: emulate needs {error.name}, which only a checkout has, after "
            "scripts/setup emulator: installations that take calls leave it out to stay light",
            file=sys.stderr,
        )
        return 1
    try:
        uvloop.run(serve(args, config.load()))
    except config.SettingsError as error:
        print("\n".join(error.faults), file=sys.stderr)
        return 1
    except ScriptError as error:
        print("\n".join(error.faults), file=sys.stderr)
        return 1
    except (
        BrainError, EngineError, LatencyError, ModelError, PortError, WorkerError,
    ) as error:  # fmt: skip
        print(f"voicebot: {error}", file=sys.stderr)
        return 1
    return 0


async def serve(args: argparse.Namespace, settings: Settings) -> None:
    """Until SIGINT or SIGTERM. Raises what :func:`run` handles."""
    from voicebot.emulator.direction import describe

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        emulator = await _build(args, settings, stack)
        await stack.enter_async_context(emulator)
        for line in describe(emulator, emulator.url).splitlines():
            print(f"# {line}".rstrip())
        for name, value in emulator.environment().items():
            print(f"{name}={value}")
        print("# ready; Ctrl-C stops it", flush=True)
        await stop.wait()


async def _build(args: argparse.Namespace, settings: Settings, stack: AsyncExitStack) -> Emulator:
    from voicebot import models
    from voicebot.emulator import engines
    from voicebot.emulator.brain import SHIPPED, Brain
    from voicebot.emulator.latency import Latency
    from voicebot.emulator.server import Emulator

    latency = Latency(_profile(args.latency), args.seed)
    brain = Brain.load(args.rules or SHIPPED)
    kokoro = args.voice == "kokoro" or (
        args.voice == "auto"
        and not await asyncio.to_thread(models.check, settings.models_dir, turns=False)
    )
    listener, voice = await stack.enter_async_context(
        engines.embedded(
            settings.models_dir,
            settings.script_file,
            listens=args.recognise == "whisper",
            speaks=kokoro,
        )
    )
    recogniser: Recogniser = listener or engines.KnownClips.load(
        engines.SHIPPED_CLIPS if args.recognise == "script" else Path(args.recognise)
    )
    speaker: Speaker = voice or engines.Espeak()
    sentences = engines.Sentences(speaker, settings.cache_dir / "emulator")
    return Emulator(recogniser, sentences, latency, brain, host=args.host, port=args.port)


def _profile(how: str) -> Profile:
    """Raises LatencyError."""
    from voicebot.emulator.latency import Profile
    from voicebot.emulator.latency_file import PUBLISHED, load

    if how == "none":
        return Profile()
    return load(PUBLISHED if how == "published" else Path(how))
