"""Cutting a sentence into clauses, so that the first can be heard while the rest is made.

Pure. A very short clause is left with its neighbour: alone it would be read with the melody of a
whole sentence.
"""

from __future__ import annotations

import re

LEAST = 18  #: characters that make a clause worth being read alone
_BREAK = re.compile(r"(?<=[;:,!?…])\s+(?=[^\W\d_])|(?<=\.)\s+(?=\w)")


def split(sentence: str) -> list[str]:
    """The clauses of *sentence*, in order; none if it is blank.

    A number read out in groups stays whole.
    """
    clauses: list[str] = []
    rest = " ".join(sentence.split())
    start = 0
    for gap in _BREAK.finditer(rest):
        if gap.start() - start >= LEAST and len(rest) - gap.end() >= LEAST:
            clauses.append(rest[start : gap.start()])
            start = gap.end()
    if rest[start:]:
        clauses.append(rest[start:])
    return clauses
