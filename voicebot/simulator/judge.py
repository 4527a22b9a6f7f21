"""Does a finished call hold what its scenario promises? Pure; every failure is one sentence.

Failures are about behaviour: what was said, where the call went, how it ended. What a busy
machine can spoil (latency, gaps, level) is a warning, so that a slow host does not look like a
broken dialogue.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from voicebot.simulator.activity import Segment
from voicebot.simulator.leg import End
from voicebot.simulator.measure import Measures, Response
from voicebot.simulator.scenario import Scenario, Words
from voicebot.simulator.transcript import Entry, Who

#: Speech of the bot should lie between these (dBFS RMS): quieter is hard to hear on a telephone.
QUIETEST, LOUDEST = -30.0, -10.0

#: A pause longer than this inside an utterance sounds as if it were over.
LONGEST_PAUSE_SECONDS = 0.6
_BAD_MANNERS = {
    Response.NOT_YIELDED: "the bot talked on",
    Response.PREMATURE: "the bot spoke before the customer had finished",
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a call when it is over."""

    end: End
    fault: str
    outcome: str | None
    """None if the event feed did not tell."""
    entries: Sequence[Entry]
    unanswered: Sequence[str]
    measures: Measures
    feed_fault: str = ""

    def texts(self, who: Who) -> list[str]:
        return [entry.text for entry in self.entries if entry.who is who]


def failures(scenario: Scenario, facts: Facts) -> list[str]:
    """Why the call is not what the scenario says; empty if it is."""
    found = [*_ending(scenario, facts), *_speech(scenario, facts)]
    if found and facts.unanswered:
        found.append(f"the customer had no answer to: {' / '.join(facts.unanswered)}")
    return found


def _ending(scenario: Scenario, facts: Facts) -> list[str]:
    expect, found = scenario.expect, []
    if facts.end is End.LIMIT:
        found.append(f"the call was not over after {scenario.limit:g} s")
    if facts.end is End.LOST:
        found.append(facts.fault or "the service broke the connection")
    if facts.feed_fault:
        found.append(facts.feed_fault)
    if expect.outcome and facts.outcome not in expect.outcome:
        found.append(
            f"outcome {facts.outcome or 'unknown'}, expected {' or '.join(expect.outcome)}"
        )
    if expect.ended_by and facts.end.value != expect.ended_by:
        found.append(f"ended by {facts.end.value}, expected {expect.ended_by}")
    missing = _first_missing(expect.states, facts.texts(Who.STATE))
    if missing:
        visited = " → ".join(facts.texts(Who.STATE)) or "none"
        found.append(f"state {missing} was not visited in its place; visited: {visited}")
    if expect.max_duration is not None and facts.measures.duration > expect.max_duration:
        found.append(f"lasted {facts.measures.duration:.1f} s, expected {expect.max_duration:g}")
    return found


def _speech(scenario: Scenario, facts: Facts) -> list[str]:
    expect, found = scenario.expect, []
    for words in expect.bot_says:
        found += _spoken(words, facts)
    said, heard = facts.texts(Who.BOT), facts.texts(Who.HEARD)
    for pattern in expect.bot_never_says:
        found += [f"the bot said what it must not: {text!r}" for text in _matching(pattern, said)]
    understood = " / ".join(heard) or "nothing"
    found += [
        f"the bot never understood {pattern.pattern!r}; it understood: {understood}"
        for pattern in expect.bot_hears
        if not _matching(pattern, heard)
    ]
    done = len(facts.measures.barge_ins)
    if done < expect.barge_ins:
        found.append(f"the bot yielded to the customer {done} times, expected {expect.barge_ins}")
    return found


def _spoken(words: Words, facts: Facts) -> list[str]:
    entries = [e for e in facts.entries if e.who is Who.BOT and words.pattern.search(e.text)]
    if not entries:
        return [f"the bot never said {words.pattern.pattern!r}"]
    if words.pause_before is None:
        return []
    low, high = words.pause_before
    pauses = [pause_before(entry.at, facts.measures.bot_segments) for entry in entries]
    if any(pause is not None and low <= pause <= high for pause in pauses):
        return []
    measured = ", ".join("no sound" if p is None else f"{p:.1f} s" for p in pauses)
    return [f"silence before {words.pattern.pattern!r}: {measured}; expected {low:g} to {high:g} s"]


def pause_before(at: float, segments: Sequence[Segment]) -> float | None:
    """Silence of the bot before the utterance that began to play at about *at*."""
    for index, segment in enumerate(segments):
        if segment.end > at:
            previous = segments[index - 1].end if index else 0.0
            return segment.start - previous
    return None


def warnings(scenario: Scenario, facts: Facts) -> list[str]:
    """What was not as it should be, but may be the machine's doing."""
    measures, expect = facts.measures, scenario.expect
    found = []
    for turn in measures.turns:
        if turn.response in _BAD_MANNERS:
            found.append(f"turn {turn.number} ({turn.said}): {_BAD_MANNERS[turn.response]}")
        elif expect.max_latency and turn.latency and turn.latency > expect.max_latency:
            found.append(
                f"turn {turn.number}: answered after {turn.latency:.2f} s, "
                f"expected {expect.max_latency:g} s"
            )
    found += [
        f"the bot paused {pause:.1f} s within an utterance ({at:.1f} s into the call)"
        for at, pause in hesitations(facts)
    ]
    if measures.gaps:
        worst = max(gap.seconds for gap in measures.gaps)
        found.append(f"{len(measures.gaps)} gaps from late frames, the longest {worst:.2f} s")
    if measures.dropouts:
        found.append(f"{len(measures.dropouts)} dropouts inside the bot's speech")
    if measures.bot.clipped:
        found.append(f"{measures.bot.clipped} clipped samples in the bot's speech")
    rms = measures.bot.speech_rms
    if rms is not None and not QUIETEST <= rms <= LOUDEST:
        found.append(f"the bot's speech is at {rms:.0f} dBFS; {QUIETEST:g} to {LOUDEST:g} is good")
    return found


def hesitations(facts: Facts) -> list[tuple[float, float]]:
    """When, and for how long, the bot fell silent within an utterance though nobody spoke."""
    begins = [entry.at for entry in facts.entries if entry.who is Who.BOT]
    answers = facts.measures.turns
    found = []
    for one, following in pairwise(facts.measures.bot_segments):
        pause = following.start - one.end
        # The feed tells of an utterance a moment before or after its first sound.
        begun = any(one.end - 0.05 < at < following.start + 0.3 for at in begins)
        spoke = any(turn.start < following.start and one.start < turn.end for turn in answers)
        if pause > LONGEST_PAUSE_SECONDS and not begun and not spoke:
            found.append((one.end, pause))
    return found


def _first_missing(wanted: Sequence[str], visited: Sequence[str]) -> str | None:
    rest = iter(state.casefold() for state in visited)
    return next((state for state in wanted if state.casefold() not in rest), None)


def _matching(pattern: re.Pattern[str], texts: Sequence[str]) -> list[str]:
    return [text for text in texts if pattern.search(text)]
