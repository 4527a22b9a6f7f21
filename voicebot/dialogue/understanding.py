"""What an utterance means, by the script's rules: no model, no wait, no cost.

Everything that can be found is found at once (intents, the kind of problem, a telephone number, a
name); which of it counts depends on the question and is decided in :mod:`machine`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from voicebot.dialogue.numbers import HeardNumber, find_phone
from voicebot.dialogue.script import Intent, Script
from voicebot.dialogue.words import Match, Written, tokens, written

SHORT_ANSWER_WORDS = 4
"""Up to so many words, the recogniser's own yes/no verdict may decide (see :func:`understand`)."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What was found in one utterance."""

    words: tuple[str, ...]
    intents: frozenset[Intent]
    yes: bool | None
    problem: str | None
    heard_number: HeardNumber | None
    name: str | None
    only_present: bool = False
    """Nothing but "yes, I am here"."""
    introduced: bool = False
    """The name follows words that say that it is one."""

    @property
    def only_a_name(self) -> bool:
        """Nothing but a few words that may be a name; or anything else."""
        informative = self.heard_number or self.intents or self.yes is not None
        return self.name is not None and not informative and not self.introduced

    @property
    def number(self) -> str | None:
        """A complete telephone number."""
        return self.heard_number.number if self.heard_number else None

    @property
    def wants_repeat(self) -> bool:
        """A "pardon" among other information is politeness."""
        informative = self.number or self.problem or self.yes is not None
        return Intent.REPEAT in self.intents and not informative

    @property
    def only_backchannel(self) -> bool:
        """ "Mm-hm", "d'accord": heard, but nothing said."""
        also = {Intent.BACKCHANNEL, Intent.YES, Intent.PRESENT}
        return Intent.BACKCHANNEL in self.intents and self.intents <= also

    @property
    def only_agrees(self) -> bool:
        """ "C'est ça", "voilà": a yes, and nothing else."""
        also = {Intent.BACKCHANNEL, Intent.YES, Intent.PRESENT}
        informative = self.number or self.problem
        return self.yes is True and not informative and self.intents <= also


def understand(script: Script, text: str, engine_yes: bool | None = None) -> Meaning:
    """The meaning of *text*; *engine_yes* is the recogniser's own verdict, if it has one.

    Words outweigh the verdict: it decides only where they are silent or contradict each other.
    """
    said = tokens(text)
    found = script.phrases.find(said)
    labels = {match.label for match in found}
    problems = [m.label.removeprefix("problem:") for m in found if m.label.startswith("problem:")]
    heard_number = find_phone(said, script.numbers, script.phone)
    return Meaning(
        words=said,
        intents=frozenset(intent for intent in Intent if intent.value in labels),
        yes=_polarity(found, len(said), engine_yes),
        problem=problems[0] if problems else None,
        heard_number=heard_number,
        name=_name(script, text, said),
        only_present=_only_present(found),
        introduced=any(m.label == "introduction" for m in script.name_words.find(said)),
    )


def _only_present(found: list[Match]) -> bool:
    def words(matches: list[Match]) -> set[int]:
        return {i for m in matches for i in range(m.start, m.start + m.length)}

    present = words([m for m in found if m.label == Intent.PRESENT.value])
    return bool(present) and words(found) <= present


def _polarity(found: list[Match], length: int, engine_yes: bool | None) -> bool | None:
    yes = [m for m in found if m.label == Intent.YES.value]
    no = [m for m in found if m.label == Intent.NO.value]
    if yes and no:
        # "Oui, mais ça ne marche pas": the more explicit of the two counts, then the first.
        longest_yes, longest_no = (max(m.length for m in side) for side in (yes, no))
        if longest_yes != longest_no:
            return longest_yes > longest_no
        return yes[0].start < no[0].start
    if yes or no:
        return bool(yes)
    return engine_yes if 0 < length <= SHORT_ANSWER_WORDS else None


def _name(script: Script, text: str, said: tuple[str, ...]) -> str | None:
    """The caller's name: what follows "my name is", or else what is left of a short answer when
    numbers and the words around a name are taken away."""
    words = written(text)
    if tuple(word.plain for word in words) != said:
        words = tuple(Written(word, word, False) for word in said)  # odd characters inside a word
    dropped: set[int] = set()
    introduced: int | None = None
    for match in script.name_words.find(said):
        span = range(match.start, match.start + match.length)
        dropped |= set(span)
        if match.label == "introduction":
            introduced = span.stop
    for _, start, end in script.numbers.groups(said):
        dropped |= set(range(start, end))
    if introduced is not None:
        rest = _clause(words[introduced:], introduced, dropped)
    else:
        rest = [word.text for i, word in enumerate(words) if i not in dropped]
    if not 1 <= len(rest) <= script.name_most_words or not all(map(_is_name_word, rest)):
        return None
    return " ".join(word[:1].upper() + word[1:] for word in rest)


def _clause(words: Sequence[Written], first: int, dropped: set[int]) -> list[str]:
    """The words up to the end of the clause, or to one that is no part of a name."""
    clause: list[str] = []
    for i, word in enumerate(words, first):
        if i in dropped:
            if clause:
                break
            continue
        clause.append(word.text)
        if word.ends_clause:
            break
    return clause


def _is_name_word(word: str) -> bool:
    letters = word.replace("-", "")
    return len(letters) >= 2 and letters.isalpha()
