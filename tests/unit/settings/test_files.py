"""The settings file is read as it is meant or not at all; secrets come from files of their own, and
a faulty one is named without its content.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support import role_files
from voicebot.config import Settings, SettingsError, load

NOBODY = 65534


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    directory = tmp_path / "secrets"
    directory.mkdir()
    return directory


def loaded(secrets: Path, **environ: str) -> Settings:
    settings = secrets.parent / "settings"
    settings.touch()
    return load(
        {"VOICEBOT_ENV_FILE": str(settings), "VOICEBOT_SECRETS_DIR": str(secrets), **environ}
    )


def faults(secrets: Path, **environ: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        loaded(secrets, **environ)
    return caught.value.faults


def test_each_file_is_a_setting_without_the_line_end(secrets: Path) -> None:
    (secrets / "DEEPGRAM_API_KEY").write_text("k3y\n")
    (secrets / "JOURNAL_URL").write_text("postgresql://bot:pw@db/voicebot")
    settings = loaded(secrets)
    assert settings.deepgram_api_key == "k3y"
    assert settings.journal_url == "postgresql://bot:pw@db/voicebot"


def test_the_environment_wins_over_it_and_it_over_the_settings_file(secrets: Path) -> None:
    for name in ("DEEPGRAM_API_KEY", "OPENAI_API_KEY"):
        (secrets / name).write_text("of-the-secret-file")
    (secrets.parent / "settings").write_text(
        "DEEPGRAM_API_KEY=of-the-settings-file\nOPENAI_API_KEY=of-the-settings-file\n"
    )
    settings = loaded(secrets, OPENAI_API_KEY="of-the-environment")
    assert settings.deepgram_api_key == "of-the-secret-file"
    assert settings.openai_api_key == "of-the-environment"


def test_what_a_mounted_volume_adds_is_passed_over(secrets: Path) -> None:
    (secrets / "..data").mkdir()
    (secrets / "..data" / "DEEPGRAM_API_KEY").write_text("k3y")
    (secrets / "DEEPGRAM_API_KEY").symlink_to("..data/DEEPGRAM_API_KEY")
    (secrets / "lost+found").mkdir()
    assert loaded(secrets).deepgram_api_key == "k3y"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty; write the value into it, or remove the file"),
        (b" \n", "is empty"),
        (b"k3y\nDEEPGRAM_API_KEY=other\n", "the value alone, one line"),
        (b"\xff\xfe\x00k", "the value alone, one line"),
        (b"k" * 70_000, "the value alone, one line"),
    ],
)
def test_a_file_without_a_value_is_named(secrets: Path, content: bytes, told: str) -> None:
    file = secrets / "DEEPGRAM_API_KEY"
    file.write_bytes(content)
    (fault,) = faults(secrets)
    assert fault.startswith(f"{file}: ")
    assert told in fault
    assert "k3y" not in fault


def test_a_wrong_value_of_a_secret_file_is_not_shown(secrets: Path) -> None:
    (secrets / "MAX_CONCURRENT_CALLS").write_text("k3y-in-the-wrong-file")
    (fault,) = faults(secrets)
    assert "MAX_CONCURRENT_CALLS=(hidden)" in fault
    assert str(secrets) in fault


def test_a_name_that_is_no_setting_is_a_fault(secrets: Path) -> None:
    (secrets / "DEEPGRAM_KEY").write_text("k3y")
    (fault,) = faults(secrets)
    assert fault == f"DEEPGRAM_KEY ({secrets}): no such setting; did you mean DEEPGRAM_API_KEY?"


def test_a_directory_that_is_not_there_is_a_fault(secrets: Path) -> None:
    secrets.rmdir()
    (fault,) = faults(secrets)
    assert fault == f"VOICEBOT_SECRETS_DIR={str(secrets)!r}: No such file or directory"


def test_a_file_that_may_not_be_read_says_whose_it_must_be(
    secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (secrets / "DEEPGRAM_API_KEY").write_text("k3y")
    (secrets / "DEEPGRAM_API_KEY").chmod(0)
    monkeypatch.chdir(
        secrets
    )  # root, who reads everything, asks as nobody; the path above is root's alone
    pid = os.fork()
    if pid == 0:
        if os.geteuid() == 0:
            os.setegid(NOBODY)
            os.seteuid(NOBODY)
        try:
            load({"VOICEBOT_ENV_FILE": "/dev/null", "VOICEBOT_SECRETS_DIR": "."})
        except SettingsError as error:
            group = os.getegid()
            told = (
                "DEEPGRAM_API_KEY: cannot be read: Permission denied",
                f"give it mode 0440 and group {group}",
            )
            os._exit(0 if all(part in str(error) for part in told) else 3)
        os._exit(4)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({}, ["STT_CHAIN=auto: there is nobody", "TTS_CHAIN=auto: there is nobody"]),
        ({"OPENAI_API_KEY": "o"}, ["STT_CHAIN=auto: there is nobody"]),
        ({"DEEPGRAM_API_KEY": "d"}, []),
        (
            {"DEEPGRAM_API_KEY": "d", "TTS_CHAIN": "local"},
            ["TTS_CHAIN=local: local needs EMBEDDED_ENGINE=true, which is false"],
        ),
    ],
)
def test_without_the_embedded_engine_each_stage_needs_a_key(
    secrets: Path, environ: dict[str, str], told: list[str]
) -> None:
    environ = {"EMBEDDED_ENGINE": "false", **environ}
    if not told:
        loaded(secrets, **environ)
        return
    found = faults(secrets, **environ)
    assert len(found) == len(told)
    for fault, part in zip(found, told, strict=True):
        assert part in fault


def test_a_line_that_cannot_be_read_is_named_and_not_left_out(tmp_path: Path) -> None:
    file = tmp_path / "settings"
    file.write_text("LOG_LEVEL=debug\nAGENT='not closed\nTECHNICIANS=always\n")
    with pytest.raises(SettingsError) as caught:
        load({"VOICEBOT_ENV_FILE": str(file)})
    assert caught.value.faults == [f"{file}, line 2: is not KEY=value; is a quote open?"]


@pytest.mark.parametrize(
    "target",
    [
        "/mnt/the other disk/sav", "/mnt/o'clock #1", '/mnt/"b"', "/mnt/c\\d$e",
        "/mnt/${HOME}/${f:-g}",
    ],
)  # fmt: skip
def test_what_the_playbook_writes_is_read_as_it_was_set(target: str, tmp_path: Path) -> None:
    """Whatever signs are in it."""
    texts = {"BACKUP_TARGET": target, "MAX_CONCURRENT_CALLS": "7"}
    role_files.render("voicebot", ["voicebot.env"], {"__voicebot_texts": texts}, tmp_path)
    found = load({"VOICEBOT_ENV_FILE": str(tmp_path / "voicebot.env")})
    assert found.backup_target == target.strip()
    assert found.max_calls == 7
