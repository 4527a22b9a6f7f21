"""The faults that can be played, and the alerts that each must set off, and no other."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.drills.stage import Stage
from tests.support.asterisk import AsteriskInstance
from voicebot.audio.pcm import FRAME_BYTES

Undo = contextlib.AbstractContextManager[None]


@dataclass(frozen=True, slots=True)
class Drill:
    """One fault. *play* begins it, and ends it when its context does."""

    about: str
    alerts: frozenset[str]
    play: Callable[[Stage], Undo]
    pages: bool = False
    """One of its alerts wakes somebody: within three minutes."""
    first: Mapping[str, str] = field(default_factory=dict)
    """Labels of the first page, if the alert has several rules."""
    before: float = 0
    """Seconds, with the real windows, of all being well before the fault: rates have a past."""
    allowed: float = 0
    """Seconds, with the real windows, for which what is played is no fault yet."""
    scale: float = 30
    """How many times shorter its windows are when it is not played with the real ones."""
    clouds: bool = False
    asterisk: bool = False
    trunk: bool = False
    small_disk: bool = False
    callers: int = 0
    scenario: str = "internet-resolved"
    settings: dict[str, str] = field(default_factory=dict)


@contextlib.contextmanager
def killed_process(stage: Stage) -> Iterator[None]:
    stage.service.kill()
    yield


@contextlib.contextmanager
def frozen_process(stage: Stage) -> Iterator[None]:
    os.kill(stage.service.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(stage.service.pid, signal.SIGCONT)


@contextlib.contextmanager
def crash_loop(stage: Stage) -> Iterator[None]:
    """Dies and is started again, as systemd does, until the drill is over."""
    over = threading.Event()

    def loop() -> None:
        while not over.is_set():
            stage.service.kill()
            stage.service.start()
            while not over.wait(0.5):
                with contextlib.suppress(OSError):
                    stage.service.get("/metrics")
                    break
            over.wait(20)  # up long enough to be seen by a scrape each 15 s

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextlib.contextmanager
def stalled_loop(stage: Stage) -> Iterator[None]:
    """Eight tenths of a second in which nothing of the process runs."""
    os.kill(stage.service.pid, signal.SIGSTOP)
    time.sleep(0.8)
    os.kill(stage.service.pid, signal.SIGCONT)
    yield


@contextlib.contextmanager
def dead_probe(stage: Stage) -> Iterator[None]:
    stage.prober.set()
    yield


@contextlib.contextmanager
def full_host(stage: Stage) -> Iterator[None]:
    """Callers who say nothing and stay, as many as there are places."""
    over = threading.Event()
    places = int(stage.service.count("calls_limit"))
    port = stage.service.audiosocket_port
    callers = [threading.Thread(target=_caller, args=(port, over)) for _ in range(places)]
    for caller in callers:
        caller.start()
    try:
        yield
    finally:
        over.set()
        for caller in callers:
            caller.join()


def _caller(port: int, over: threading.Event, key: str = "") -> None:
    """AudioSocket calls: an id, then a frame of silence each 20 ms; when it is sent away, again.
    With *key*, that one is pressed each 20 s: the bot hangs up on silence only."""
    frame = b"\x10" + FRAME_BYTES.to_bytes(2, "big") + bytes(FRAME_BYTES)
    while not over.wait(0.2):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)) as line:
            line.sendall(b"\x01\x00\x10" + uuid.uuid4().bytes)
            line.settimeout(0.02)
            frames = 0
            while not over.is_set():
                frames += 1
                pressed = b"\x03\x00\x01" + key.encode() if key and frames % 1000 == 0 else b""
                line.sendall(frame + pressed)
                with contextlib.suppress(TimeoutError):
                    if not line.recv(65536):
                        break


@contextlib.contextmanager
def stuck_drain(stage: Stage) -> Iterator[None]:
    """It is told to stop while a caller is on the line who never goes; test calls fail from then
    on, because they reach people as everybody does."""
    over = threading.Event()
    caller = threading.Thread(target=_caller, args=(stage.service.audiosocket_port, over, "*"))
    caller.start()
    try:
        while not stage.service.count("calls_active"):
            time.sleep(0.1)
        stage.service.terminate()
        stage.prober.set()
        yield
    finally:
        over.set()
        caller.join()


def cloud_fault(service: str, kind: str, **more: object) -> Callable[[Stage], Undo]:
    @contextlib.contextmanager
    def play(stage: Stage) -> Iterator[None]:
        stage.direct("faults", {"service": service, "kind": kind, **more})
        yield

    return play


@contextlib.contextmanager
def slow_model(stage: Stage) -> Iterator[None]:
    """It takes three seconds to its first word: slow, and never too late by the settings."""
    stage.direct("latency", {"chat_first_token": {"p50": 3.0}})
    yield


@contextlib.contextmanager
def killed_worker(stage: Stage) -> Iterator[None]:
    children = Path(f"/proc/{stage.service.pid}/task/{stage.service.pid}/children").read_text()
    workers = [
        int(child)
        for child in children.split()
        if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
        or b"workers" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]
    assert workers, f"no worker among {children!r}"
    os.kill(workers[0], signal.SIGKILL)
    yield


@contextlib.contextmanager
def full_disk(stage: Stage) -> Iterator[None]:
    """Something fills the disk of the recordings, while a customer calls."""
    full = stage.service.recordings / "somebody-elses-file"
    with contextlib.suppress(OSError), full.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    call = threading.Thread(target=stage.observed.call, args=("internet-resolved",))
    call.start()
    try:
        yield
    finally:
        full.unlink()
        call.join()


@contextlib.contextmanager
def dead_asterisk(stage: Stage) -> Iterator[None]:
    assert stage.asterisk is not None
    stage.asterisk.cli("core stop now")
    yield


@contextlib.contextmanager
def unregistered_trunk(stage: Stage) -> Iterator[None]:
    """The operator's registrar is gone, and Asterisk's next try fails."""
    assert stage.asterisk is not None
    assert stage.registrar is not None
    stage.registrar.cli("core stop now")
    time.sleep(1)
    stage.asterisk.cli("pjsip send register operator")
    yield


@contextlib.contextmanager
def dead_exporter(stage: Stage) -> Iterator[None]:
    stage.exporter.kill()
    yield


class _Timex(ctypes.Structure):
    """``struct timex`` of adjtimex(2), the part that is used."""

    _fields_ = (
        ("modes", ctypes.c_uint), ("_pad", ctypes.c_int), ("offset", ctypes.c_long),
        ("freq", ctypes.c_long), ("maxerror", ctypes.c_long), ("esterror", ctypes.c_long),
        ("status", ctypes.c_int), ("_pad2", ctypes.c_int), ("_rest", ctypes.c_byte * 200),
    )  # fmt: skip


ADJ_MAXERROR, ADJ_STATUS, STA_UNSYNC = 0x4, 0x10, 0x40


def kernel_clock(*, synchronised: bool | None = None) -> bool:
    """Whether the kernel takes its clock for right; says so to it first, if asked. Not the time
    is changed, only the mark. Raises PermissionError without CAP_SYS_TIME."""
    timex = _Timex()
    if synchronised is not None:
        timex.modes = ADJ_MAXERROR | ADJ_STATUS
        timex.maxerror = 1000 if synchronised else 16_000_000
        timex.status = 0 if synchronised else STA_UNSYNC
    if ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex)) < 0:
        raise PermissionError(ctypes.get_errno(), "adjtimex: only root may mark the clock")
    return not timex.status & STA_UNSYNC


@contextlib.contextmanager
def clock_off(stage: Stage) -> Iterator[None]:
    kernel_clock(synchronised=False)
    try:
        yield
    finally:
        kernel_clock(synchronised=True)


def _names(*alerts: str) -> frozenset[str]:
    return frozenset(alerts)


FAILING = _names("VoicebotProviderFailing")
CURIOUS = str(Path(__file__).parent / "curious.yaml")

DRILLS: dict[str, Drill] = {
    "killed-process": Drill(
        "the service is killed, and nobody starts it again",
        _names("VoicebotDown"), killed_process, pages=True,
    ),
    "frozen-process": Drill(
        "the whole process stands still", _names("VoicebotDown"), frozen_process, pages=True,
    ),
    "crash-loop": Drill(
        "the service dies again and again, and is started each time",
        _names("VoicebotCrashLooping"), crash_loop, pages=True, scale=1,
        settings={"AUDIOSOCKET_PORT": "fixed", "CONTROL_PORT": "fixed"},
    ),
    "dead-probe": Drill(
        "the test call is no longer answered", _names("VoicebotProbeCallFailing"), dead_probe,
        pages=True,
    ),
    "dead-asterisk": Drill(
        "Asterisk is gone", _names("AsteriskDown"), dead_asterisk, pages=True, asterisk=True,
    ),
    "unregistered-trunk": Drill(
        "the operator's registrar does not answer any more",
        _names("AsteriskTrunkUnregistered"), unregistered_trunk, pages=True, asterisk=True,
        trunk=True,
    ),
    "stuck-drain": Drill(
        "the service is told to stop, and a caller keeps it from that for twenty minutes",
        _names("VoicebotDrainStuck", "VoicebotSessionLeak"), stuck_drain, pages=True, allowed=1200,
        settings={"DRAIN_TIMEOUT": "7200", "MAX_CALL_DURATION": "7200",
                  "SILENCE_WARNING_TIMEOUT": "60", "SILENCE_HANGUP_TIMEOUT": "120"},
    ),
    "slow-llm": Drill(
        "the language model takes 3 s to its first word, which LLM_TIMEOUT=4 allows it, on "
        "questions that only it can answer",
        _names("VoicebotTurnResponseBudgetBurn"), slow_model, pages=True,
        first={"long": "3m"}, before=240, scale=4, clouds=True, callers=5, scenario=CURIOUS,
        settings={"LLM_TIMEOUT": "4"},
    ),
    "stalled-loop": Drill(
        "the event loop stands still for 0.8 s",
        _names("VoicebotEventLoopStalled"), stalled_loop,
    ),
    "full-host": Drill(
        "as many callers as there are places", _names("VoicebotNearCapacity"), full_host,
        settings={"MAX_CONCURRENT_CALLS": "2", "SILENCE_WARNING_TIMEOUT": "60",
                  "SILENCE_HANGUP_TIMEOUT": "120"},
    ),
    "dead-stt": Drill(
        "Deepgram's port is closed", FAILING, cloud_fault("listen", "refuse"), clouds=True,
        callers=2, scale=8,  # at a thirtieth a call is older than any may be
    ),
    "broken-tts": Drill(
        "OpenAI's voice answers each request with status 500", FAILING,
        cloud_fault("speech", "server_error"), clouds=True, callers=2,
        scale=8,
    ),
    "killed-worker": Drill(
        "a worker is killed", _names("VoicebotWorkerDied"), killed_worker,
    ),
    "full-disk": Drill(
        "the disk under the recordings is full (a small one of its own; needs root)",
        _names("VoicebotRecordingsFailing", "HostDiskFull"), full_disk, small_disk=True,
    ),
    "clock-off": Drill(
        "the kernel's clock is no longer marked as synchronised (needs root)",
        _names("HostClockUnsynchronised"), clock_off,
    ),
    "dead-exporter": Drill(
        "node exporter is killed", _names("TargetDown"), dead_exporter,
    ),
}  # fmt: skip

REGISTRAR_LINES = """
[trunk-user](phone)
aors = trunk-user
auth = trunk-user
[trunk-user](phone-auth)
username = trunk-user
password = drill
[trunk-user](phone-aor)
"""


def registering_lines(registrar: AsteriskInstance) -> str:
    """A trunk that registers with the other Asterisk, as with an operator."""
    return f"""
[operator]
type = registration
transport = transport-udp
outbound_auth = operator-auth
server_uri = sip:127.0.0.1:{registrar.sip_port}
client_uri = sip:trunk-user@127.0.0.1:{registrar.sip_port}
retry_interval = 10
fatal_retry_interval = 10
forbidden_retry_interval = 10
max_retries = 10000
expiration = 120
[operator-auth]
type = auth
auth_type = userpass
username = trunk-user
password = drill
"""


@contextlib.contextmanager
def small_disk(directory: Path) -> Iterator[None]:
    """A disk of a few hundred kilobytes at *directory*, which node exporter sees as well."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(directory)]
    if subprocess.run(mount, check=False).returncode:
        raise PermissionError(f"{' '.join(mount)}: only root may mount a disk")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=True)
