"""Which providers the settings put into a chain, and what they cost when there are none."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from typing import Any

import pytest

from voicebot import script_file
from voicebot.config import Settings, SettingsError, load
from voicebot.providers.interfaces import Stage
from voicebot.speech import chains, clouds

DEEPGRAM = {"deepgram_api_key": "d"}
OPENAI = {"openai_api_key": "o"}
TODAY = date(2026, 11, 23)


@pytest.mark.parametrize(
    ("settings", "ears", "voices"),
    [
        ({}, ("local",), ("local",)),
        (DEEPGRAM, ("deepgram", "local"), ("deepgram", "local")),
        (OPENAI, ("local",), ("openai", "openai_realtime", "local")),
        ({**DEEPGRAM, **OPENAI}, ("deepgram", "local"),
         ("openai", "openai_realtime", "deepgram", "local")),
        ({**DEEPGRAM, "tts_chain": ("local",)}, ("deepgram", "local"), ("local",)),
        ({**DEEPGRAM, "stt_chain": ("local", "deepgram")}, ("local", "deepgram"),
         ("deepgram", "local")),
        ({**DEEPGRAM, "embedded_engine": False}, ("deepgram",), ("deepgram",)),
        ({**DEEPGRAM, **OPENAI, "embedded_engine": False}, ("deepgram",),
         ("openai", "openai_realtime", "deepgram")),
    ],
)  # fmt: skip
def test_clouds_with_a_key_come_first_unless_told_otherwise(
    settings: dict[str, Any], ears: tuple[str, ...], voices: tuple[str, ...]
) -> None:
    assert chains.stt_order(Settings(**settings)) == ears
    assert chains.tts_order(Settings(**settings)) == voices


@pytest.mark.parametrize(
    ("settings", "voices"),
    [
        ({}, []),
        ({**DEEPGRAM, **OPENAI}, ["openai", "openai_realtime", "deepgram"]),
        ({**DEEPGRAM, **OPENAI, "tts_chain": ("local", "openai")}, []),
        (
            {**DEEPGRAM, **OPENAI, "model_sunsets": ("gpt-4o-mini-tts=2026-11-23",)},
            ["openai_realtime", "deepgram"],
        ),
    ],
)
def test_prompts_have_the_voice_that_speaks_first(
    settings: dict[str, Any], voices: list[str]
) -> None:
    assert chains.prompt_voices(Settings(**settings), TODAY) == voices


def test_a_language_model_is_asked_when_it_has_a_key() -> None:
    assert chains.llm_order(Settings()) == ("rules",)
    assert chains.llm_order(Settings(groq_api_key="g")) == ("groq", "groq_spare", "rules")
    chosen = Settings(groq_api_key="g", llm_chain=("groq_spare", "rules"))
    assert chains.llm_order(chosen) == ("groq_spare", "rules")
    assert set(chains.models(chosen)) == {(Stage.LLM, "groq_spare")}


def test_another_voice_is_another_identity() -> None:
    settings = Settings(openai_instructions="Calme.")
    assert chains.voice_identity(settings, "openai") == "openai gpt-4o-mini-tts nova Calme."
    assert chains.voice_identity(settings, "deepgram") == "deepgram aura-2-agathe-fr"


def test_only_models_in_use_can_be_missed() -> None:
    ends = chains.models(Settings(**OPENAI))
    assert {key: sunset.day for key, sunset in ends.items()} == {
        (Stage.TTS, "openai"): date(2027, 1, 6),
        (Stage.TTS, "openai_realtime"): None,
    }


def test_what_callers_are_likely_to_say_is_stressed_but_no_examples() -> None:
    terms = clouds.keyterms(script_file.load().recognition.prompt)
    assert {"Oui", "Ma box internet", "Un technicien"} <= set(terms)
    assert not any(character.isdigit() for term in terms for character in term)
    assert not any("Marie" in term for term in terms)
    assert len(clouds.keyterms(". ".join(f"mot {chr(97 + i % 26)}{i}" for i in range(99)))) == 0
    assert len(clouds.keyterms(". ".join("x" * i for i in range(1, 99)))) == 50


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("STT_CHAIN", "deepgram,local", "deepgram needs DEEPGRAM_API_KEY"),
        ("TTS_CHAIN", "openai", "openai needs OPENAI_API_KEY"),
        ("LLM_CHAIN", "groq,rules", "groq needs GROQ_API_KEY"),
        ("LLM_CHAIN", "local", "some of groq, groq_spare, rules"),
        ("GROQ_BASE_URL", "api.groq.com", "https://"),
        ("STT_CHAIN", "openai,local", "some of deepgram, local"),
        ("TTS_CHAIN", "local,local", "some of openai, openai_realtime, deepgram, local"),
        ("DEEPGRAM_BASE_URL", "api.deepgram.com", "https://"),
        ("MODEL_SUNSETS", "tts-1=soon", "tts-1=2027-01-06"),
        ("MODEL_SUNSETS", "2027-01-06", "tts-1=2027-01-06"),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: str, says: str, tmp_path: Any) -> None:
    (tmp_path / "settings").touch()
    with pytest.raises(SettingsError) as caught:
        load({"VOICEBOT_ENV_FILE": str(tmp_path / "settings"), name: value})
    (fault,) = caught.value.faults
    assert fault.startswith(f"{name}=")
    assert says in fault


def test_the_rules_come_last(tmp_path: Any) -> None:
    (tmp_path / "settings").touch()
    environ = {"VOICEBOT_ENV_FILE": str(tmp_path / "settings"), "GROQ_API_KEY": "g"}
    for chain in ("groq", "rules,groq"):
        with pytest.raises(SettingsError, match="must end with rules"):
            load({**environ, "LLM_CHAIN": chain})
    assert load({**environ, "LLM_CHAIN": "rules"}).llm_chain == ("rules",)


def test_without_keys_no_kit_is_in_memory() -> None:
    program = (
        "import sys, voicebot.service;"
        "from voicebot import config; from voicebot.speech import chains;"
        "from voicebot.providers import prices; from voicebot.telemetry.metrics import Metrics;"
        "chains.clouds(config.Settings(), 'fr', 'Oui.', prices.load(), Metrics());"
        "print(sorted({'deepgram', 'openai', 'httpx', 'httpx2', 'aiohttp', 'pydantic', 'groq',"
        "'websockets'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("settings", "listens"),
    [
        ({}, False),
        (DEEPGRAM, True),
        ({**DEEPGRAM, "stt_chain": ("local", "deepgram")}, False),
        ({**DEEPGRAM, "listen_for_turn_end": "never"}, False),
        ({"listen_for_turn_end": "always"}, True),
    ],
)
def test_the_ends_of_turns_are_listened_for_where_a_cloud_recognises(
    settings: dict[str, Any], listens: bool
) -> None:
    assert chains.listens_for_turn_ends(Settings(**settings)) is listens
