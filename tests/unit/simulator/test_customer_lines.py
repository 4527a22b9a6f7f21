"""Where the customer's voice comes from: clips, the cache, the synthesiser."""

from __future__ import annotations

import asyncio
import wave
from pathlib import Path

import numpy as np
import pytest

from tests.support.stage import tone
from voicebot.audio import alaw
from voicebot.audio.pcm import silence
from voicebot.simulator.lines import LineError, Voice, make_line, mix, noise_frames

TONE = silence(0.1) + tone(0.3) + silence(0.2)


def write_clip(file: Path, pcm: bytes = TONE, rate: int = 8000) -> None:
    with wave.open(str(file), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(pcm)


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    folder = tmp_path / "clips"
    folder.mkdir()
    write_clip(folder / "oui.wav")
    (folder / "clips.yaml").write_text(
        'oui.wav: "Oui, c\'est ça."\nlost.wav: Perdu.\n', encoding="utf-8"
    )
    return folder


class Synthesizer:
    """Makes tones, and remembers for what."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def __call__(self, text: str) -> bytes:
        self.asked.append(text)
        return TONE


def test_a_line_knows_where_its_sound_begins_and_ends() -> None:
    line = make_line("Oui.", TONE)
    assert (line.speech_start, line.speech_end) == pytest.approx((0.1, 0.4), abs=0.006)


def test_a_silent_line_is_refused() -> None:
    with pytest.raises(LineError, match=r"'Oui\.' is silent"):
        make_line("Oui.", silence(1.0))


def test_a_clip_is_found_whatever_its_typography_and_sounds_like_a_telephone(
    clips: Path, tmp_path: Path
) -> None:
    voice = Voice(tmp_path, clips=clips)
    text = "oui,  c’est ça."
    assert voice.without_clip([text, "Non."]) == ["Non."]
    lines = asyncio.run(voice.prepare([text]))
    assert lines[text].pcm == alaw.decode(alaw.encode(TONE))


def test_a_line_without_a_clip_is_synthesised_once(clips: Path, tmp_path: Path) -> None:
    synthesizer = Synthesizer()
    for _ in range(2):
        voice = Voice(tmp_path, synthesizer, name="ff_siwis fr", clips=clips)
        lines = asyncio.run(voice.prepare(["Non.", "Oui, c'est ça."]))
        assert set(lines) == {"Non.", "Oui, c'est ça."}
    assert synthesizer.asked == ["Non."]
    assert Voice(tmp_path, name="ff_siwis fr", clips=clips).missing(["Non."]) == []
    assert Voice(tmp_path, name="another voice", clips=clips).missing(["Non."]) == ["Non."]


def test_without_clip_or_engine_the_line_is_named(clips: Path, tmp_path: Path) -> None:
    with pytest.raises(LineError, match=r"no clip for 'Non\.'"):
        asyncio.run(Voice(tmp_path, clips=clips).prepare(["Non."]))


def test_a_clip_that_is_listed_but_missing_is_named(clips: Path, tmp_path: Path) -> None:
    with pytest.raises(LineError, match=r"lost\.wav: no such file, but .*clips\.yaml lists it"):
        asyncio.run(Voice(tmp_path, Synthesizer(), clips=clips).prepare(["Perdu."]))


@pytest.mark.parametrize("broken", [b"", b"RIFF....", b"not audio at all"])
def test_a_damaged_clip_is_named(clips: Path, tmp_path: Path, broken: bytes) -> None:
    (clips / "oui.wav").write_bytes(broken)
    with pytest.raises(LineError, match=r"oui\.wav: not a readable WAV file"):
        asyncio.run(Voice(tmp_path, clips=clips).prepare(["Oui, c'est ça."]))


def test_a_clip_of_another_rate_is_named(clips: Path, tmp_path: Path) -> None:
    write_clip(clips / "oui.wav", rate=16_000)
    with pytest.raises(LineError, match="must be 8000 Hz"):
        asyncio.run(Voice(tmp_path, clips=clips).prepare(["Oui, c'est ça."]))


@pytest.mark.parametrize("index", ["- a list", "oui.wav: [", "\xff"])
def test_a_broken_index_is_named(clips: Path, tmp_path: Path, index: str) -> None:
    (clips / "clips.yaml").write_bytes(index.encode("latin-1"))
    with pytest.raises(LineError, match=r"clips\.yaml: "):
        Voice(tmp_path, clips=clips)


def test_noise_has_the_level_asked_for_and_is_the_same_each_time() -> None:
    frames = noise_frames(-40, seed=7)
    assert frames == noise_frames(-40, seed=7)
    samples = np.frombuffer(b"".join(frames), "<i2").astype(float)
    rms = 20 * np.log10(np.sqrt(np.mean(samples**2)) / 32_768)
    assert rms == pytest.approx(-40, abs=0.3)


def test_mixing_never_wraps_around() -> None:
    loudest = (np.ones(160) * 32_767).astype("<i2").tobytes()
    assert mix(loudest, [loudest]) == loudest
