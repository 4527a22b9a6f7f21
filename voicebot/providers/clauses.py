"""Cutting a sentence into clauses, so that the first can be heard while the rest is made.

Pure. A clause ends at a punctuation mark, and around a number that is read out in groups, which
takes longer to say than most sentences: it begins a clause of its own and is halved. A very short
clause is left with its neighbour: alone it would be read with the melody of a whole sentence.
"""

from __future__ import annotations

import re

LEAST = 10  #: characters that make a clause worth being read alone
_MARK = re.compile(r"(?<=[;:,.!?…])\s+(?=\w)")
#: Three groups or more, as a telephone number has.
_NUMBER = re.compile(r"(?<!\S)\d\d(?: \d\d){2,}(?!\S*\d)")


def split(sentence: str) -> list[str]:
    """The clauses of *sentence*, in order; none if it is blank.

    Only a comma is added, in the middle of a number.
    """
    text = " ".join(sentence.split())
    clauses: list[str] = []
    start = 0
    for number in _NUMBER.finditer(text):
        clauses += _at_marks(text[start : number.start()].rstrip())
        groups = number.group().split()
        half = (len(groups) + 1) // 2
        clauses.append(" ".join(groups[:half]) + ",")
        start = number.end() - len(" ".join(groups[half:]))
    return clauses + _at_marks(text[start:])


def _at_marks(text: str) -> list[str]:
    clauses: list[str] = []
    start = 0
    for gap in _MARK.finditer(text):
        if gap.start() - start >= LEAST and len(text) - gap.end() >= LEAST:
            clauses.append(text[start : gap.start()])
            start = gap.end()
    return [*clauses, text[start:]] if text[start:] else clauses
