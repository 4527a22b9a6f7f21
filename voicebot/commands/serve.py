"""``voicebot serve``: run the service in the foreground until it is told to stop."""

from __future__ import annotations

import argparse
import ctypes
import os
import sys
from contextlib import suppress

HELP = "run the service"

# Before numpy is imported anywhere: its threads cost more than they gain on matrices this small,
# and would run on cores that are not ours (see voicebot.audio.vad).
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Before there are threads: each would get a heap of its own, which keeps what it once needed.
_M_ARENA_MAX = -8  # mallopt(3)
with suppress(OSError, AttributeError):  # another C library than glibc
    ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "Settings come from the environment and .env; see `voicebot settings`."


def run(args: argparse.Namespace) -> int:
    """0 when stopped in order, 1 when it could not start; the reason is the last line logged."""
    import structlog
    import uvloop

    from voicebot import __version__, config, service
    from voicebot.audio.vad import VadWeightsError
    from voicebot.control.server import ControlError
    from voicebot.dialogue.script import ScriptError
    from voicebot.journal.schema import JournalError
    from voicebot.models import ModelError
    from voicebot.prompts.cache import PromptError
    from voicebot.providers.interfaces import ProviderError
    from voicebot.providers.prices import PriceError
    from voicebot.server import ListenError
    from voicebot.telemetry import logs
    from voicebot.telemetry.metrics import Metrics
    from voicebot.workers.layout import LayoutError
    from voicebot.workers.pool import WorkerError

    try:
        settings = config.load()
    except config.SettingsError as error:
        for fault in error.faults:
            print(f"voicebot: {fault}", file=sys.stderr)
        return 1
    metrics = Metrics(version=__version__, revision=service.revision())
    output = logs.configure(
        settings.log_level, settings.log_format, metrics, transcripts=settings.log_transcripts
    )
    log = structlog.get_logger("voicebot")
    try:
        uvloop.run(service.run(settings, metrics))
    except ScriptError as error:
        for fault in error.faults:
            log.error("script is wrong", fault=fault)
    except PriceError as error:
        for fault in error.faults:
            log.error("price table is wrong", fault=fault)
    except (
        ControlError, JournalError, LayoutError, ListenError, ModelError, PromptError,
        ProviderError, VadWeightsError, WorkerError,
    ) as error:  # fmt: skip
        log.error("service cannot start", reason=str(error))
    else:
        log.info("service stopped")
        return 0
    finally:
        output.close()
    return 1
