"""Text to sentences: the unit that is synthesised, cached, played and, when cut, remembered."""

from __future__ import annotations

import re

# A stop, any closing quote, then white space before something that can begin a sentence.
_END = re.compile(r"(?<=[.!?…])[»”\"')]*\s+(?=[^\s\d])")


def split(text: str) -> tuple[str, ...]:
    """Sentences of *text*, white space normalised; empty for blank text."""
    text = " ".join(text.split())
    sentences: list[str] = []
    for piece in _END.split(text):
        # French sets a space before "!" and "?": a piece of punctuation alone belongs to the last.
        if sentences and not any(c.isalnum() for c in piece):
            sentences[-1] += f" {piece}"
        elif piece:
            sentences.append(piece)
    return tuple(sentences)


# Where a stream may be cut: after stops and what closes with them, or at a line's end. What comes
# next must have been seen, for it decides.
_CANDIDATE = re.compile(r"([.!?…]+)(?:\s*[»”)\]]+)*\s+(?=\S)|\s*\n\s*(?=\S)")
_LAST_WORD = re.compile(r"[^\W_]+\Z")
_OPENING = "«“¿¡"


class SentenceCutter:
    """Cuts text that arrives in pieces; how it was cut into pieces makes no difference.

    What it returns, joined, is what it was given. *abbreviations* are words, in lower case and
    without their full stop, after which a full stop ends nothing ("mme", "dr").
    """

    def __init__(self, abbreviations: frozenset[str] = frozenset()) -> None:
        self._abbreviations = abbreviations
        self._rest = ""

    def push(self, piece: str) -> list[str]:
        """The sentences that are certain now, with the white space after them."""
        text = self._rest + piece
        cuts = [m.end() for m in _CANDIDATE.finditer(text) if self._ends_sentence(text, m)]
        edges = [0, *cuts]
        self._rest = text[edges[-1] :]
        return [text[a:b] for a, b in zip(edges, cuts, strict=False)]

    def end(self) -> str:
        """Nothing more comes: what is left."""
        rest, self._rest = self._rest, ""
        return rest

    def _ends_sentence(self, text: str, match: re.Match[str]) -> bool:
        stops, following = match[1], text[match.end()]
        if stops is None:
            return True  # a line's end
        if not (following.isupper() or following.isdigit() or following in _OPENING):
            return False
        if stops != ".":
            return True
        word = _LAST_WORD.search(text, 0, match.start())
        if word is None:
            return True
        if word[0].isdigit() and following.isdigit():
            return False  # "06. 12. 34": a number that is read in pairs
        # One letter is an initial ("J. Martin") or part of an abbreviation ("p. ex.").
        initial = len(word[0]) == 1 and word[0].isalpha()
        return not initial and word[0].lower() not in self._abbreviations
