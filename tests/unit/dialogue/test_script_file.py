"""A script file that is wrong says everything that is wrong with it, and where."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from voicebot import script_file
from voicebot.dialogue.script import Prompt, ScriptError, blanks_in

SHIPPED = script_file.SHIPPED.read_text(encoding="utf-8")


def load_text(tmp_path: Path, text: str) -> None:
    path = tmp_path / "script.yaml"
    path.write_text(text, encoding="utf-8")
    script_file.load(path)


def faults_of(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(ScriptError) as caught:
        load_text(tmp_path, text)
    return [fault.removeprefix(f"{tmp_path / 'script.yaml'}: ") for fault in caught.value.faults]


def test_the_shipped_script_is_right_and_its_fixed_sentences_have_no_blanks() -> None:
    script = script_file.load()
    texts = script.fixed_texts()
    assert len(texts) > 40
    assert not any(blanks_in(text) for text in texts)
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("welcome", "Bonjour, bienvenue au SAV Wouippleul"),
        ("goodbye", "Merci pour votre appel. Au revoir !"),
        ("wait", "Un instant s'il vous plaît"),
        ("error", "Désolé, nous rencontrons un problème"),
        ("still_there", "Allô, vous êtes toujours là ?"),
        ("transfer", "Je vous transfère à un technicien"),
        ("understood", "Très bien, j'ai compris."),
        ("ask_identity", "Puis-je avoir votre nom"),
        ("ask_works", "Est-ce que ça marche ?"),
    ],
)
def test_the_shipped_script_has_the_words_of_the_reference(key: str, words: str) -> None:
    assert words in script_file.load().prompts[Prompt(key)]


def test_every_fault_is_reported_at_once(tmp_path: Path) -> None:
    text = SHIPPED.replace("  welcome: >-", "  wellcome: >-", 1)
    text = text.replace('    key: "2"', '    key: "1"', 1)
    text = text.replace("Vous êtes {name}", "Vous êtes {nom}", 1)
    text = text.replace('monday: ["08:00-20:00"]', 'monday: ["8h-20h"]', 1)
    faults = "\n".join(faults_of(tmp_path, text))
    assert "prompts.welcome: is missing" in faults
    assert "prompts.wellcome: no such key" in faults
    assert "problems.mobile.key: 1 is the key of internet already" in faults
    assert "cannot fill in nom; use {name}" in faults
    assert "hours.monday: '8h-20h' must be like 08:00-19:30" in faults


@pytest.mark.parametrize(
    ("before", "after", "fault"),
    [
        ("timezone: Europe/Paris", "timezone: Europe/Pari", "no such time zone 'Europe/Pari'"),
        ("  patience: 45 ", "  patience: soon ", "timings.patience: must be a number"),
        ("êtes {name},", "êtes {name,", "braces do not match"),
        ("êtes {name},", "êtes {name:d},", "prompts.confirm_identity: its braces"),
        ("êtes {name},", "êtes {name!x},", "prompts.confirm_identity: its braces"),
        (
            "    solution: >-",
            "    solution: Patientez, {name}.\n    was: >-",
            "cannot fill in name",
        ),
        ("    solution: >-", "    solution: 'Patientez {.'\n    was: >-", "solution: its braces"),
        ("digits: 10", "digits: 99", "phone.digits: must be from 3 to 15"),
        ("    {intents}\n", "", "model.system: must say where the intents go, by {intents}"),
        (
            "ceux-ci : {problems}",
            "ceux-ci : internet",
            "model.system: must say where the problems go, by {problems}",
        ),
        ("    unclear: rien", "    unklar: rien", "model.intents.unclear: is missing"),
        ("    works: >-", "    marche: >-", "model.questions.works: is missing"),
        ("  asks: [", "  asks: combien\n  oldasks: [", "model.asks: must be a list of texts"),
        ("  done: [", "  done: fait\n  oldone: [", "words.done: must be a list of texts"),
    ],
)
def test_single_faults(tmp_path: Path, before: str, after: str, fault: str) -> None:
    assert before in SHIPPED
    assert any(fault in found for found in faults_of(tmp_path, SHIPPED.replace(before, after, 1)))


def test_a_number_that_is_none_is_one_fault(tmp_path: Path) -> None:
    text = SHIPPED.replace("digits: 10", "digits: ten", 1)
    assert faults_of(tmp_path, text) == ["phone.digits: must be a number from 3 to 15, not 'ten'"]


def test_a_script_without_a_model_asks_none(tmp_path: Path) -> None:
    shipped = script_file.load()
    assert shipped.model is not None
    assert "technician: il veut parler" in shipped.model.system
    assert "internet, mobile" in shipped.model.system
    begin, end = SHIPPED.index("\nmodel:\n"), SHIPPED.index("\n# --- When a technician")
    path = tmp_path / "script.yaml"
    path.write_text(SHIPPED[:begin] + SHIPPED[end:], encoding="utf-8")
    assert script_file.load(path).model is None


def test_yes_no_and_on_are_words_not_booleans(tmp_path: Path) -> None:
    load_text(tmp_path, SHIPPED.replace("  yes: [oui,", "  yes: [yes, on, oui,", 1))


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"prompts: [", "line"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"- just a list\n", "must be a list of keys and values"),
        (b"", "must be a list of keys and values"),
    ],
)
def test_files_that_are_no_script(tmp_path: Path, content: bytes, fault: str) -> None:
    path = tmp_path / "script.yaml"
    path.write_bytes(content)
    with pytest.raises(ScriptError) as caught:
        script_file.load(path)
    assert str(path) in str(caught.value)
    assert fault in str(caught.value)


def test_a_missing_file_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(ScriptError, match=r"no such file \(SCRIPT_FILE\)"):
        script_file.load(tmp_path / "none.yaml")


def test_every_prompt_key_is_in_the_shipped_file() -> None:
    data = yaml.safe_load(SHIPPED)
    assert set(data["prompts"]) == {prompt.value for prompt in Prompt}
