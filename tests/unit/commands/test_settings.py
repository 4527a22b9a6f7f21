"""The settings, printed in their three forms."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from voicebot import config
from voicebot.commands import settings

ENVS = [setting.metadata["env"] for setting in config.described()]


def run(**options: bool) -> int:
    return settings.run(argparse.Namespace(**{"env": False, "markdown": False, **options}))


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in ENVS:
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / "settings"
    file.write_text("")
    monkeypatch.setenv("VOICEBOT_ENV_FILE", str(file))
    return file


def test_the_example_file_changes_nothing_when_used_as_it_is(nothing_is_set: Path) -> None:
    nothing_is_set.write_text(settings.env_file())
    assert config.load() == config.Settings()


def test_every_line_of_the_example_file_is_valid_when_taken_into_use(nothing_is_set: Path) -> None:
    lines = [line.removeprefix("#") for line in settings.env_file().splitlines()]
    set_lines = [line for line in lines if line.split("=")[0] in ENVS]
    nothing_is_set.write_text("\n".join(set_lines))

    assert [line.split("=")[0] for line in set_lines] == ENVS
    assert config.load() == config.Settings()


def test_the_page_names_every_setting_once() -> None:
    page = settings.markdown()
    for name in ENVS:
        assert page.count(f"| `{name}` |") == 1


def test_the_generated_forms_hold_nothing_of_this_machine(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = settings.markdown(), settings.env_file()
    monkeypatch.setenv("DEEPGRAM_API_KEY", "k3y-of-somebody")
    monkeypatch.setenv("RECORDINGS_DIR", "/srv/somewhere")

    assert (run(markdown=True), run(env=True)) == (0, 0)
    assert capsys.readouterr().out == "".join(f"{text}\n" for text in before)


def test_the_table_shows_what_is_in_force_but_no_secret(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MAX_CONCURRENT_CALLS", "7")
    monkeypatch.setenv("DEEPGRAM_API_KEY", "k3y-of-somebody")
    monkeypatch.setenv("WORKER_CORES", "3,1")

    assert run() == 0
    lines = {line.split()[1]: line.split() for line in capsys.readouterr().out.splitlines()[:-2]
             if line.startswith("*")}  # fmt: skip
    assert lines.keys() == {"MAX_CONCURRENT_CALLS", "DEEPGRAM_API_KEY", "WORKER_CORES"}
    assert lines["MAX_CONCURRENT_CALLS"][2] == "7"
    assert lines["WORKER_CORES"][2] == "1,3"
    assert "k3y-of-somebody" not in str(lines)


def test_the_table_shows_no_password_of_an_address(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JOURNAL_URL", "postgresql+psycopg://bot:hunter@2@db/voicebot")
    monkeypatch.setenv("BACKUP_TARGET", "restic:rest:https://me:hunter2@vault/sav")

    assert run() == 0
    shown = capsys.readouterr().out
    assert "postgresql+psycopg://db/voicebot" in shown
    assert "restic:rest:https://vault/sav" in shown
    assert "hunter" not in shown


def test_faulty_settings_are_named_instead(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CONTROL_PORT", "ninety")
    assert run() == 2
    assert "CONTROL_PORT='ninety'" in capsys.readouterr().err
