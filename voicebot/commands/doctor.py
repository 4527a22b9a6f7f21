"""``voicebot doctor``: is this machine ready to take calls? One line for each thing it looks at.

Exit status: 0 when nothing is at fault (warnings are allowed), 1 otherwise, so that a script
may ask it before it starts the service. It changes nothing and can be run beside a service that
holds calls. The checks themselves are in :mod:`voicebot.commands.doctor_checks` and, for clouds, in
:mod:`voicebot.commands.doctor_cloud`.
"""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TextIO

from voicebot import config
from voicebot.commands import doctor_checks, doctor_cloud
from voicebot.commands.doctor_checks import Check, Finding, Mark, fault, good
from voicebot.commands.machine import Machine

CHECKS: tuple[Check, ...] = (*doctor_checks.CHECKS, *doctor_cloud.CHECKS)
COLOURS = {Mark.GOOD: "32", Mark.WARNING: "33", Mark.FAULT: "31"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this command on *parser*."""
    parser.add_argument(
        "--live", action="store_true",
        help="also send each cloud one request (a few words; a tenth of a cent)",
    )  # fmt: skip
    parser.add_argument("-q", "--quiet", action="store_true", help="print only problems")


def run(args: argparse.Namespace) -> int:
    """Print the report; 1 if anything is at fault."""
    checks = (*CHECKS, doctor_cloud.live) if args.live else CHECKS
    return report(examine(Machine(), checks), sys.stdout, quiet=args.quiet)


def examine(machine: Machine, checks: Sequence[Check] = CHECKS) -> Iterator[Finding]:
    """Everything found, as it is found. With faulty settings the rest is checked by defaults."""
    try:
        settings = config.load()
    except config.SettingsError as error:
        for text in error.faults:
            yield fault(text, "fix it (docs/reference/settings.md); the rest assumes the defaults")
        settings = config.Settings()
    else:
        yield good(f"settings: {len(config.described())}, all valid")
    for check in checks:
        try:
            yield from check(settings, machine)
        except ImportError as error:
            name = check.__name__
            yield fault(f"{name}: cannot be checked, {error}", "see the packages above")


def report(findings: Iterator[Finding], out: TextIO, *, quiet: bool = False) -> int:
    """Print *findings* and a summary to *out*; return the exit status."""
    counts = dict.fromkeys(Mark, 0)
    # What is mended in the same way is told how once, below the last of it.
    for remedy, alike in groupby(findings, lambda finding: finding.remedy):
        for finding in alike:
            counts[finding.mark] += 1
            if not (quiet and finding.mark is Mark.GOOD):
                print(_line(finding, colour=out.isatty()), file=out, flush=True)
        if remedy:
            print(_hint(remedy), file=out, flush=True)
    faults, warnings = counts[Mark.FAULT], counts[Mark.WARNING]
    if faults:
        print(f"\nnot ready: {_count(faults, 'fault')}, {_count(warnings, 'warning')}", file=out)
        return 1
    if not quiet:
        tail = f", {_count(warnings, 'warning')}" if warnings else ""
        print(f"\nready to take calls{tail}", file=out)
    return 0


def _line(finding: Finding, *, colour: bool) -> str:
    mark = finding.mark.value
    if colour:
        mark = f"\033[{COLOURS[finding.mark]}m{mark}\033[0m"
    return f"{mark} {finding.text}"


def _hint(remedy: str) -> str:
    return textwrap.fill(
        remedy,
        96,
        initial_indent="    → ",
        subsequent_indent="      ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
