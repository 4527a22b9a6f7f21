"""Text to the phonemes Kokoro was trained on, through the espeak-ng program.

espeak-ng is run as a separate program (it is GPL-3) and only for phonemes; its own voice is
never heard. One run takes the words of a whole clause, one stretch between punctuation marks a
line, because Kokoro takes its pauses and its melody from the marks, which espeak-ng drops.
"""

from __future__ import annotations

import re
import subprocess

_MARKS = re.compile(r"\s*([;:,.!?…—]+)\s*")
#: A number read out in groups of two digits, as telephone numbers are written in French. With
#: pauses between them our own recogniser gets 52 of 60 pairs right, without them 27.
_DIGIT_PAIRS = re.compile(r"(?<![\d.,])\d\d(?: \d\d)+(?![\d.,]\d|\d)")
_PLAIN = str.maketrans({"’": "'", "‘": "'", "«": "“", "»": "”", "\u00a0": " ", "\u202f": " "})
_FLAG = re.compile(r"\([a-z^-]+\)")  # "(en)" where espeak-ng changes language for a word
#: Sounds that Kokoro writes with one sign (hexgrad misaki: the espeak-to-Kokoro table).
_JOINED = {
    "d^z": "ʣ", "d^ʒ": "ʤ", "t^s": "ʦ", "t^ʃ": "ʧ",
    "a^ɪ": "I", "a^ʊ": "W", "e^ɪ": "A", "o^ʊ": "O", "ə^ʊ": "Q", "ɔ^ɪ": "Y",
}  # fmt: skip


class PhonemeError(Exception):
    """espeak-ng is missing or failed. The text is not in the message."""


def spell(text: str, respellings: tuple[tuple[str, str], ...] = ()) -> str:
    """*text* written so that it will be read well.

    Replaces whole words of *respellings* whatever their case, and puts a comma, which is a
    small pause, between the pairs of a number.
    """
    text = text.translate(_PLAIN)
    for word, spelling in respellings:
        text = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", spelling, text, flags=re.IGNORECASE)
    return _DIGIT_PAIRS.sub(lambda pairs: pairs.group().replace(" ", ", "), text)


def phonemes(text: str, language: str) -> str:
    """Phonemes of *text* with its punctuation. Raises PhonemeError."""
    pieces = _MARKS.split(text.strip())
    words, marks = pieces[0::2], [*pieces[1::2], ""]
    sounds = iter(_espeak([piece for piece in words if piece.strip()], language))
    spoken = (
        (_to_kokoro(next(sounds)) if piece.strip() else "") + (mark and mark + " ")
        for piece, mark in zip(words, marks, strict=True)
    )
    return "".join(spoken).strip()


def _to_kokoro(sounds: str) -> str:
    sounds = _FLAG.sub("", sounds)
    for tied, sign in _JOINED.items():
        sounds = sounds.replace(tied, sign)
    return re.sub(r"[\^\-_]", "", sounds).replace("r", "ʁ").strip()


def _espeak(pieces: list[str], language: str) -> list[str]:
    """Phonemes of each piece. espeak-ng makes lines of its own at "M." and the like."""
    if not pieces:
        return []
    lines = _run("\n".join(pieces), language)
    if len(lines) == len(pieces):
        return lines
    return [" ".join(_run(piece, language)) for piece in pieces]


def _run(text: str, language: str) -> list[str]:
    command = ["espeak-ng", "-q", "--ipa", "--tie=^", "-b", "1", "-v", language]
    try:
        done = subprocess.run(
            command, input=text, capture_output=True, encoding="utf-8", timeout=5, check=True
        )
    except FileNotFoundError:
        raise PhonemeError("espeak-ng is not installed: apt-get install espeak-ng") from None
    except subprocess.TimeoutExpired:
        raise PhonemeError("espeak-ng did not answer within 5 s") from None
    except subprocess.CalledProcessError as error:
        reason = error.stderr.strip() or f"exit status {error.returncode}"
        raise PhonemeError(f"espeak-ng failed for language {language!r}: {reason}") from None
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]
