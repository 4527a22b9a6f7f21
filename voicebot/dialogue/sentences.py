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
