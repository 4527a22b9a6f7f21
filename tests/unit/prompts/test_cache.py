"""The prompt cache: what it keeps, what it refuses to believe, what it removes."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import cast

import pytest
from structlog.testing import capture_logs

from voicebot.prompts.cache import PromptCache, PromptError, Rendered, recorded_in
from voicebot.prompts.studio import Studio
from voicebot.providers.interfaces import ProviderError, Stage
from voicebot.workers.pool import WorkerError

HELLO, BYE = "Bonjour.", "Au revoir !"


class Voice:
    """Says each sentence as its own bytes, 0.1 s or more of them."""

    name = "fake"
    voice = "fake voice"

    def __init__(self) -> None:
        self.said: list[str] = []
        self.speaking = 0
        self.most_at_once = 0

    async def synthesize(self, text: str) -> AsyncIterator[bytes]:
        self.said.append(text)
        self.speaking += 1
        self.most_at_once = max(self.most_at_once, self.speaking)
        await asyncio.sleep(0)
        self.speaking -= 1
        if text == "broken":
            raise ProviderError(Stage.TTS, self.name, "no voice today", retryable=True)
        for piece in (text, text):
            yield audio_of(piece)[: 800 if piece != "mute" else 0]


def audio_of(text: str) -> bytes:
    return (text.encode() * 1000)[:1600]


def render(cache: PromptCache, texts: list[str], at_once: int = 1) -> tuple[Voice, list[Rendered]]:
    voice = Voice()
    progress: list[Rendered] = []

    async def story() -> None:
        await cache.render(voice, texts, progress.append, at_once=at_once)

    asyncio.run(story())
    return voice, progress


def test_a_sentence_is_rendered_once_and_found_by_the_next_start(tmp_path: Path) -> None:
    first = PromptCache(tmp_path, "v")
    assert first.load([HELLO, BYE]) == [HELLO, BYE]
    voice, progress = render(first, [HELLO, BYE, HELLO])

    again = PromptCache(tmp_path, "v")
    assert again.get(HELLO) is None, "nothing is read before load"
    assert again.load([HELLO, BYE]) == []
    assert again.get(HELLO) == first.get(HELLO) == 2 * audio_of(HELLO)[:800]
    assert voice.said == [HELLO, BYE]
    assert [(made.text, made.done, made.total) for made in progress] == [(HELLO, 1, 2), (BYE, 2, 2)]
    assert progress[0].seconds == pytest.approx(0.1)


def test_another_voice_or_text_is_another_prompt(tmp_path: Path) -> None:
    render(PromptCache(tmp_path, "v"), [HELLO])

    assert PromptCache(tmp_path, "w").load([HELLO]) == [HELLO]
    assert PromptCache(tmp_path, "v").load([HELLO.upper()]) == [HELLO.upper()]


class Louder:
    """Stands in for the studio."""

    async def level(self, pcm: bytes) -> bytes:
        return pcm.replace(b"B", b"b")


def test_what_a_studio_returns_is_kept_and_what_was_spoken_before_is_not_spoken_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:
        before.setattr("voicebot.prompts.cache.PromptCache._key", old_key(PromptCache._key))
        render(PromptCache(tmp_path, "v"), [HELLO])
    cache, voice = PromptCache(tmp_path, "v"), Voice()
    assert cache.load([HELLO, BYE]) == [HELLO, BYE]
    asyncio.run(cache.render(voice, [HELLO, BYE], studio=cast(Studio, Louder())))
    assert voice.said == [BYE]
    again = PromptCache(tmp_path, "v")
    assert again.load([HELLO, BYE]) == []
    assert again.get(HELLO) == 2 * audio_of(HELLO)[:800].replace(b"B", b"b")


def old_key(key: Callable[..., str]) -> Callable[..., str]:
    return lambda self, text, form=1: key(self, text, 1)


class Recorder(Louder):
    def __init__(self) -> None:
        self.clips: list[bytes] = []

    async def clip(self, data: bytes) -> bytes:
        self.clips.append(data)
        if data == b"no sound":
            raise WorkerError("clip: ClipError")
        return data * 400


def folder(tmp_path: Path, **files: bytes) -> Path:
    """A folder of recordings in which HELLO is ``hello.mp3``."""
    directory = tmp_path / "recorded"
    directory.mkdir(exist_ok=True)
    (directory / "prompts.yaml").write_text(f'"{HELLO}": hello.mp3\n')
    for name, data in files.items():
        (directory / f"{name}.mp3").write_bytes(data)
    return directory


def test_what_a_person_has_recorded_takes_the_place_of_the_voice(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    for number, recording in enumerate((b"sound", b"sound", b"other")):
        recorded = recorded_in(folder(tmp_path, hello=recording))
        cache, voice, studio = PromptCache(kept, "v", recorded=recorded), Voice(), Recorder()
        asyncio.run(cache.render(voice, [HELLO, BYE], studio=cast(Studio, studio)))
        assert cache.get(HELLO) == recording * 400
        assert voice.said == ([BYE] if number == 0 else [])
        assert studio.clips == ([] if number == 1 else [recording]), "again when it has changed"
    without = PromptCache(kept, "v")
    assert without.load([HELLO, BYE]) == [HELLO]


def test_a_recording_that_is_no_sound_is_named(tmp_path: Path) -> None:
    recorded = recorded_in(folder(tmp_path, hello=b"no sound"))
    cache = PromptCache(tmp_path / "kept", "v", recorded=recorded)
    with pytest.raises(PromptError, match=r"'Bonjour.'.*RECORDED_PROMPTS"):
        asyncio.run(cache.render(Voice(), [HELLO], studio=cast(Studio, Recorder())))


@pytest.mark.parametrize(
    ("index", "says"),
    [(None, "No such file"), ("a: [", "no YAML"), ("- a", "lines like"), ("a: 1", "lines like"),
     ("a: gone.mp3", "gone.mp3: No such file")],
)  # fmt: skip
def test_a_folder_of_recordings_that_cannot_be_used_is_named(
    tmp_path: Path, index: str | None, says: str
) -> None:
    if index is not None:
        (tmp_path / "prompts.yaml").write_text(index)
    with pytest.raises(PromptError, match=says):
        recorded_in(tmp_path)


def test_files_that_no_start_has_used_for_long_go(tmp_path: Path) -> None:
    cache = PromptCache(tmp_path, "v")
    render(cache, [HELLO, BYE])
    long_ago = time.time() - 40 * 86_400
    for path in tmp_path.iterdir():
        os.utime(path, (long_ago, long_ago))
    cache.used([BYE])
    assert cache.sweep(30) == 1
    assert PromptCache(tmp_path, "v").load([HELLO, BYE]) == [HELLO]
    assert len(list(tmp_path.iterdir())) == 2


def test_what_is_on_disk_is_not_rendered_again(tmp_path: Path) -> None:
    render(PromptCache(tmp_path, "v"), [HELLO])

    voice, _ = render(PromptCache(tmp_path, "v"), [HELLO, BYE])

    assert voice.said == [BYE]


@pytest.mark.parametrize("suffix", [".slin", ".json"])
@pytest.mark.parametrize("damage", ["cut", "changed", "gone", "emptied"])
def test_a_damaged_prompt_is_rendered_again(tmp_path: Path, suffix: str, damage: str) -> None:
    render(PromptCache(tmp_path, "v"), [HELLO])
    (file,) = tmp_path.glob(f"*{suffix}")
    data = file.read_bytes()
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes({"cut": data[:-2], "changed": b"[" + data[1:], "emptied": b""}[damage])

    cache = PromptCache(tmp_path, "v")
    with capture_logs() as logs:
        assert cache.load([HELLO]) == [HELLO]

    assert [entry["event"] for entry in logs] == (
        [] if damage == "gone" else ["damaged prompt is rendered again"]
    )
    render(cache, [HELLO])
    assert PromptCache(tmp_path, "v").load([HELLO]) == []


def test_sentences_are_rendered_several_at_once_but_no_more(tmp_path: Path) -> None:
    voice, _ = render(PromptCache(tmp_path, "v"), [f"phrase {n}" for n in range(9)], at_once=3)

    assert voice.most_at_once == 3
    assert len(voice.said) == 9


def test_a_voice_that_fails_keeps_what_was_made_before(tmp_path: Path) -> None:
    with pytest.raises(ProviderError, match="no voice today"):
        render(PromptCache(tmp_path, "v"), [HELLO, "broken", BYE])

    assert PromptCache(tmp_path, "v").load([HELLO]) == []


def test_a_sentence_without_audio_is_an_error_and_not_a_prompt(tmp_path: Path) -> None:
    with pytest.raises(PromptError, match="'mute'"):
        render(PromptCache(tmp_path, "v"), ["mute"])

    assert list(tmp_path.iterdir()) == []


def test_what_an_image_brings_is_played_and_never_written(tmp_path: Path) -> None:
    shipped = tmp_path / "shipped"
    render(PromptCache(shipped, "v"), [HELLO])
    before = sorted(path.name for path in shipped.iterdir())

    cache = PromptCache(tmp_path / "own", "v", shipped=shipped)
    voice, _ = render(cache, [HELLO, BYE])
    assert voice.said == [BYE]
    assert cache.get(HELLO) == audio_of(HELLO)[:800] * 2
    assert sorted(path.name for path in shipped.iterdir()) == before
    assert len(list((tmp_path / "own").glob("*.slin"))) == 1


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file in the way")

    with pytest.raises(PromptError, match=r"cache.*CACHE_DIR"):
        render(PromptCache(tmp_path / "cache", "v"), [HELLO])


def test_pruning_removes_old_prompts_and_nothing_else(tmp_path: Path) -> None:
    render(PromptCache(tmp_path, "old voice"), [HELLO])
    cache = PromptCache(tmp_path, "v")
    render(cache, [HELLO, BYE])
    (tmp_path / "notes.json").write_text("somebody else's")

    assert cache.prune([HELLO]) == 2

    assert PromptCache(tmp_path, "v").load([HELLO, BYE]) == [BYE]
    assert len(list(tmp_path.iterdir())) == 3
