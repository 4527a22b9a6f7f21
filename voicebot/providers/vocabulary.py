"""Whisper's byte-level vocabulary: text to token numbers and back.

Standard library only. Decoding is exact. Encoding is byte-pair merging by the published merge
table; only the rule that first cuts text into words is simplified (it knows letters, digits
and the rest, not every Unicode class), which is exact for ordinary sentences.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

#: An English ending, a word with the space before it, digits, other marks, or spaces.
_WORDS = re.compile(r"'(?:s|t|re|ve|m|ll|d)| ?[^\W\d_]+| ?\d+| ?(?:[^\w\s]|_)+|\s+(?!\S)|\s+")


def _printable_bytes() -> dict[int, str]:
    """GPT-2's table: each byte as one visible character, so that tokens are plain text."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {byte: chr(byte) for byte in visible}
    hidden = (byte for byte in range(0x100) if byte not in table)
    table.update({byte: chr(0x100 + n) for n, byte in enumerate(hidden)})
    return table


class Vocabulary:
    """The tokens of one Whisper model, read from its ``tokenizer.json``."""

    def __init__(self, tokenizer: Path) -> None:
        published = json.loads(tokenizer.read_text(encoding="utf-8"))
        self._ids: dict[str, int] = dict(published["model"]["vocab"])
        merges = (m.split(" ") if isinstance(m, str) else m for m in published["model"]["merges"])
        self._ranks = {(left, right): rank for rank, (left, right) in enumerate(merges)}
        self._special: dict[str, int] = {t["content"]: t["id"] for t in published["added_tokens"]}
        self._to_text = _printable_bytes()
        to_byte = {char: byte for byte, char in self._to_text.items()}
        first_special = min(self._special.values())
        self._bytes = {
            number: bytes(to_byte[char] for char in token)
            for token, number in self._ids.items()
            if number < first_special
        }
        self._merge = lru_cache(maxsize=1024)(self._merged)

    def special(self, name: str) -> int:
        """Number of a control token such as ``<|fr|>``. KeyError if the model has none."""
        return self._special[name]

    def decode(self, tokens: list[int]) -> str:
        """Text of *tokens*; control tokens are left out, half characters become U+FFFD."""
        data = b"".join(self._bytes.get(token, b"") for token in tokens)
        return data.decode("utf-8", "replace").strip()

    def encode(self, text: str) -> list[int]:
        """Token numbers of *text*."""
        return [
            self._ids[token]
            for word in _WORDS.findall(text)
            for token in self._merge("".join(self._to_text[byte] for byte in word.encode()))
        ]

    def single(self, word: str) -> int | None:
        """The one token that is *word* at the start of a sentence, or None if it takes more."""
        tokens = self.encode(" " + word)
        return tokens[0] if len(tokens) == 1 else None

    def _merged(self, word: str) -> tuple[str, ...]:
        parts = list(word)
        unranked = len(self._ranks)
        while len(parts) > 1:
            best = min(pairwise(parts), key=lambda pair: self._ranks.get(pair, unranked))
            if best not in self._ranks:
                break
            joined: list[str] = []
            index = 0
            while index < len(parts):
                if tuple(parts[index : index + 2]) == best:
                    joined.append("".join(best))
                    index += 2
                else:
                    joined.append(parts[index])
                    index += 1
            parts = joined
        return tuple(parts)
