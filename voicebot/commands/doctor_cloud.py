"""What ``voicebot doctor`` looks at when clouds listen or speak: keys, packages, models' last days.

``--live`` goes further and sends each of them one cheap request. Those that listen are spoken to: a
recorded sentence, at the speed of speech, as a call does it. Kits are only imported for that.
"""

from __future__ import annotations

import asyncio
import wave
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from voicebot.audio.pcm import FRAME_BYTES, FRAME_SECONDS, SILENCE_FRAME
from voicebot.commands.doctor_checks import Check, Finding, fault, good, warning
from voicebot.commands.machine import Machine
from voicebot.config import Settings
from voicebot.providers import prices
from voicebot.providers.interfaces import ProviderError, SpeechToText, Stage, Transcript
from voicebot.providers.prices import Prices
from voicebot.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from voicebot.speech import clouds

STAGES = {
    Stage.STT: "speech to text",
    Stage.LLM: "language model",
    Stage.TTS: "text to speech",
}
KIT_MODULES = {
    "deepgram": ("deepgram", "websockets"),
    "groq": ("groq", "httpx"),
    "groq_spare": ("groq", "httpx"),
    "openai": ("openai", "httpx2"),
    "openai_realtime": ("openai", "websockets"),
}
LIVE_SECONDS = 30.0
SENTENCE = Path(__file__).parents[1] / "data" / "clips" / "bonjour-ma-box-ne-marche-plus.wav"
"""What is said to those that listen: two seconds of telephone French."""
HANGOVER_FRAMES = 8
"""Of silence after it, before words are asked for: what a pause takes to be noticed."""

Asking = asyncio.Task[Finding]


def speech(settings: Settings, machine: Machine) -> Iterator[Finding]:
    """Who listens, who understands and who speaks."""
    from voicebot.speech import chains  # here: a missing package must not end the report

    orders = {Stage.STT: chains.stt_order(settings), Stage.TTS: chains.tts_order(settings)}
    for stage, order in orders.items():
        text = f"{STAGES[stage]}: {', then '.join(order)}"
        if chains.LOCAL not in order:
            yield warning(
                f"{text}; there is no fallback if it fails",
                f"add {chains.LOCAL} to the end of {stage.name}_CHAIN",
            )
        else:
            yield good(text)
    minds = chains.llm_order(settings)
    text = f"{STAGES[Stage.LLM]}: {', then '.join(minds)}"
    if settings.groq_api_key and minds == (chains.RULES,):
        yield warning(
            f"{text}; GROQ_API_KEY is set, but LLM_CHAIN uses no model",
            "set LLM_CHAIN=auto, or remove the key",
        )
    else:
        yield good(text)


def kits(settings: Settings, machine: Machine) -> Iterator[Finding]:
    """The packages of the clouds in use."""
    from voicebot.speech import chains  # here, as above

    used = {
        *chains.stt_order(settings), *chains.llm_order(settings), *chains.tts_order(settings),
    }  # fmt: skip
    for name in KIT_MODULES.keys() & used:
        try:
            for module in KIT_MODULES[name]:
                machine.import_module(module)
        except ImportError as error:
            yield fault(f"packages of {name}: {error}", "run scripts/setup cloud")
        else:
            yield good(f"packages of {name} can be loaded")


def sunsets(settings: Settings, machine: Machine) -> Iterator[Finding]:
    """The models in use that are, or will be, switched off."""
    from voicebot.providers import fallback
    from voicebot.speech import chains  # here, as above

    today = fallback.today()
    for (stage, provider), ends in chains.models(settings).items():
        text = f"{STAGES[stage]}: {provider}'s {ends.model}"
        remedy = (
            f"choose another model, or put another provider first in {stage.name}_CHAIN "
            "(docs/how-to/go-live-with-clouds.md)"
        )
        if ends.passed(today):
            yield warning(f"{text} was switched off on {ends.day}: it is skipped", remedy)
        elif ends.near(today):
            yield warning(f"{text} will be switched off on {ends.day}", remedy)
        else:
            until = f"until {ends.day}" if ends.day else "no end date known"
            yield good(f"{text}, {until}")


def live(settings: Settings, machine: Machine) -> Iterator[Finding]:
    """Whether each cloud really answers, with these keys, models and voices.

    All are asked at once, and told of as they answer: one that hangs holds up none.
    """
    with asyncio.Runner() as runner:
        try:
            made = runner.run(_made(settings))
        except ProviderError as error:
            yield fault(str(error), "see above")
            return
        if not made.checks:
            yield good("no cloud is in use, so none was tested")
        asking = {runner.get_loop().create_task(_asked(check, made)) for check in made.checks}
        try:
            while asking:
                answered, asking = runner.run(_next(asking))
                for task in answered:
                    yield task.result()
        finally:
            runner.run(made.close())


async def _made(settings: Settings) -> clouds.Clouds:
    from voicebot.speech import chains  # here, as above

    return await asyncio.to_thread(
        chains.clouds, settings, "fr", "", Prices("", date.min, {}), Metrics()
    )


async def _next(asking: set[Asking]) -> tuple[set[Asking], set[Asking]]:
    """Wait for the next answer; those who have answered, and those who have not."""
    return await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)


async def _asked(check: clouds.Check, made: clouds.Clouds) -> Finding:
    loop = asyncio.get_running_loop()
    began = loop.time()
    text = f"{STAGES[check.stage]}: {check.provider}"
    remedy = f"fix it, or take {check.provider} out of {check.stage.name}_CHAIN"
    try:
        async with asyncio.timeout(LIVE_SECONDS):
            if check.stage is Stage.STT:
                return await _spoken_to(made.ears[check.provider], text, remedy)
            await check.try_it()
    except ProviderError as error:
        return fault(f"{text} does not work: {error}", remedy)
    except TimeoutError:
        return fault(f"{text} did not answer within {LIVE_SECONDS:g} s", remedy)
    return good(f"{text} works, {loop.time() - began:.1f} s for one request")


async def _spoken_to(ears: SpeechToText, text: str, remedy: str) -> Finding:
    """Say :data:`SENTENCE` to *ears*, and see what they make of it. Raises ProviderError."""
    loop = asyncio.get_running_loop()
    told: asyncio.Future[Transcript] = loop.create_future()

    def on_transcript(transcript: Transcript) -> None:
        if not (told.done() or transcript.early):
            told.set_result(transcript)

    def on_error(error: ProviderError) -> None:
        if not told.done():
            told.set_exception(error)

    with wave.open(str(SENTENCE), "rb") as clip:
        pcm = clip.readframes(clip.getnframes()) + HANGOVER_FRAMES * SILENCE_FRAME
    stream = ears.open("doctor", on_transcript, on_error)
    try:
        stream.speech_started()
        for at in range(0, len(pcm), FRAME_BYTES):
            if told.done():
                break
            stream.push(pcm[at : at + FRAME_BYTES])
            await asyncio.sleep(FRAME_SECONDS)
        stream.speech_paused(1)
        paused = loop.time()
        heard = (await told).text.strip()
    finally:
        await stream.close()
    if not heard:
        return fault(f"{text} does not work: it found no words in a recorded sentence", remedy)
    took = loop.time() - paused
    return good(f'{text} works, {took:.1f} s from a pause to the words: it heard "{heard}"')


def costs(settings: Settings, machine: Machine) -> Iterator[Finding]:
    """Whether it can be told what calls cost."""
    from voicebot.speech import chains  # here, as above

    if not chains.models(settings):
        return
    try:
        table = prices.load(settings.prices_file)
    except prices.PriceError as error:
        for text in error.faults:
            yield fault(f"price table: {text}", "fix it, or leave PRICES_FILE empty")
        return
    for model in chains.unpriced(settings, table):
        yield warning(
            f"price table: {model} is not listed, so the cost of calls is unknown",
            f"add it to a copy of {prices.SHIPPED} and set PRICES_FILE to that copy",
        )
    yield good(f"price table: {len(table.models)} models, {table.currency} of {table.day}")


CHECKS: tuple[Check, ...] = (speech, kits, sunsets, costs)
