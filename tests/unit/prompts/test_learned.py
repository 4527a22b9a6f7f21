"""Sentences that call after call says: learnt; and what says something of a person: never."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import cast

import pytest
from structlog.testing import capture_logs

from voicebot import script_file
from voicebot.dialogue.script import Prompt
from voicebot.prompts import learned
from voicebot.prompts.cache import PromptCache
from voicebot.prompts.learned import CALLS, Learned, Privacy
from voicebot.prompts.studio import Studio
from voicebot.providers.interfaces import ProviderError, Stage
from voicebot.telemetry.metrics import Metrics

SCRIPT = script_file.load()
PRIVACY = Privacy(SCRIPT)
LIGHTS = "Regardez les voyants de votre box et dites-moi lesquels sont rouges."
CABLE = "Vérifiez que le câble est bien enfoncé."


class Voice:
    name = "fake"
    voice = "fake voice"

    def __init__(self) -> None:
        self.said: list[str] = []
        self.broken = False

    async def synthesize(self, text: str) -> AsyncIterator[bytes]:
        self.said.append(text)
        await asyncio.sleep(0)
        if self.broken:
            raise ProviderError(Stage.TTS, self.name, "no voice today", retryable=True)
        yield b"\1\0" * 8000


class Level:
    """Stands in for the studio."""

    async def level(self, pcm: bytes) -> bytes:
        return pcm.replace(b"\1", b"\2")


class Repertoire:
    """A repertoire in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.voice = Voice()
        self.metrics = Metrics()
        self.directory = directory
        self.learned = Learned(
            PromptCache(directory, self.voice.voice), directory, self.voice,
            cast(Studio, Level()), PRIVACY, self.metrics,
        )  # fmt: skip
        self.learned.load()

    async def said(self, text: str, *calls: str, about: tuple[str, ...] = ()) -> None:
        for call in calls:
            self.learned.spoken(text, call, about)
        task = self.learned._task
        if task is not None:
            await task

    @property
    def count(self) -> float | None:
        return self.metrics.registry.get_sample_value("voicebot_learned_sentences")


def run(story: Callable[[], Awaitable[None]]) -> None:
    with capture_logs():
        asyncio.run(story())  # type: ignore[arg-type]


def files(directory: Path) -> list[Path]:
    return list(directory.rglob("*.slin"))


def on_disk(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in directory.rglob("*") if path.is_file())


def test_what_three_calls_say_is_at_hand_for_the_fourth_and_for_the_next_start(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        stage = Repertoire(tmp_path)
        await stage.said(LIGHTS, "call 1", "call 2")
        assert stage.learned.get(LIGHTS) is None
        await stage.said(LIGHTS, "call 3")
        assert stage.learned.get(LIGHTS) == b"\2\0" * 8000, "equally loud"
        assert stage.count == 1
        await stage.said(LIGHTS, "call 4", "call 5", "call 6")
        assert stage.voice.said == [LIGHTS], "once"
        await stage.learned.close()

    run(story)
    again = Repertoire(tmp_path)
    assert again.learned.get(LIGHTS) == b"\2\0" * 8000
    assert again.count == 1


def test_one_call_that_repeats_itself_is_one_call(tmp_path: Path) -> None:
    async def story() -> None:
        stage = Repertoire(tmp_path)
        await stage.said(LIGHTS, *["the same"] * 20)
        assert stage.voice.said == []

    run(story)


def test_what_has_been_said_too_seldom_is_nowhere(tmp_path: Path) -> None:
    async def story() -> None:
        stage = Repertoire(tmp_path)
        await stage.said(LIGHTS, *(f"call {n}" for n in range(CALLS - 1)))
        assert b"voyants" not in on_disk(tmp_path)
        assert LIGHTS not in str(vars(stage.learned))
        await stage.learned.close()

    run(story)


@pytest.mark.parametrize(
    "text",
    [
        "Je vous rappelle au 06 12 34 56 78.",
        "C'est le zéro six douze trente-quatre, c'est bien ça ?",
        "Merci monsieur Dupont.",
        "Bonjour Marie, je vous écoute.",
        "Dupont, c'est noté.",
        "Vous habitez à Lyon.",
        "C'est l'antenne d'Orléans.",
        "Merci. Madame Lefèvre, un instant.",
        *(SCRIPT.say(Prompt.CONFIRM_IDENTITY, name="quelqu'un", number="un deux", problem="")),
    ],
)
def test_what_says_something_of_a_person_is_never_learnt(text: str) -> None:
    fixed = set(SCRIPT.fixed_texts())
    assert text in fixed or not PRIVACY.allows(text, ())


def test_nor_what_holds_the_name_that_the_caller_gave() -> None:
    text = "Très bien rose, je regarde."
    assert PRIVACY.allows(text, ())
    assert not PRIVACY.allows(text, ("Rose Martin", "0612345678"))


@pytest.mark.parametrize(
    "text",
    [LIGHTS, CABLE, "D'accord, un instant.", "Très bien, je regarde votre ligne."],
)
def test_what_says_nothing_of_anybody_may_be(text: str) -> None:
    assert PRIVACY.allows(text, ("Pierre Dupont",))


def test_what_somebody_has_removed_is_let_go_of(tmp_path: Path) -> None:
    async def story() -> None:
        stage = Repertoire(tmp_path)
        for text in (LIGHTS, CABLE):
            await stage.said(text, "1", "2", "3")
        for path in learned.files_that_say(tmp_path, lambda text: text == CABLE):
            path.unlink()
        assert await stage.learned.release() == 1
        assert stage.learned.get(CABLE) is None
        assert stage.learned.get(LIGHTS) is not None
        assert stage.count == 1
        assert CABLE not in f"{vars(stage.learned)} {vars(stage.learned._kept)}"
        assert await stage.learned.release() == 0
        await stage.said(CABLE, "4", "5", "6")
        assert stage.learned.get(CABLE) is not None, "it may be learnt anew"
        await stage.learned.close()

    run(story)


def test_a_voice_that_fails_costs_nothing_and_is_asked_again(tmp_path: Path) -> None:
    async def story() -> None:
        stage = Repertoire(tmp_path)
        stage.voice.broken = True
        await stage.said(LIGHTS, "1", "2", "3")
        assert stage.learned.get(LIGHTS) is None
        stage.voice.broken = False
        await stage.said(LIGHTS, "4", "5", "6")
        assert stage.learned.get(LIGHTS) is not None

    run(story)


def test_a_disk_that_fails_costs_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        stage = Repertoire(tmp_path)
        (tmp_path / learned.FOLDER).write_text("a file in the way")
        await stage.said(LIGHTS, "1", "2", "3")
        assert stage.learned.get(LIGHTS) is None

    run(story)


def test_the_one_used_longest_ago_makes_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learned, "MOST", 2)

    async def story() -> None:
        stage = Repertoire(tmp_path)
        for text in (LIGHTS, CABLE):
            await stage.said(text, "1", "2", "3")
        assert stage.learned.get(LIGHTS) is not None  # used
        await stage.said("Un moment, je cherche.", "1", "2", "3")
        assert stage.learned.get(CABLE) is None
        assert stage.learned.get(LIGHTS) is not None
        assert len(files(tmp_path)) == 2
        assert b"enfonc" not in on_disk(tmp_path)

    run(story)


def test_what_makes_room_is_not_at_hand_while_its_files_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is a thread's, and a call may want the sentence at that moment."""
    monkeypatch.setattr(learned, "MOST", 1)
    removing, go_on = threading.Event(), threading.Event()

    async def story() -> None:
        stage = Repertoire(tmp_path)
        remove = stage.learned._kept.drop

        def slowly(text: str) -> None:
            removing.set()
            assert go_on.wait(10)
            remove(text)

        monkeypatch.setattr(stage.learned._kept, "drop", slowly)
        await stage.said(CABLE, "1", "2", "3")
        for call in ("1", "2", "3"):
            stage.learned.spoken(LIGHTS, call, ())
        try:
            assert await asyncio.to_thread(removing.wait, 10)
            assert stage.learned.get(CABLE) is None
        finally:
            go_on.set()
        await stage.learned.close()

    run(story)


def test_fingerprints_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learned, "MOST_COUNTED", 10)

    async def story() -> None:
        stage = Repertoire(tmp_path)
        for n in range(100):
            await stage.said(f"Phrase {'a' * n}.", "1")
        assert len(stage.learned._calls) == 10

    run(story)


def test_what_was_not_used_for_a_month_goes_at_a_start(tmp_path: Path) -> None:
    async def story() -> None:
        stage = Repertoire(tmp_path)
        await stage.said(LIGHTS, "1", "2", "3")
        await stage.said(CABLE, "1", "2", "3")
        long_ago = time.time() - 31 * 86_400
        for path in files(tmp_path):
            os.utime(path, (long_ago, long_ago))
        stage.learned.get(CABLE)
        await stage.learned.close()  # notes that it was used

    run(story)
    again = Repertoire(tmp_path)
    assert again.learned.get(LIGHTS) is None
    assert again.learned.get(CABLE) is not None


def test_another_voice_learns_anew(tmp_path: Path) -> None:
    async def story() -> None:
        stage = Repertoire(tmp_path)
        await stage.said(LIGHTS, "1", "2", "3")

    run(story)
    other = Voice()
    other.voice = "another voice"
    again = Learned(
        PromptCache(tmp_path, other.voice), tmp_path, other, cast(Studio, Level()), PRIVACY,
        Metrics(),
    )  # fmt: skip
    again.load()
    assert again.get(LIGHTS) is None
