"""``voicebot models``: have the embedded engine's files in place, checked.

Exit status: 0 if all are there and are the published ones, 1 if not, 2 if the settings are wrong.
"""

from __future__ import annotations

import argparse
import sys

from voicebot import config, models
from voicebot.telemetry import logs

HELP = "put the embedded engine's model files together and check them"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this command on *parser*."""
    parser.add_argument("--check", action="store_true", help="only report what is wrong")


def run(args: argparse.Namespace) -> int:
    """Make or check the files of MODELS_DIR."""
    try:
        settings = config.load()
    except config.SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    directory = settings.models_dir
    turns = settings.listen_for_turn_end != "never"
    logs.configure("warning", settings.log_format)
    if args.check:
        faults = models.check(directory, embedded=settings.embedded_engine, turns=turns)
        for fault in faults:
            print(fault, file=sys.stderr)
        if not faults:
            print(f"{directory}: every model file matches its published hash")
        return 1 if faults else 0
    try:
        models.ensure(
            directory,
            lambda name, what: print(f"  {what:<9}  {name}", flush=True),
            embedded=settings.embedded_engine,
            turns=turns,
        )
    except models.ModelError as error:
        print(error, file=sys.stderr)
        return 1
    return 0
