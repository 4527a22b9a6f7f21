"""The voice on the service's side: what it asks of the workers, and its identity."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from voicebot import models
from voicebot.providers.interfaces import ProviderError, Stage
from voicebot.providers.local_tts import LocalTextToSpeech, identity, make_voice
from voicebot.workers.jobs import Job, Priority, Voice
from voicebot.workers.pool import WorkerError, WorkerPool

VOICE = Voice("/a/kokoro.onnx", "/a/ff_siwis.bin", "/a/symbols.json", "fr", (("box", "boxe"),))
SENTENCE = "Essayez de débrancher votre box, puis rebranchez-la."


class Workers:
    """Makes of every clause its own bytes."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Priority]] = []

    async def run(self, job: Job, *args: Any, priority: Priority) -> bytes:
        voice, clause = args
        assert voice is VOICE
        self.asked.append((clause, priority))
        if "!" in clause:
            raise WorkerError("synthesize: died, twice")
        return clause.encode() if clause != "…" else b""


def speak(text: str, *, whole: bool = False) -> tuple[list[bytes], Workers]:
    workers = Workers()
    tts = LocalTextToSpeech(cast(WorkerPool, workers), VOICE, whole=whole)

    async def story() -> list[bytes]:
        return [pcm async for pcm in tts.synthesize(text)]

    return asyncio.run(story()), workers


def test_a_sentence_is_made_clause_by_clause() -> None:
    audio, workers = speak(SENTENCE)

    assert audio == ["Essayez de débrancher votre box,".encode(), b"puis rebranchez-la."]
    assert {priority for _, priority in workers.asked} == {Priority.SPEAK}


def test_a_prompt_is_made_in_one_piece_and_can_wait() -> None:
    _, workers = speak(SENTENCE, whole=True)

    assert workers.asked == [(SENTENCE, Priority.BATCH)]


def test_clauses_are_asked_for_at_once_and_dropped_when_nobody_listens() -> None:
    class Slow(Workers):
        running = 0

        async def run(self, job: Job, *args: Any, priority: Priority) -> bytes:
            self.running += 1
            try:
                await asyncio.sleep(0 if "Essayez" in args[1] else 3600)
            finally:
                self.running -= 1
            return b"audio"

    async def story() -> None:
        workers = Slow()
        tts = LocalTextToSpeech(cast(WorkerPool, workers), VOICE)
        speech = tts.synthesize(SENTENCE)
        assert await anext(aiter(speech)) == b"audio"
        assert workers.running == 1
        await cast(Any, speech).aclose()
        assert workers.running == 0

    asyncio.run(story())


def test_what_cannot_be_spoken_makes_no_audio() -> None:
    assert speak("…")[0] == []


def test_a_failure_is_the_providers() -> None:
    with pytest.raises(ProviderError, match="died, twice") as caught:
        speak("Non !")
    assert (caught.value.stage, caught.value.retryable) == (Stage.TTS, True)


def test_the_identity_changes_with_the_sound_and_not_with_the_place() -> None:
    moved = replace(VOICE, model="/b/kokoro.onnx", styles="/b/ff_siwis.bin", symbols="/b/s.json")
    others = [
        replace(VOICE, styles="/a/other.bin"),
        replace(VOICE, model="/a/other.onnx"),
        replace(VOICE, respellings=()),
        replace(VOICE, language="en"),
        replace(VOICE, speed=1.1),
    ]

    assert identity(moved) == identity(VOICE)
    assert len({identity(voice) for voice in [VOICE, *others]}) == 1 + len(others)


def test_an_unknown_voice_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(models.ModelError, match=r"'jean'.*ff_siwis"):
        make_voice(models.paths(tmp_path), "jean", language="fr", pronunciations={})
