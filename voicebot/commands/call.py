"""``voicebot call``: a simulated customer calls the service, as Asterisk would connect them.

One scenario after the other with the conversation shown as it happens, or with ``--calls N`` that
many at once and a summary. Exit status: 0 if every call went as its scenario says, 1 if one did
not, 2 if none could be placed (no such scenario, no service, no audio for a line).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import uvloop

from voicebot import config
from voicebot.dialogue.script import ScriptError
from voicebot.models import ModelError
from voicebot.providers.interfaces import ProviderError
from voicebot.simulator import recording, report, scenario
from voicebot.simulator.feed import EventFeed, FeedError
from voicebot.simulator.lines import Line, LineError
from voicebot.simulator.runner import CallResult, Target, run_call, run_calls
from voicebot.simulator.scenario import Scenario, ScenarioError
from voicebot.simulator.synthesis import prepare_lines
from voicebot.telemetry import logs
from voicebot.workers.layout import LayoutError
from voicebot.workers.pool import WorkerError

HELP = "let a simulated customer call the service, and measure what comes back"

REFERENCE = "internet-resolved"
_FAILED, _IMPOSSIBLE = 1, 2


class CannotCallError(Exception):
    """No call can be placed. ``str()`` says why and what to do."""


#: Why no call can be placed; each says what to do.
_REASONS = (
    CannotCallError,
    FeedError,
    LayoutError,
    LineError,
    ModelError,
    ProviderError,
    ScenarioError,
    ScriptError,
    WorkerError,
    config.SettingsError,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this command on *parser*."""
    parser.add_argument(
        "scenarios",
        nargs="*",
        metavar="SCENARIO",
        help=f"name of a scenario, or a .yaml file (default: {REFERENCE})",
    )
    parser.add_argument("--list", action="store_true", help="list the scenarios and exit")
    parser.add_argument("--host", help="the service's host (default: AUDIOSOCKET_HOST)")
    parser.add_argument("--port", type=int, help="the service's port (default: AUDIOSOCKET_PORT)")
    parser.add_argument(
        "--control",
        metavar="[HOST:]PORT",
        help="the control API, whose event feed has the bot's words (default: CONTROL_HOST and "
        "CONTROL_PORT); 'none' for a bot without one",
    )
    parser.add_argument(
        "--calls", type=_count, default=1, metavar="N", help="make N calls at once (default: 1)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("var/simulated"),
        metavar="DIR",
        help="where the recordings go (default: %(default)s)",
    )
    parser.add_argument(
        "--keep-going", action="store_true", help="continue after a failed scenario"
    )
    parser.add_argument("--json", action="store_true", help="print the measurements as JSON")


def run(args: argparse.Namespace) -> int:
    """Place the calls; see the module for the exit status."""
    if args.list:
        print(_listing())
        return 0
    output = logs.configure("warning", "console")
    try:
        scenarios = [scenario.load(name) for name in args.scenarios or [REFERENCE]]
        settings = config.load()
        return uvloop.run(_call(args, settings, scenarios))
    except _REASONS as error:
        print(f"call: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("call: interrupted", file=sys.stderr)
    finally:
        output.close()
    return _IMPOSSIBLE


async def _call(
    args: argparse.Namespace, settings: config.Settings, scenarios: list[Scenario]
) -> int:
    target = _target(args, settings)
    if target.feed is not None:
        await target.feed.check()
    else:
        for one in scenarios:
            if one.follows_words:
                raise CannotCallError(
                    f"{one.name} answers the bot's words; it needs the control API (--control)"
                )
    texts = dict.fromkeys(line for one in scenarios for line in one.lines())
    lines = await prepare_lines(list(texts), settings, _progress)
    try:
        if args.calls > 1:
            return await _many(args, scenarios, target, lines)
        return await _one_by_one(args, scenarios, target, lines)
    except OSError as error:
        raise CannotCallError(
            f"{target.host}:{target.port}: {error.strerror or error}; is the service running? "
            "(voicebot serve; AUDIOSOCKET_HOST and AUDIOSOCKET_PORT, or --host and --port)"
        ) from error


async def _one_by_one(
    args: argparse.Namespace,
    scenarios: Sequence[Scenario],
    target: Target,
    lines: dict[str, Line],
) -> int:
    style = _style()
    results = []
    for one in scenarios:
        if not args.json:
            print(style.paint("1", f"\n{one.name}: {one.title}"), flush=True)
            needs = scenario.requirement_note(one)
            if needs:
                print(f"(the service must run with {needs})", flush=True)
        result = await run_call(
            one,
            target,
            lines,
            show=None
            if args.json
            else lambda entry: print(report.transcript_line(entry, style), flush=True),
        )
        results.append(result)
        files = _record(result, args.out, "")
        if not args.json:
            print(f"\n{report.call_report(result, style)}\n      {files}", flush=True)
        if not result.ok and not args.keep_going:
            break
    return _finish(args, results, style)


async def _many(
    args: argparse.Namespace,
    scenarios: Sequence[Scenario],
    target: Target,
    lines: dict[str, Line],
) -> int:
    finished = 0

    def ended(one: Scenario) -> None:
        nonlocal finished
        finished += 1
        _progress(f"{finished} of {args.calls} calls over ({one.name})")

    results = await run_calls(scenarios, target, lines, count=args.calls, ended=ended)
    for number, result in enumerate(results, 1):
        _record(result, args.out, f"-{number:03}")
    if not args.json:
        print(f"      recordings in {args.out}")
    return _finish(args, results, _style())


def _finish(args: argparse.Namespace, results: list[CallResult], style: report.Style) -> int:
    if args.json:
        print(json.dumps([report.as_dict(one) for one in results], ensure_ascii=False, indent=2))
    elif len(results) > 1:
        print(f"\n{report.summary_table(results, style)}")
    return 0 if all(one.ok for one in results) else _FAILED


def _record(result: CallResult, out: Path, suffix: str) -> str:
    """Write the recordings of a call; return a sentence on where they are."""
    stamp = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    wav = out / f"{result.scenario.name}-{stamp}{suffix}.wav"
    try:
        recording.write_wav(result.tape, wav)
        mp3 = wav.with_suffix(".mp3")
        has_mp3 = recording.write_mp3(result.tape, mp3)
    except OSError as error:
        return f"the recording could not be written: {error}"
    if not has_mp3:
        return f"recording: {wav} (no MP3: ffmpeg is not installed)"
    return f"recording: {wav} and {mp3.name}; left is the customer, right the bot"


def _target(args: argparse.Namespace, settings: config.Settings) -> Target:
    host = args.host or settings.audiosocket_host
    port = settings.audiosocket_port if args.port is None else args.port
    if args.control == "none":
        return Target(host, port, None)
    control_host, _, control_port = (args.control or "").rpartition(":")
    if args.control and not control_port.isdigit():
        raise CannotCallError(f"--control {args.control}: must be PORT, HOST:PORT or none")
    feed = EventFeed(
        control_host or settings.control_host, int(control_port or settings.control_port)
    )
    return Target(host, port, feed)


def _listing() -> str:
    rows = []
    for name in scenario.names():
        one = scenario.load(name)
        needs = scenario.requirement_note(one)
        rows.append(f"{name:<20} {one.title}{f' ({needs})' if needs else ''}")
    return "\n".join(rows)


def _style() -> report.Style:
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    return report.Style(colour, min(120, shutil.get_terminal_size((100, 24)).columns))


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value
