"""The query parameters of Deepgram's addresses: read, checked, refused in the service's words.

Pure. As strict as the service is known to be, so that a wrong option fails here and not in front of
a customer; what does not change the answers of the emulator is accepted and ignored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from voicebot.emulator import codec
from voicebot.emulator.listening import BREATH

Query = Mapping[str, Sequence[str]]

_FRENCH: Final = ("fr", "multi")
_SPEAK_RATES: Final = {
    "linear16": (8000, 16_000, 24_000, 32_000, 48_000),
    "mulaw": (8000, 16_000),
    "alaw": (8000, 16_000),
    "mp3": (22_050,),
}
_NO_MODEL: Final = "No such model/language/tier combination found."


class OptionError(Exception):
    """400. ``str()`` is what the service says (``dg-error``)."""


class Options:
    """One query, read with types."""

    def __init__(self, query: Query) -> None:
        self._query = query

    def text(self, name: str, default: str) -> str:
        values = self._query.get(name)
        return values[0] if values else default

    def flag(self, name: str) -> bool:
        value = self.text(name, "false")
        if value not in ("true", "false"):
            raise OptionError(f"Failed to deserialize query parameters: {name}: not a boolean")
        return value == "true"

    def number(self, name: str, default: float, low: float, high: float) -> float:
        text = self.text(name, str(default))
        try:
            value = float(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise OptionError(
                f"Failed to deserialize query parameters: {name}: {text!r} is not from "
                f"{low:g} to {high:g}"
            )
        return value

    def encoding(self) -> tuple[str, int]:
        """Raw audio must be described; containers are not emulated."""
        encoding = self.text("encoding", "")
        if encoding not in codec.WIDTHS:
            raise OptionError(f"encoding {encoding!r} is not one of {', '.join(codec.WIDTHS)}")
        if "sample_rate" not in self._query:
            raise OptionError("sample_rate is required with encoding")
        if self.text("channels", "1") != "1":
            raise OptionError("channels: only mono is emulated")
        return encoding, int(self.number("sample_rate", 0, 8000, 48_000))

    def refuse(self, *names: str) -> None:
        """Parameters that the address does not have."""
        for name in names:
            if name in self._query:
                raise OptionError(f"Unknown query parameter: {name}")


@dataclass(frozen=True, slots=True)
class V1Options:
    """What ``/v1/listen`` was asked for."""

    encoding: str
    sample_rate: int
    interim_results: bool
    vad_events: bool
    punctuate: bool
    endpointing: float | None
    """Seconds; None: off."""
    utterance_end: float | None
    keyterms: bool
    """Whether the model takes them."""
    understands: bool
    """Whether the caller's language is the one asked for. If not, no words come back, and no
    error: that is what the service does."""


def v1(query: Query) -> V1Options:
    """Raises OptionError."""
    options = Options(query)
    model = options.text("model", "base")
    if not model.startswith(("nova-3", "nova-2", "nova", "enhanced", "base")):
        raise OptionError(_NO_MODEL)
    language = options.text("language", "en")
    if model == "nova-2-phonecall" and not language.startswith("en"):
        raise OptionError(_NO_MODEL)
    if query.get("keyterm") and not model.startswith("nova-3"):
        raise OptionError("Keyterm prompting is only available with Nova-3 models.")
    encoding, rate = options.encoding()
    interim = options.flag("interim_results")
    utterance_end = options.number("utterance_end_ms", 0, 0, 5000) / 1000
    if utterance_end and (not interim or utterance_end < 1):
        raise OptionError("utterance_end_ms needs interim_results=true, and at least 1000")
    off = options.text("endpointing", "10") == "false"
    endpointing = None if off else options.number("endpointing", 10, 0, 10_000) / 1000
    return V1Options(
        encoding=encoding,
        sample_rate=rate,
        interim_results=interim,
        vad_events=options.flag("vad_events"),
        punctuate=options.flag("punctuate") or options.flag("smart_format"),
        endpointing=None if endpointing is None else max(endpointing, BREATH),
        utterance_end=utterance_end or None,
        keyterms=model.startswith("nova-3"),
        understands=language.split("-")[0] in _FRENCH,
    )


NEVER: Final = 1.0  #: eot_threshold of a client that ends turns itself


@dataclass(frozen=True, slots=True)
class Thresholds:
    """When Flux takes a turn for over."""

    eot: float = 0.7
    eager: float | None = None
    timeout: float = 5.0
    """Seconds."""

    def check(self) -> None:
        """Raises OptionError."""
        if not 0.5 <= self.eot <= 0.9 and self.eot != NEVER:
            raise OptionError("eot_threshold must be from 0.5 to 0.9, or 1.0")
        if self.eager is not None and not 0.3 <= self.eager <= self.eot:
            raise OptionError("eager_eot_threshold must be from 0.3 to eot_threshold")
        if not 0.5 <= self.timeout <= 10:
            raise OptionError("eot_timeout_ms must be from 500 to 10000")


@dataclass(frozen=True, slots=True)
class V2Options:
    """What ``/v2/listen`` was asked for."""

    encoding: str
    sample_rate: int
    thresholds: Thresholds
    hints: tuple[str, ...]
    keyterms: tuple[str, ...]
    understands: bool


def v2(query: Query) -> V2Options:
    """Raises OptionError."""
    options = Options(query)
    model = options.text("model", "")
    if model not in ("flux-general-en", "flux-general-multi"):
        raise OptionError(_NO_MODEL)
    options.refuse(
        "language", "vad_events", "endpointing", "smart_format", "punctuate", "interim_results",
        "utterance_end_ms",
    )  # fmt: skip
    hints = tuple(query.get("language_hint", ()))
    multilingual = model == "flux-general-multi"
    if hints and not multilingual:
        raise OptionError("language_hint is only supported with flux-general-multi")
    eager = options.number("eager_eot_threshold", 0, 0, 1) or None
    thresholds = Thresholds(
        options.number("eot_threshold", 0.7, 0, 1),
        eager,
        options.number("eot_timeout_ms", 5000, 0, 60_000) / 1000,
    )
    thresholds.check()
    encoding, rate = options.encoding()
    return V2Options(
        encoding=encoding,
        sample_rate=rate,
        thresholds=thresholds,
        hints=hints,
        keyterms=tuple(query.get("keyterm", ())),
        understands=multilingual and (not hints or "fr" in hints),
    )


@dataclass(frozen=True, slots=True)
class SpeakOptions:
    """What ``/v1/speak`` was asked for."""

    model: str
    encoding: str
    sample_rate: int
    container: str


def speak(query: Query, *, streaming: bool) -> SpeakOptions:
    """Raises OptionError."""
    options = Options(query)
    model = options.text("model", "aura-asteria-en")
    if not model.startswith("aura-"):
        raise OptionError("No such model found.")
    encoding = options.text("encoding", "linear16" if streaming else "mp3")
    known = (*codec.WIDTHS, *(() if streaming else ("mp3",)))
    if encoding not in known:
        raise OptionError(f"encoding {encoding!r} is not one of {', '.join(known)}")
    default = 24_000 if encoding == "linear16" else 22_050 if encoding == "mp3" else 8_000
    rate = int(options.number("sample_rate", default, 8000, 48_000))
    if rate not in _SPEAK_RATES[encoding]:
        raise OptionError(f"sample_rate {rate} is not supported with encoding {encoding}")
    container = options.text("container", "none" if streaming or encoding == "mp3" else "wav")
    return SpeakOptions(model, encoding, rate, container)
