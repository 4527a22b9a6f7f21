"""``voicebot probe``: one test call, as a caller would make it; is the line answered?

It calls through Asterisk (PROBE_SIP_ADDRESS) or, with ``--direct``, the voicebot itself; hears the
greeting, says goodbye, and hears whether it was understood. A timer does so each minute
(systemd/voicebot-probe.timer) and leaves its figures for Prometheus; by hand it prints what
happened when, and where to look if it failed. ``--customer NUMBER`` is a call of another kind, the
self-check's: a customer's, which is in the journal and recorded. Exit status: 0 as it should be, 1
not so, 2 no call could be placed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Final

import uvloop

from voicebot import config
from voicebot.probe import report, visit
from voicebot.probe.call import Result, Way, place
from voicebot.simulator import recording
from voicebot.simulator.feed import EventFeed
from voicebot.simulator.lines import Line, LineError, Voice, make_line, read_clip
from voicebot.telemetry import probes

HELP = "place a test call through Asterisk, and say whether the line is answered"

SAYS: Final = "Au revoir."
"""Of the recordings that are shipped. Every script knows a goodbye, and it leaves nothing behind:
no name, no callback, no technician who picks up."""
_FAILED, _IMPOSSIBLE = 1, 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this command on *parser*."""
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument(
        "--direct",
        action="store_true",
        help="call the voicebot's AudioSocket port directly, to rule Asterisk in or out",
    )
    kind.add_argument(
        "--customer",
        metavar="NUMBER",
        help="call NUMBER as a customer would, hear the greeting and hang up: an ordinary call, "
        "recorded and in the journal. Needs the playbook's `selfcheck` endpoint",
    )
    parser.add_argument(
        "--metrics",
        type=Path,
        metavar="FILE",
        help="write metrics there, for node_exporter's textfile collector (name it *.prom)",
    )
    parser.add_argument(
        "--record", type=Path, metavar="FILE", help="save what was said and heard, as a WAV"
    )
    parser.add_argument("--quiet", action="store_true", help="print one line")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Place the call; see the module for the exit status."""
    try:
        settings = config.load()
        if args.customer:
            return _visit(args, settings)
        said, line = uvloop.run(_line(settings))
    except (config.SettingsError, LineError) as error:
        print(f"probe: {error}", file=sys.stderr)
        return _IMPOSSIBLE
    result = uvloop.run(place(_way(args, settings), line))
    if args.json:
        print(json.dumps(report.as_dict(result), ensure_ascii=False))
    else:
        print(report.verdict(result) if args.quiet else report.text(result, said))
    return _leave(args, result)


def _visit(args: argparse.Namespace, settings: config.Settings) -> int:
    """The call of ``--customer``; metrics and a recording by us are for probes."""
    made = uvloop.run(visit.pay(args.customer, _asterisk(settings)))
    if args.json:
        print(json.dumps(asdict(made)))
    elif not made.answered:
        print(f"failed: {made.fault}")
    else:
        print(f"{'ok' if made.heard else 'failed: nothing was heard'}, {made.packets} packets")
    return 0 if made.heard else _FAILED


def _asterisk(settings: config.Settings) -> tuple[str, int]:
    host, _, port = settings.probe_sip_address.rpartition(":")
    return host, int(port)


def _way(args: argparse.Namespace, settings: config.Settings) -> Way:
    control = EventFeed(settings.control_host, settings.control_port)
    if args.direct:
        return Way(settings.audiosocket_host, settings.audiosocket_port, False, control)
    return Way(*_asterisk(settings), True, control)


async def _line(settings: config.Settings) -> tuple[str, Line]:
    """What the probe says, in words and as audio."""
    file = settings.probe_speech
    if file is not None:
        return f"({file.name})", make_line(file.name, read_clip(file))
    return SAYS, (await Voice(settings.cache_dir).prepare([SAYS]))[SAYS]


def _leave(args: argparse.Namespace, result: Result) -> int:
    """Write the files that were asked for; the exit status."""
    timeline = result.timeline
    status = 0 if result.failed is None else _FAILED
    try:
        if args.record is not None:
            recording.write_wav(result.tape, args.record)
        if args.metrics is not None:
            probes.write(
                args.metrics,
                ended=time.time(),
                failed=result.failed,
                first_audio=timeline.first_audio,
                response=timeline.response,
            )
    except OSError as error:
        print(f"probe: {error.filename or args.metrics}: {error.strerror}", file=sys.stderr)
        return _FAILED
    return status
