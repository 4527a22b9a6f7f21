"""Known recordings: recognised whole, in part, in noise; unknown ones are not guessed."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import yaml

from tests.support.cloud import CLIPS, clip
from voicebot.audio import alaw
from voicebot.audio.pcm import seconds
from voicebot.emulator.clips import Clips
from voicebot.emulator.words import joined

LINES: dict[str, str] = yaml.safe_load((CLIPS / "clips.yaml").read_text(encoding="utf-8"))
RECORDINGS = {text: clip(name.removesuffix(".wav"), 0.0) for name, text in LINES.items()}
CLIPS_KNOWN = Clips(RECORDINGS)
LONG = "Pierre Dupont, zéro six, douze, trente-quatre, cinquante-six, soixante-dix-huit."


def noisy(pcm: bytes, level: float) -> bytes:
    samples = np.frombuffer(pcm, "<i2").astype(np.float64)
    noise = np.random.default_rng(1).normal(0, 32768 * 10 ** (level / 20), samples.size)
    return np.clip(samples + noise, -32768, 32767).astype("<i2").tobytes()


@pytest.mark.parametrize("text", RECORDINGS)
def test_every_shipped_recording_is_known_over_a_telephone_line(text: str) -> None:
    heard = bytes(2 * 777) + alaw.decode(alaw.encode(noisy(RECORDINGS[text], -55))) + bytes(3000)
    words, unknown = CLIPS_KNOWN.recognise(heard)
    assert (joined(words), unknown) == (text, 0)


def test_what_has_not_been_said_yet_is_not_recognised() -> None:
    words, _ = CLIPS_KNOWN.recognise(RECORDINGS[LONG][:16_000])
    assert joined(words) == "Pierre Dupont, zéro"


def test_the_second_half_of_a_recording_is_its_last_words() -> None:
    pcm = RECORDINGS[LONG]
    whole, _ = CLIPS_KNOWN.recognise(pcm)
    # As a recogniser hears it that closed an utterance at a pause: cut where it is quietest.
    quiet = np.abs(np.frombuffer(pcm, "<i2").astype(int))
    window = np.convolve(quiet[12_000:24_000], np.ones(800), "valid")
    cut = 2 * (12_000 + int(window.argmin()) + 400)
    first, _ = CLIPS_KNOWN.recognise(pcm[:cut])
    second, _ = CLIPS_KNOWN.recognise(pcm[cut:])
    assert joined(first) + " " + joined(second) == joined(whole) == LONG


def test_words_have_the_times_at_which_they_were_said() -> None:
    words, _ = CLIPS_KNOWN.recognise(bytes(8000) + RECORDINGS[LONG])
    assert 0.45 < words[0].start < 0.65
    assert words[-1].end <= 0.5 + seconds(RECORDINGS[LONG])
    assert all(a.end <= b.start + 1e-6 for a, b in pairwise(words))


def test_other_speech_is_not_taken_for_a_known_recording() -> None:
    known = Clips({"Oui.": RECORDINGS["Oui."]})
    words, unknown = known.recognise(RECORDINGS[LONG])
    assert words == ()
    assert unknown >= 1


def test_silence_has_no_words() -> None:
    assert CLIPS_KNOWN.recognise(bytes(32_000)) == ((), 0)
    assert CLIPS_KNOWN.recognise(b"") == ((), 0)
