"""The ``voicebot`` command: finds the verb, imports only what that verb needs, runs it."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from voicebot import __version__

VERBS = {
    "serve": "run the service",
    "call": "place simulated calls, and measure what the caller hears",
    "probe": "place a test call through Asterisk: is the line answered?",
    "demo": "run three whole conversations on this machine",
    "calls": "list calls, or show one as a conversation",
    "callbacks": "list the people waiting to be called back",
    "convert": "convert recordings to MP3",
    "backup": "copy journal, recordings and settings to a safe place",
    "restore": "restore a backup, or check that it can be restored",
    "retention": "remove data that is older than the settings allow",
    "forget": "erase a person everywhere",
    "prompts": "render the bot's fixed sentences into the cache",
    "models": "assemble and verify the embedded engine's model files",
    "emulate": "emulate Deepgram, Groq and OpenAI, to try the cloud path without keys",
    "doctor": "check this machine, and say how to fix each fault",
    "settings": "show every setting",
    "runbook": "list the runbooks of alerts, or print one",
}
"""Verb to its one line; the code of each is :mod:`voicebot.commands`."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb; returns the exit status (2 for a wrong command line)."""
    words = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(
        prog="voicebot",
        description="A phone voicebot appliance: AudioSocket in, a conversation out.",
        epilog="verbs:\n" + "\n".join(f"  {verb:<10} {about}" for verb, about in VERBS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"voicebot {__version__}")
    parser.add_argument("verb", choices=VERBS, metavar="VERB")
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    verb = parser.parse_args(words[:1]).verb
    command = importlib.import_module(f"voicebot.commands.{verb}")
    own = argparse.ArgumentParser(prog=f"voicebot {verb}", description=VERBS[verb])
    command.add_arguments(own)
    return int(command.run(own.parse_args(words[1:])))
