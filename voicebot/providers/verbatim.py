"""Did a voice that may choose its words say those that it was given, and no others?

Pure. A voice model writes down what it says, a little ahead of the sound. As long as that is the
beginning of the text, as much sound may be played as can hold those words at the most hurried
pace; what comes beyond them has not been checked yet. So a caller never hears a word that nobody
wrote, and a sentence that was checked to its end is heard to its end.
"""

from __future__ import annotations

import unicodedata

FASTEST = 25.0
"""Letters and digits in a second of the most hurried speech; French is read at about 15."""


class Verbatim:
    """One sentence. Punctuation, case and spaces are not heard, so they do not count."""

    def __init__(self, text: str) -> None:
        self._expected = _audible(text)
        self._said = ""
        self._whole = False

    def heard(self, words: str) -> bool:
        """It says it goes on with *words*; whether that is still what it was given."""
        self._said += words
        return self._expected.startswith(_audible(self._said))

    def ended(self, words: str) -> bool:
        """It says that *words* are all it said; whether that is what it was given."""
        self._whole = _audible(words) == self._expected
        return self._whole

    @property
    def seconds(self) -> float:
        """Of its sound so far, from the beginning, so many may be played."""
        return float("inf") if self._whole else len(_audible(self._said)) / FASTEST


def _audible(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKC", text).casefold() if c.isalnum())
