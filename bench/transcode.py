"""What a clip costs to transcode, and what it costs to hand work to another process.

The same 3 s of speech, as an MP3 of 24 kHz, made into 8 kHz: as the reference document does it
(section 10: pydub, which starts ffprobe and ffmpeg, then normalises), and as this project does. CPU
of the process and its children, in the same run, turn about. Then the numbers behind decision 0018:
20 ms of a stream resampled on the event loop, against the way of those 20 ms to a worker and back.
"""

from __future__ import annotations

import asyncio
import gc
import io
import os
import resource
import subprocess
import time
import warnings
import wave
from collections.abc import Callable

import numpy as np
import uvloop

from bench.arithmetic import percentile
from bench.figures import Measured, Say
from voicebot.audio.resample import StreamResampler
from voicebot.prompts import clips
from voicebot.simulator.lines import CLIPS
from voicebot.telemetry.metrics import Metrics
from voicebot.workers.jobs import Job, Priority
from voicebot.workers.pool import WorkerPool

SECONDS = 3.0
RATE = 24_000
ROUNDS = 12
"""Of each way, the median of which counts."""
OURS_AT_ONCE = 20
"""Runs of ours in one round: one alone is too short for the kernel's clock."""
FRAMES = 1000
"""Frames of 20 ms, resampled and handed over."""
FRAME = bytes(2 * RATE // 50)
ECHO = Job("level", "bench.transcode:echo", 10.0, 10.0)


async def measure(say: Say) -> Measured:
    """The part's figures. Raises ValueError without ffmpeg."""
    mp3 = _speech()
    say(f"{len(mp3) / 1000:.0f} kB of MP3, {ROUNDS} rounds")
    theirs, ours, levelled = [], [], []
    for _ in range(ROUNDS):
        theirs.append(_cpu(lambda: _reference(mp3), 1))
        ours.append(_cpu(lambda: clips.decode(mp3), OURS_AT_ONCE))
        levelled.append(_cpu(lambda: clips.make(mp3), OURS_AT_ONCE))
    reference, decode, make = (1000 * percentile(one, 50) for one in (theirs, ours, levelled))
    on_loop = _resampling()
    say("handing over")
    wall, loop = await _handing_over()
    return Measured(
        {
            "transcode_cpu_ratio": reference / decode,
            "transcode_reference_cpu_ms": reference,
            "transcode_cpu_ms": decode,
            "transcode_levelled_cpu_ms": make,
            "transcode_levelled_cpu_ratio": reference / make,
            "resample_frame_us": 1e6 * on_loop,
            "hand_over_loop_us": 1e6 * loop,
            "hand_over_wall_us": 1e6 * wall,
        },
        {
            "transcode_cpu_ratio": f"3 s of MP3: {decode:.2f} ms of CPU, the reference's way "
            f"{reference:.0f}; with its loudness set too, {make:.2f}"
        },
    )


def echo(data: bytes) -> bytes:
    """Worker job: nothing, so that only the way there and back is left."""
    return data


def _speech() -> bytes:
    """3 s of the shipped clips, as a cloud's MP3 would be."""
    sound = b""
    for path in sorted(CLIPS.glob("*.wav")):
        with wave.open(str(path)) as file:
            sound += file.readframes(file.getnframes())
    given = ["-f", "s16le", "-ar", "8000", "-ac", "1", "-i", "-"]
    wanted = ["-t", f"{SECONDS:g}", "-ar", str(RATE), "-b:a", "64k", "-f", "mp3", "-"]
    try:
        return subprocess.run(
            ["ffmpeg", "-v", "error", *given, *wanted],
            input=sound, capture_output=True, check=True,
        ).stdout  # fmt: skip
    except (OSError, subprocess.CalledProcessError) as error:
        raise ValueError(f"ffmpeg made no MP3: {error}") from error


def _reference(mp3: bytes) -> bytes:
    """The steps of the reference document, section 10.1."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pydub import AudioSegment
        from pydub.effects import normalize
    audio = AudioSegment.from_file(io.BytesIO(mp3), format="mp3")
    if audio.channels > 1:
        audio = audio.set_channels(1)
    audio = normalize(audio.set_frame_rate(8000).set_sample_width(2), headroom=0.1)
    return bytes(audio.raw_data)


def _cpu(work: Callable[[], bytes], times: int) -> float:
    """Seconds of CPU that one run takes, children included."""
    before = _used()
    for _ in range(times):
        made = work()
    used = (_used() - before) / times
    if not SECONDS - 0.1 < len(made) / 16_000 < SECONDS + 0.2:
        raise ValueError(f"{len(made) / 16_000:.2f} s came back")
    return used


def _used() -> float:
    own, children = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def _resampling() -> float:
    """Seconds of CPU for 20 ms of a stream, on whatever thread calls."""
    stream = StreamResampler(RATE, 8000)
    rng = np.random.default_rng(1)
    frames = [rng.integers(-9000, 9000, RATE // 50).astype("<i2").tobytes() for _ in range(50)]
    gc.collect()
    before = time.thread_time()
    for number in range(FRAMES):
        stream.push(frames[number % 50])
    return (time.thread_time() - before) / FRAMES


async def _handing_over() -> tuple[float, float]:
    """Median wall seconds and mean CPU seconds of the calling thread for 20 ms there and back."""
    worker = max(os.sched_getaffinity(0))
    return await asyncio.to_thread(lambda: uvloop.run(_to_and_fro(worker)))


async def _to_and_fro(core: int) -> tuple[float, float]:
    pool = WorkerPool([core], Metrics())
    await pool.start()
    try:
        walls = []
        before = time.thread_time()
        for _ in range(FRAMES):
            started = time.perf_counter()
            await pool.run(ECHO, FRAME, priority=Priority.TURN)
            walls.append(time.perf_counter() - started)
        return percentile(walls, 50), (time.thread_time() - before) / FRAMES
    finally:
        await pool.close()
