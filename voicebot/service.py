"""The life of the service: start, run, drain, stop.

Start: settings and script are checked before anything is touched; then journal, recorder, control
API (alive, not ready), speech engines, prompts, and last the AudioSocket port. Stop: on the first
SIGTERM or SIGINT, or ``POST /v1/drain``, no new call is taken and those that run may end; on the
second signal, or when ``DRAIN_TIMEOUT`` is over, callers who are left go to a person. Each step of
the way down has a bound, so a service that is told to stop stops. What waits for a disk does so on
a thread: a loop that stood still for it would be taken for one that hangs.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import structlog

from voicebot import __version__, script_file, systemd
from voicebot.call import recording_file
from voicebot.call.detector import Detector
from voicebot.call.recorder import Recorder
from voicebot.call.services import Services
from voicebot.config import Settings
from voicebot.control.api import ControlApp
from voicebot.control.server import ControlServer
from voicebot.dialogue.script import Script
from voicebot.dialogue.slots import Limits
from voicebot.journal.writer import Journal
from voicebot.providers import prices
from voicebot.providers.interfaces import LanguageModel
from voicebot.server import CallServer
from voicebot.speech import engines
from voicebot.telemetry import tracing
from voicebot.telemetry.metrics import Metrics
from voicebot.watchdog import Watchdog
from voicebot.workers.layout import CoreLayout

log = structlog.get_logger(__name__)

LAG_PERIOD = 0.1
"""Seconds between two looks at how late the event loop runs."""


async def run(settings: Settings, metrics: Metrics) -> None:
    """Run until told to stop. Raises what start-up raises (see :mod:`voicebot.commands.serve`)."""
    log.info("service starting", version=__version__)
    script = script_file.load(settings.script_file)
    tariff = prices.load(settings.prices_file)
    metrics.price_table.labels(tariff.currency).set(tariff.timestamp)
    cores = engines.core_layout(settings)
    loop = asyncio.get_running_loop()
    stop = _StopRequests(loop)
    async with AsyncExitStack() as stack:
        server = CallServer(
            metrics,
            loop,
            max_calls=settings.max_calls,
            resume_window=settings.resume_window,
            on_drain=stop.drain.set,
        )
        control = _start_control(settings, server, metrics, stack)
        pulse = loop.create_task(_pulse(server, metrics, settings.stuck_limit))
        stack.callback(pulse.cancel)
        port = await server.bind(settings.audiosocket_host, settings.audiosocket_port)
        stack.push_async_callback(server.close)
        starting = asyncio.ensure_future(_start(settings, script, tariff, cores, metrics, stack))
        if not await stop.unless_first(starting):
            return
        await server.listen(starting.result())
        # Again, so that it comes first: calls end before what they write to is closed.
        stack.push_async_callback(server.close)
        _settle(cores.loop)
        metrics.own_cores(cores.loop, cores.workers)
        log.info(
            "service ready",
            version=__version__,
            audiosocket_host=settings.audiosocket_host,
            audiosocket_port=port,
            control_port=control.port,
            max_calls=settings.max_calls,
            loop_core=cores.loop,
            worker_cores=cores.workers,
            script=script.name,
            script_version=script.version,
        )
        systemd.notify("READY=1")
        await _until_stopped(server, stop, settings.drain_timeout)


async def _start(
    settings: Settings,
    script: Script,
    tariff: prices.Prices,
    cores: CoreLayout,
    metrics: Metrics,
    stack: AsyncExitStack,
) -> Services:
    """Everything that calls need, owned by *stack*."""
    journal = Journal(settings.journal_url, metrics)
    stack.push_async_callback(asyncio.to_thread, journal.close)
    recorder = await _start_recorder(settings, metrics, stack)
    traces = await _start_tracing(settings, metrics, stack)
    speech = await engines.start(settings, script, tariff, cores, metrics)
    stack.push_async_callback(speech.close)
    await speech.render_prompts(script.fixed_texts())
    learned = speech.learned(script, settings.cache_dir, metrics)
    learned.load()
    stack.push_async_callback(learned.close)
    speech.pool.spare(1)
    return Services(
        script=script,
        limits=Limits(
            settings.silence_warning,
            settings.silence_hangup,
            settings.max_call_duration,
            settings.llm_speculations_turn,
            settings.llm_speculations_call,
        ),
        stt=speech.stt,
        llm=_model(speech, script),
        llm_max_tokens=settings.llm_max_tokens,
        tts=speech.tts,
        prompts=learned,
        learned=learned,
        turn_ends=speech.turn_ends,
        detector=Detector(speech.vad, asyncio.get_running_loop()),
        metrics=metrics,
        journal=journal,
        recorder=recorder,
        technician_available=availability(settings.technicians_available, script),
        currency=tariff.currency,
        tracing=traces,
    )


def _model(speech: engines.Engines, script: Script) -> LanguageModel | None:
    """Who understands what the rules do not, if the script says what to tell it."""
    if speech.llm is not None and script.model is None:
        log.warning(
            "no language model is asked: the script has no section `model`", script=script.name
        )
        return None
    return speech.llm


def _start_control(
    settings: Settings, server: CallServer, metrics: Metrics, stack: AsyncExitStack
) -> ControlServer:
    """First of all: whoever waits for the service can see that it is alive, and not ready yet."""
    app = ControlApp(server, metrics.registry)
    control = ControlServer(settings.control_host, settings.control_port, app)
    control.start()
    stack.push_async_callback(asyncio.to_thread, control.stop)
    return control


async def _start_recorder(
    settings: Settings, metrics: Metrics, stack: AsyncExitStack
) -> Recorder | None:
    if not settings.record_calls:
        return None
    # In a thread: it looks through the folders of all days, which are as many as are kept.
    await asyncio.to_thread(recording_file.recover, settings.recordings_dir)
    recorder = Recorder(settings.recordings_dir, metrics)
    stack.push_async_callback(asyncio.to_thread, recorder.close)
    return recorder


async def _start_tracing(
    settings: Settings, metrics: Metrics, stack: AsyncExitStack
) -> tracing.Tracing:
    if not settings.otlp_endpoint:
        return tracing.OFF
    headers = dict(pair.split("=", 1) for pair in settings.otlp_headers)
    # In a thread: the library takes a fifth of a second to import.
    made = await asyncio.to_thread(
        tracing.start,
        settings.otlp_endpoint,
        headers,
        metrics,
        version=__version__,
        personal=settings.trace_transcripts,
    )
    stack.push_async_callback(asyncio.to_thread, made.close)
    log.info("traces are sent", endpoint=settings.otlp_endpoint)
    return made


class _StopRequests:
    """The first signal: drain; the second: stop now. To set :attr:`drain` is no signal: whoever
    asks for it, asks again, or then stops the unit, wants nobody cut off."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.drain = asyncio.Event()
        self.now = asyncio.Event()
        self._signalled = False
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)

    def _on_signal(self) -> None:
        (self.now if self._signalled else self.drain).set()
        self._signalled = True

    async def unless_first(self, work: asyncio.Future[Services]) -> bool:
        """Await *work*; False, and *work* cancelled, if the service is told to stop before."""
        told = asyncio.ensure_future(self.drain.wait())
        await asyncio.wait((work, told), return_when=asyncio.FIRST_COMPLETED)
        told.cancel()
        if not work.done():
            work.cancel()
        await asyncio.gather(told, return_exceptions=True)
        if work.cancelled() or not work.done():
            await asyncio.gather(work, return_exceptions=True)
            return False
        work.result()
        return True


async def _until_stopped(server: CallServer, stop: _StopRequests, within: float) -> None:
    await stop.drain.wait()
    systemd.notify("STOPPING=1")
    server.drain()
    empty = asyncio.ensure_future(server.wait_until_empty(within))
    now = asyncio.ensure_future(stop.now.wait())
    await asyncio.wait((empty, now), return_when=asyncio.FIRST_COMPLETED)
    drained = empty.done() and empty.result()
    for task in (empty, now):
        task.cancel()
    await asyncio.gather(empty, now, return_exceptions=True)
    log.info("drain ended", drained=drained, cut=len(server.active_calls()))


async def _pulse(server: CallServer, metrics: Metrics, stuck_limit: float) -> None:
    """Signs of life for /healthz and the watchdog, and how late the loop runs."""
    loop = asyncio.get_running_loop()
    watchdog = Watchdog(stuck_limit, loop.time())
    due = loop.time() + LAG_PERIOD
    try:
        while True:
            await asyncio.sleep(due - loop.time())
            now = loop.time()
            metrics.loop_lag.observe(max(0.0, now - due))
            server.heartbeat()
            watchdog.alive(now)
            due = max(due + LAG_PERIOD, now)
    finally:
        watchdog.stop()


def availability(policy: str, script: Script) -> Callable[[], bool]:
    """Whether a technician can take a call now, by the setting TECHNICIANS."""
    if policy != "hours":
        return lambda: policy == "always"
    zone = ZoneInfo(script.hours.timezone)

    def open_now() -> bool:
        now = datetime.now(zone)
        return script.hours.open_at(now.weekday(), 60 * now.hour + now.minute)

    return open_now


GIL_SECONDS = 0.0001
"""How long a thread that computes in Python (the journal, a scrape of the metrics) may keep the
event loop waiting for the interpreter. CPython's default is 5 ms, a quarter of a frame. Products of
matrices let go of the interpreter as well, so one batch of voice activity may have to wait for it
some twenty times: with 0.5 ms frames were 5 ms later during a scrape (p99), with 0.1 ms 1."""


def _settle(loop_core: int) -> None:
    """The last step before the first call: from here on the event loop comes first.

    Only its own thread is pinned: those of the journal, the recorder, the log and the control API
    run wherever the kernel puts them. What start-up made lives for ever, and a full collection over
    it would hold up every caller's audio for tens of milliseconds: keep the collector away from it.
    """
    os.sched_setaffinity(0, {loop_core})
    sys.setswitchinterval(GIL_SECONDS)
    gc.collect()
    gc.freeze()


def revision() -> str:
    """The source revision, for ``build_info``: what the image says, or the repository."""
    if built_from := os.environ.get("VOICEBOT_REVISION"):
        return built_from
    try:
        done = subprocess.run(
            [Path(__file__).parents[1] / "scripts" / "revision"],
            capture_output=True,
            text=True,
            timeout=2,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()
