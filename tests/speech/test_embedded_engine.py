"""The embedded engine on real French telephone speech: our clips, through A-law."""

import asyncio
import re
from pathlib import Path

import numpy as np
import pytest

from tests.speech.conftest import Engines
from voicebot import config
from voicebot.audio import alaw
from voicebot.audio.loudness import TARGET, integrated
from voicebot.audio.pcm import BYTES_PER_SECOND, FRAME_BYTES, silence
from voicebot.dialogue.numbers import find_phone
from voicebot.dialogue.words import tokens
from voicebot.models import ModelPaths
from voicebot.prompts.cache import PromptCache
from voicebot.providers.finishing import LEVEL_DBFS, PEAK, active_level
from voicebot.providers.interfaces import Expectation, ProviderError, Transcript
from voicebot.providers.vocabulary import Vocabulary
from voicebot.simulator.lines import CLIPS, read_clip
from voicebot.workers.jobs import TRANSCRIBE, Heard, Priority

pytestmark = pytest.mark.speech


def telephone(name: str) -> bytes:
    """A clip as it reaches the service, with the silence that the VAD lets through."""
    clip = read_clip(CLIPS / f"{name}.wav")
    return silence(0.2) + alaw.decode(alaw.encode(clip)) + silence(0.5)


def hear(engines: Engines, pcm: bytes) -> Heard:
    run = engines.pool.run(TRANSCRIBE, engines.whisper, pcm, engines.hints, priority=Priority.TURN)
    heard = engines.run(run)
    assert isinstance(heard, Heard)
    return heard


@pytest.mark.parametrize(
    ("clip", "words"),
    [
        ("j-ai-un-probleme-avec-mon-internet", "probleme internet"),
        ("bonjour-ma-box-ne-marche-plus", "box marche plus"),
        ("je-n-ai-plus-de-reseau-sur-mon-mobile", "reseau mobile"),
        ("mon-telephone-portable-ne-capte-plus", "portable"),
        ("je-m-appelle-marie-martin", "marie martin"),
        ("mon-nom-est-sophie-bernard", "sophie bernard"),
        ("internet", "internet"),
        ("mobile", "mobile"),
        ("je-voudrais-parler-a-un-technicien", "technicien"),
        ("un-conseiller-s-il-vous-plait", "conseiller"),
        ("vous-pouvez-repeter", "repeter"),
        ("c-est-fait", "fait"),
    ],
)
def test_what_a_caller_wants_is_understood(engines: Engines, clip: str, words: str) -> None:
    heard = hear(engines, telephone(clip))

    assert set(words.split()) <= set(tokens(heard.text)), heard
    assert heard.confidence > 0.3


@pytest.mark.parametrize(
    ("clip", "number"),
    [
        ("zero-six-douze-trente-quatre-cinquante-six-soixa", "0612345678"),
        ("zero-sept-quarante-deux-zero-huit-quinze-vingt-t", "0742081523"),
        ("pierre-dupont-zero-six-douze-trente-quatre-cinqu", "0612345678"),
    ],
)
def test_a_telephone_number_is_understood(engines: Engines, clip: str, number: str) -> None:
    heard = hear(engines, telephone(clip))

    found = find_phone(tokens(heard.text), engines.script.numbers, engines.script.phone)
    assert found is not None, heard
    assert found.number == number


@pytest.mark.parametrize(
    ("clip", "yes"),
    [
        ("oui", True),
        ("oui-c-est-bon-ca-marche", True),
        ("oui-rappelez-moi", True),
        ("non", False),
        ("non-ce-n-est-pas-ca", False),
        ("non-merci-au-revoir", False),
        ("internet", None),
        ("je-ne-sais-pas", None),
        ("je-voudrais-parler-a-un-technicien", None),
    ],
)
def test_yes_and_no_are_told_apart(engines: Engines, clip: str, yes: bool | None) -> None:
    assert hear(engines, telephone(clip)).yes is yes


@pytest.mark.parametrize("seed", range(3))
def test_noise_says_nothing(engines: Engines, seed: int) -> None:
    noise = np.random.default_rng(seed).normal(0, 300, 3 * 8000).astype("<i2")

    heard = hear(engines, noise.tobytes())

    assert (heard.text, heard.yes) == ("", None)


def test_a_long_turn_is_heard_to_its_end(engines: Engines) -> None:
    turn = silence(9) + telephone("je-voudrais-parler-a-un-technicien")

    assert "technicien" in tokens(hear(engines, turn).text)


def test_a_stream_answers_a_pause_on_the_loop(engines: Engines) -> None:
    async def story() -> Transcript:
        answer: asyncio.Future[Transcript] = asyncio.get_running_loop().create_future()

        def failed(error: ProviderError) -> None:
            answer.set_exception(error)

        stream = engines.stt.open("call", answer.set_result, failed)
        stream.expect(Expectation.YES_NO)
        pcm = silence(1) + telephone("oui")
        for start in range(0, len(pcm), FRAME_BYTES):
            stream.push(pcm[start : start + FRAME_BYTES])
            if start == round(0.9 * BYTES_PER_SECOND) // FRAME_BYTES * FRAME_BYTES:
                stream.speech_started()
        stream.speech_paused(1)
        transcript = await answer
        await stream.close()
        return transcript

    transcript = engines.run(story())

    assert (tokens(transcript.text), transcript.yes, transcript.pause) == (("oui",), True, 1)
    assert transcript.compute_seconds > 0
    assert transcript.audio_seconds < 2


def say(engines: Engines, text: str) -> list[bytes]:
    async def story() -> list[bytes]:
        return [pcm async for pcm in engines.tts.synthesize(text)]

    pieces = engines.run(story())
    assert isinstance(pieces, list)
    return pieces


def quiet_gaps(pcm: bytes) -> int:
    """Pauses of 40 ms or more between sounds."""
    frames = np.abs(np.frombuffer(pcm, np.int16)[: len(pcm) // 320 * 160].reshape(-1, 160))
    quiet = "".join("_" if frame.max() < 330 else "#" for frame in frames)
    return len([gap for gap in re.findall("_+", quiet.strip("_")) if len(gap) >= 2])


def test_the_voice_reads_a_number_pair_by_pair(engines: Engines) -> None:
    """Whisper base mishears one pair in eight even so, and every second one without pauses."""
    right = 0
    for number in ("06 12 34 56 78", "07 42 08 15 23", "06 85 17 92 44"):
        spoken = b"".join(say(engines, f"Votre numéro est le {number}."))
        assert quiet_gaps(spoken) >= 3, number

        heard = hear(engines, silence(0.2) + alaw.decode(alaw.encode(spoken)))
        found = find_phone(tokens(heard.text), engines.script.numbers, engines.script.phone)
        digits = found.digits if found else ""
        right += sum(digits[2 * n : 2 * n + 2] == pair for n, pair in enumerate(number.split()))
    assert right >= 11, "of 15"


def test_a_sentence_comes_clause_by_clause_at_one_level(engines: Engines) -> None:
    pieces = say(engines, "Essayez de débrancher votre box, attendez dix secondes.")

    assert len(pieces) == 2
    for pcm in pieces:
        assert len(pcm) % 2 == 0
        samples = np.frombuffer(pcm, np.int16).astype(np.float32) / np.float32(32768)
        assert 20 * np.log10(active_level(samples)) == pytest.approx(LEVEL_DBFS, abs=1)
        assert np.abs(samples).max() <= PEAK
        assert not samples[-round(0.1 * 8000) :].any(), "a pause after the mark"


def test_the_bot_is_understood_by_its_own_ear(engines: Engines) -> None:
    spoken = b"".join(say(engines, "Votre box ne marche plus, j'appelle un technicien."))

    heard = hear(engines, alaw.decode(alaw.encode(spoken)))
    assert {"box", "marche", "technicien"} <= set(tokens(heard.text)), heard


def test_prompt_text_becomes_the_tokens_of_the_published_tokenizer(
    model_paths: ModelPaths,
) -> None:
    """The numbers are those of the ``tokenizers`` library."""
    vocabulary = Vocabulary(Path(model_paths.whisper) / "tokenizer.json")
    text = " D'accord. Mon téléphone mobile. 06 23 45."

    encoded = vocabulary.encode(text)

    assert encoded == [
        413,
        6,
        19947,
        13,
        4713,
        220,
        83,
        19559,
        4977,
        6013,
        13,
        1958,
        21,
        6673,
        6905,
        13,
    ]
    assert vocabulary.decode(encoded) == text.strip()
    assert vocabulary.single("Oui") == 14005
    assert vocabulary.single("technicien") is None


def test_every_prompt_is_equally_loud(engines: Engines) -> None:
    """As they lie in the cache that set-up has made: what callers hear."""
    settings = config.load()
    texts = engines.script.fixed_texts()
    cache = PromptCache(settings.cache_dir, engines.tts.voice)
    assert cache.load(texts) == [], "scripts/setup renders them"
    for text in texts:
        samples = np.frombuffer(cache.get(text) or b"", "<i2") / 32768
        assert integrated(samples) == pytest.approx(TARGET, abs=1.0), text
