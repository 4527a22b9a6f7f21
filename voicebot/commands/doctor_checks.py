"""What ``voicebot doctor`` looks at: one function for each thing, in the order of the report.

A check takes the settings and the machine and yields findings: what it saw, and for anything
that is not right, what to do. It changes nothing. All that a check learns about the machine
comes through :class:`~voicebot.commands.machine.Machine`, so that a test can give it any machine.

The order is that of installing: a fault near the top is often the cause of those below it.
"""

from __future__ import annotations

import errno
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from voicebot import models
from voicebot.commands.machine import Machine, existing, running_calls
from voicebot.config import Settings
from voicebot.workers.layout import CoreLayout, LayoutError, layout

GIGABYTE = 1_000_000_000
RECORDED_BYTES_PER_HOUR = 3600 * 2 * 2 * 8000  # two channels of 8 kHz, 16 bits
LOW_DISK = 10 * GIGABYTE
NO_DISK = 1 * GIGABYTE
CORES_PROMISED = 4  # the figures for 20 calls are given for 4 vCPU
WORKER_MEMORY = 520_000_000  # measured with Whisper base, Kokoro and Smart Turn loaded
SERVICE_MEMORY = 100_000_000

SERVICE_MODULES = (
    "dotenv", "numpy", "prometheus_client", "pydub", "soxr", "sqlalchemy", "structlog", "uvloop",
    "yaml",
)  # fmt: skip
ENGINE_MODULES = ("ctranslate2", "onnxruntime")
PROGRAMS = {
    "espeak-ng": "the voice needs its phonemes; without it the bot can only say its prompts",
    "ffmpeg": "it converts recordings to MP3",
    "age": "it encrypts them, because RECORDINGS_KEY is set",
}


class Mark(Enum):
    """How grave a finding is; the value is printed."""

    GOOD = "✓"
    WARNING = "!"
    FAULT = "✗"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. ``remedy`` says what to do; empty when all is well."""

    mark: Mark
    text: str
    remedy: str = ""


def good(text: str) -> Finding:
    return Finding(Mark.GOOD, text)


def warning(text: str, remedy: str) -> Finding:
    return Finding(Mark.WARNING, text, remedy)


def fault(text: str, remedy: str) -> Finding:
    return Finding(Mark.FAULT, text, remedy)


Check = Callable[[Settings, Machine], Iterator[Finding]]


def python(settings: Settings, machine: Machine) -> Iterator[Finding]:
    version = ".".join(map(str, machine.python))
    if (3, 11) <= machine.python[:2] <= (3, 13):
        yield good(f"Python {version}")
    else:
        yield fault(
            f"Python {version}: 3.11, 3.12 or 3.13 is needed",
            "run `PYTHON=python3.11 scripts/setup demo`, or use Debian 12 or later",
        )


def search_path(settings: Settings, machine: Machine) -> Iterator[Finding]:
    path = machine.search_path()
    if path.strip():
        yield good(f"PATH is {path}")
    else:
        yield fault(
            "PATH is empty or not set: no programs can be found, ffmpeg and espeak-ng included",
            "set PATH=/usr/local/bin:/usr/bin:/bin where the service is started",
        )


def modules(settings: Settings, machine: Machine) -> Iterator[Finding]:
    kinds: dict[str, Sequence[str]] = {"the service": SERVICE_MODULES}
    if settings.embedded_engine:
        kinds["the engine"] = ENGINE_MODULES
    for what, names in kinds.items():
        faults = []
        for name in names:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # pydub warns without ffmpeg: see below
                    machine.import_module(name)
            except ImportError as error:  # not only absent: a library it needs may be
                faults.append(f"{name} ({error})")
            except Exception as error:  # pydub's, for one, without a PATH: KeyError
                faults.append(f"{name} ({type(error).__name__}: {error})")
        if faults:
            yield fault(
                f"packages of {what}: {', '.join(faults)}",
                "run `scripts/setup demo`; it installs requirements/local.txt",
            )
        else:
            yield good(f"packages of {what}: all {len(names)} can be loaded")


def programs(settings: Settings, machine: Machine) -> Iterator[Finding]:
    needed = {"espeak-ng": settings.embedded_engine, "age": bool(settings.recordings_key)}
    for program, purpose in PROGRAMS.items():
        if not needed.get(program, True):
            continue
        if not machine.search_path().strip():
            return  # the fault is named above
        path = machine.find_program(program)
        if path:
            yield good(f"{program} ({path})")
        else:
            yield fault(f"{program} is missing: {purpose}", f"as root: apt-get install {program}")


def ports(settings: Settings, machine: Machine) -> Iterator[Finding]:
    running = _running_service(settings, machine)
    for name, host, port in (
        ("AUDIOSOCKET", settings.audiosocket_host, settings.audiosocket_port),
        ("CONTROL", settings.control_host, settings.control_port),
    ):
        error = machine.bind_error(host, port)
        if error == 0:
            yield good(f"{name}_PORT {port} on {host} is free")
        elif error == errno.EADDRINUSE and running is not None:
            yield good(f"{name}_PORT {port} on {host}: the voicebot is running, {running} calls")
        elif error == errno.EADDRINUSE:
            yield fault(
                f"{name}_PORT {port} on {host} is taken by another program",
                f"`ss -ltnp 'sport = :{port}'` names it; stop it, or set {name}_PORT"
                + (" (Prometheus listens on 9090 by default)" if port == 9090 else ""),
            )
        else:
            yield fault(
                f"cannot listen on {host}:{port}: {os.strerror(error)}",
                f"set {name}_HOST to an address of this machine, and {name}_PORT above 1023",
            )


def clock(settings: Settings, machine: Machine) -> Iterator[Finding]:
    synchronised = machine.clock_synchronised()
    if synchronised:
        yield good("the clock is synchronised")
    else:
        yield warning(
            "the clock is not synchronised"
            if synchronised is False
            else "cannot tell here whether the clock is synchronised",
            "the times in journal, logs and opening hours depend on it; "
            "as root: apt-get install systemd-timesyncd",
        )


def cores(settings: Settings, machine: Machine) -> Iterator[Finding]:
    available = machine.cores()
    try:
        plan = _layout(settings, machine)
    except LayoutError as error:
        yield fault(str(error), "leave LOOP_CORE and WORKER_CORES empty to let the service choose")
        return
    workers = ", ".join(map(str, plan.workers))
    text = f"{len(available)} cores: the event loop on {plan.loop}, workers on {workers}"
    if len(available) < 2:
        yield warning(
            "one core: speech processing and audio pacing share it",
            "enough for a trial call; give the machine two cores or more",
        )
    elif len(available) < CORES_PROMISED and settings.max_calls >= 20:
        yield warning(
            f"{text}; few for {settings.max_calls} calls",
            f"callers may wait for answers when many speak at once; use {CORES_PROMISED} cores "
            "for 20 calls, or lower MAX_CONCURRENT_CALLS",
        )
    else:
        yield good(text)


def memory(settings: Settings, machine: Machine) -> Iterator[Finding]:
    available = machine.memory_available()
    if available is None:
        return  # not Linux; every other machine says it
    try:
        workers = len(_layout(settings, machine).workers)
    except LayoutError:
        workers = 1  # the fault is named above
    needed = SERVICE_MEMORY + workers * WORKER_MEMORY
    text = f"{available / GIGABYTE:.1f} GB of memory available, {needed / GIGABYTE:.1f} GB needed"
    if available < needed and _running_service(settings, machine) is None:
        yield warning(
            f"{text} for {workers} workers",
            "set WORKER_CORES to fewer cores; each worker loads its own copy of the models",
        )
    else:
        yield good(text)


def directories(settings: Settings, machine: Machine) -> Iterator[Finding]:
    complete = not _model_faults(settings)
    wanted: Mapping[str, Path] = {
        **({} if complete else {"MODELS_DIR": settings.models_dir}),  # an image's cannot be written
        "CACHE_DIR": settings.cache_dir,
        **({"RECORDINGS_DIR": settings.recordings_dir} if settings.record_calls else {}),
    }
    for name, directory in wanted.items():
        error = machine.write_error(directory)
        if error:
            yield fault(
                f"{name} {directory} is not writable: {error}",
                f"make its owner the user who runs the service, or set {name}",
            )
        else:
            yield good(f"{name} {directory} is writable")


def disk(settings: Settings, machine: Machine) -> Iterator[Finding]:
    if not settings.record_calls:
        return
    free = machine.free_bytes(existing(settings.recordings_dir))
    hours = free / RECORDED_BYTES_PER_HOUR
    text = f"{free / GIGABYTE:.0f} GB free for recordings, {hours:.0f} hours of calls"
    remedy = "move old recordings elsewhere, or set RECORDINGS_DIR to a larger disk"
    if free < NO_DISK:
        yield fault(text, remedy)
    elif free < LOW_DISK:
        yield warning(text, remedy)
    else:
        yield good(text)


def backups(settings: Settings, machine: Machine) -> Iterator[Finding]:
    if not settings.backup_target:
        yield warning(
            "BACKUP_TARGET is not set: journal and recordings exist on this machine only",
            "set it to a directory on another disk or to host:path; "
            "docs/how-to/backup-and-restore.md",
        )
        return
    from voicebot.archive import ArchiveError, restic  # here: a missing package must not end
    from voicebot.commands import task  # the report

    try:
        place = task.place_of(settings)
    except ArchiveError as error:
        yield fault(f"BACKUP_TARGET={error}", "correct it; docs/how-to/backup-and-restore.md")
        return
    program = "restic" if settings.backup_target.startswith(restic.PREFIX) else "rsync"
    if machine.find_program(program):
        yield good(f"backups go to {place}, with {program}")
    else:
        yield fault(
            f"{program} is missing: `voicebot backup` and `restore` need it",
            f"as root: apt-get install {program}",
        )


def script(settings: Settings, machine: Machine) -> Iterator[Finding]:
    from voicebot import script_file  # here: a missing package must not end the report
    from voicebot.dialogue.script import ScriptError

    try:
        loaded = script_file.load(settings.script_file)
    except ScriptError as error:
        for text in error.faults:
            yield fault(text, "fix the script, or leave SCRIPT_FILE empty for the one shipped")
    else:
        sentences = len(loaded.fixed_texts())
        yield good(f"script {loaded.name}, version {loaded.version}: {sentences} fixed sentences")


def _model_faults(settings: Settings) -> list[str]:
    """Of the files that the service needs with these settings."""
    from voicebot.speech import chains  # here, as above

    return models.check(
        settings.models_dir,
        embedded=settings.embedded_engine,
        turns=chains.listens_for_turn_ends(settings),
    )


def model_files(settings: Settings, machine: Machine) -> Iterator[Finding]:
    faults = _model_faults(settings)
    for sentence in faults:
        text, _, remedy = sentence.rpartition("; ")
        yield fault(text, remedy)
    if not faults:
        yield good(f"models in {settings.models_dir}: every file matches its published hash")


def prompts(settings: Settings, machine: Machine) -> Iterator[Finding]:
    from voicebot import script_file
    from voicebot.dialogue.script import ScriptError
    from voicebot.prompts.cache import PromptCache, PromptError, recorded_in
    from voicebot.providers import fallback, local_tts
    from voicebot.speech import chains  # here, as above

    try:
        script = script_file.load(settings.script_file)
        voice = local_tts.make_voice(
            models.paths(settings.models_dir),
            script.voice,
            language=script.language,
            pronunciations=script.pronunciations,
        )
    except ScriptError:
        return  # named already
    except models.ModelError as error:
        yield fault(str(error), "choose an existing voice in the script")
        return
    clouds = chains.prompt_voices(settings, fallback.today())
    identity = chains.voice_identity(settings, clouds[0]) if clouds else local_tts.identity(voice)
    texts = script.fixed_texts()
    try:
        recorded = recorded_in(settings.recorded_prompts)
    except PromptError as error:
        yield fault(str(error), "fix it, or empty RECORDED_PROMPTS")
        return
    for text in recorded.keys() - set(texts):
        yield warning(
            f"RECORDED_PROMPTS: {text!r} is not in the script",
            "write it in prompts.yaml exactly as in the script, one sentence per line",
        )
    missing = PromptCache(
        settings.cache_dir, identity, shipped=settings.prompts_dir, recorded=recorded
    ).load(texts)
    if missing:
        yield warning(
            f"prompts in {settings.cache_dir}: {len(missing)} of {len(texts)} are not rendered",
            ("" if clouds else "run `voicebot prompts`; otherwise ")
            + "the service renders them when it starts, and takes no calls meanwhile",
        )
    else:
        yield good(f"prompts in {settings.cache_dir}: all {len(texts)} are rendered")


def journal(settings: Settings, machine: Machine) -> Iterator[Finding]:
    import sqlalchemy  # here, as above

    remedy = "check JOURNAL_URL; docs/runbooks/VoicebotJournalFailing.md"
    try:
        url = sqlalchemy.make_url(settings.journal_url)
        shown = url.render_as_string(hide_password=True)
        file = Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None
        if file and not file.exists():
            error = machine.write_error(file.parent)
            if error:
                yield fault(f"journal {shown} cannot be created: {error}", remedy)
            else:
                yield good(f"journal {shown}: will be created at the first start")
            return
        engine = sqlalchemy.create_engine(url)
        try:
            calls = sqlalchemy.inspect(engine).has_table("calls")
        finally:
            engine.dispose()
    except (sqlalchemy.exc.SQLAlchemyError, ImportError) as problem:
        yield fault(f"journal: {str(problem).splitlines()[0]}", remedy)
    else:
        yield good(f"journal {shown}: " + ("in use" if calls else "empty"))


def _layout(settings: Settings, machine: Machine) -> CoreLayout:
    """Raises LayoutError."""
    loop_core = settings.loop_core if settings.loop_core >= 0 else None
    return layout(machine.cores(), loop_core, settings.worker_cores)


def _running_service(settings: Settings, machine: Machine) -> int | None:
    """How many calls our own service holds on the control port; None if it is not running."""
    calls = running_calls(machine, settings)
    return None if calls is None else len(calls)


CHECKS: tuple[Check, ...] = (
    python,
    search_path,
    modules,
    programs,
    cores,
    memory,
    directories,
    disk,
    backups,
    model_files,
    script,
    prompts,
    journal,
    ports,
    clock,
)
