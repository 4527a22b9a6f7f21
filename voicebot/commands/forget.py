"""``voicebot forget NUMBER``: erase a person everywhere, and prove it.

Shows what there is, asks (or takes ``--yes``), erases, has a running service forget what it had in
memory, and looks for everything again. Exit status: 0 if nothing is left here, 1 if something is,
or was not erased, 2 for faulty settings, 3 if another task did not end.
"""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import closing
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path

from voicebot import script_file
from voicebot.archive import ArchiveError, erasure, recordings
from voicebot.archive.erasure import Number, Person
from voicebot.archive.records import Records
from voicebot.commands import task
from voicebot.commands.listing import local
from voicebot.commands.machine import Machine, running_calls
from voicebot.commands.task import Done
from voicebot.config import Settings
from voicebot.journal.schema import file_exists


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this command on *parser*."""
    parser.add_argument(
        "number", metavar="NUMBER", help="in any form: 0612345678, '06 12 34 56 78', +33612345678"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")


def run(args: argparse.Namespace) -> int:
    """Erase; see the module for the exit status."""
    return task.perform("forget", lambda settings: _forget(args, settings))


def _forget(args: argparse.Namespace, settings: Settings) -> Done:
    number = Number(args.number, script_file.load(settings.script_file))
    directory = settings.recordings_dir
    if not file_exists(settings.journal_url):
        raise ArchiveError(
            "JOURNAL_URL: there is no journal, and without it there is no telling whose recording "
            "is whose"
        )
    with (
        recordings.exclusive(directory, "forget", wait=task.WAIT, waiting=task.waiting),
        closing(Records(settings.journal_url)) as records,
    ):
        machine = Machine()
        running = running_calls(machine, settings) or ()
        cache = settings.cache_dir
        person = erasure.search(records, directory, cache, number, running=running)
        print(_inventory(number, person))
        if person and not (args.yes or _agreed()):
            raise ArchiveError("nothing was erased; say yes, or add --yes")
        erasure.erase(records, directory, person, now=datetime.now(UTC))
        forgotten = _forgotten_by_service(machine, settings, person)
        remains = erasure.proof(records, directory, cache, number, person.found)
    for line in remains:
        print(f"still there: {line}")
    for call_id in person.running:
        print(f"call {call_id} is still running; run this again when it is over")
    nothing_left = forgotten and not remains and not person.running
    if nothing_left:
        print("searched again, in journal, recordings and learnt sentences: nothing is left")
    _tell_of_backups(person, settings)
    print(
        "not looked at: logs (they contain what people say only with LOG_TRANSCRIPTS=true), and "
        "copies made by hand"
    )
    return Done(ok=nothing_left)


def _forgotten_by_service(machine: Machine, settings: Settings, person: Person) -> bool:
    """Have a running service let go of learnt sentences whose files are gone, and tell of it; False
    if it may still know them."""
    if not settings.control_port:
        if person.sentences:
            print("CONTROL_PORT=0: a running service still has these learnt sentences; restart it")
        return not person.sentences
    where = f"{settings.control_host}:{settings.control_port}"
    answer = machine.post(f"http://{where}/v1/learned/release")
    if answer is None:
        print(f"no service listens on {where}, so none has learnt sentences in memory")
        return True
    status, body = answer
    try:
        released = int(json.loads(body)["released"])
    except (ValueError, TypeError, KeyError):
        if status == HTTPStatus.NOT_FOUND and not person.sentences:
            return True  # another program, or an older version with nothing to forget
        said = body.decode(errors="replace").strip()[:100] or "no answer"
        print(
            f"still in memory, perhaps: the service on {where} did not let go of learnt sentences "
            f"({status or ''} {said}); run this again, or restart it"
        )
        return False
    print(f"the running service has let go of {released} learnt sentences")
    return True


def _inventory(number: Number, person: Person) -> str:
    found, files = person.found, [*person.files, *person.parts]
    size = sum(_size(file) for file in files)
    said = f", {len(found.mentioned)} more in which it was said" if found.mentioned else ""
    return "\n".join(
        [
            f"{number}",
            f"  calls       {len(found.confirmed)} that gave the number{said}",
            f"  texts       {found.turns} turns",
            f"  callbacks   {len(found.callbacks)}",
            f"  recordings  {len(files)} ({task.megabytes(size)})",
            f"  learnt      {sum(p.suffix == '.slin' for p in person.sentences)} sentences",
        ]
    )


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _agreed() -> bool:
    if not sys.stdin.isatty():
        return False
    return input("Erase all of it? It cannot be undone. [yes/no] ").strip().lower() in ("y", "yes")


def _tell_of_backups(person: Person, settings: Settings) -> None:
    if not settings.backup_target:
        print("backups: BACKUP_TARGET is not set; any that exist were not looked at")
        return
    try:
        place = task.place_of(settings)
        snapshots = place.snapshots()
    except ArchiveError as error:
        print(f"backups: cannot be checked: {error}")
        return
    since = person.found.earliest or datetime.min.replace(tzinfo=UTC)
    holding = erasure.holding(snapshots, since, settings.backup_days) if person else []
    for snapshot, until in holding:
        limit = f"until {local(until)}" if until else "for ever (BACKUP_DAYS=0)"
        print(f"backups: {place}/{snapshot.name} may hold it {limit}")
    if holding:
        print("backups: a restore erases these calls again; run `voicebot backup` now, to be sure")
    else:
        print(f"backups: no snapshot in {place} has any of it")
