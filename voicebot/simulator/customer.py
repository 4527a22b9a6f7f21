"""The simulated customer: when to speak, what to say, when to press keys or hang up.

Pure: no sockets, no clock, no asyncio; whoever owns the line (AudioSocket, SIP) passes ``now`` in
seconds of one monotonic clock. The customer knows the bot by two senses. *Ears*: every frame
received goes to :meth:`Customer.frame_heard`, and its energy says whether the bot is speaking.
*Words*: the service's event feed goes to :meth:`Customer.bot_said`, once an utterance, when it
starts to play. Once in each 20 ms slot the line asks :meth:`Customer.next_frame`,
:meth:`Customer.next_digit` and :meth:`Customer.wants_hangup`, in that order.

A reply goes through three stages. *Choice*: the bot has been silent for the customer's politeness,
and the words it said since the last choice match a rule. *Plan*: the chosen answer waits for the
reaction time; if the bot goes on talking meanwhile the plan is dropped and its words are judged
together with the new ones. *Doing*: speech, then keys, then hanging up. An interruption is chosen
as soon as the words are known, and timed from the first sound of them.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from voicebot.audio.pcm import FRAME_BYTES, FRAME_SECONDS, SILENCE_FRAME, seconds, silence
from voicebot.simulator.lines import Line, mix
from voicebot.simulator.scenario import Action, Rule, Scenario

#: Peak of a frame above which the bot is audible: -42 dBFS. Speech peaks 30 dB above it; comfort
#: noise and the idle steps of A-law lie below.
AUDIBLE_PEAK = 260
#: No voice says more characters than this in a second of sound. A person who has heard less knows
#: that the sentence goes on, and waits out a pause in the middle of it, but not for ever.
MOST_CHARACTERS = 30
PATIENCE_SECONDS = 3.0
#: A person dials four or five digits a second at best.
KEY_SECONDS = 0.28
_TYPOGRAPHY = str.maketrans({"\u2019": "'", "\u00a0": " ", "\u202f": " "})
_GOLDEN = 0.618_033_988_749_895
_NUMBER = re.compile(r"\d(?:[\s.\-]*\d){5,}")


class Kind(Enum):
    """How an answer was given."""

    SPEECH = "speech"
    KEYS = "keys"


@dataclass(frozen=True, slots=True)
class Answer:
    """One thing the customer said or dialled."""

    kind: Kind
    text: str
    start: float
    """First audible sample, or first key."""
    end: float
    """Last audible sample, or last key: from here on the customer waits for the bot."""
    question: str
    """The words of the bot that it answers, as far as they are known."""


@dataclass(frozen=True, slots=True)
class _Plan:
    index: int
    rule: Rule
    action: Action
    question: str
    at: float
    interrupts: bool


def is_audible(pcm: bytes) -> bool:
    """Whether *pcm* holds more than background noise."""
    samples = memoryview(pcm).cast("h")
    return bool(samples) and (max(samples) > AUDIBLE_PEAK or min(samples) < -AUDIBLE_PEAK)


def plain(text: str) -> str:
    """*text* with typewriter apostrophes and spaces, so that rules match however it is set."""
    return text.translate(_TYPOGRAPHY)


def spoken_length(text: str) -> int:
    """Characters of *text* as it is spoken: a digit stands for a word of five."""
    return len(text) + 4 * sum(map(str.isdigit, text))


def numbers_in(text: str) -> list[str]:
    """The numbers of six digits or more in *text*, without their spaces, dots and dashes."""
    return [re.sub(r"\D", "", found) for found in _NUMBER.findall(text)]


def _answer_to(text: str, rule: Rule) -> Action | None:
    """What *rule* answers to *text*, if it applies."""
    if rule.when is None or not rule.when.search(text):
        return None
    if not rule.expect_number:
        return rule.action
    numbers = numbers_in(text)
    if not numbers:
        return None
    return rule.action if rule.expect_number in numbers else rule.if_wrong


class Customer:
    """Plays one scenario. *lines* has the audio of each ``scenario.lines()``.

    *seed* varies the reaction times from call to call, repeatably. *noise* is a loop of frames
    that replaces digital silence (see :func:`voicebot.simulator.lines.noise_frames`).
    """

    def __init__(
        self,
        scenario: Scenario,
        lines: Mapping[str, Line],
        *,
        now: float,
        seed: int = 0,
        noise: Sequence[bytes] = (),
    ) -> None:
        self._scenario = scenario
        self._lines = lines
        self._seed = seed
        self._noise = noise
        self._uses = [0] * len(scenario.rules)
        self._next_step = 0
        self._decisions = 0
        self._slot = 0
        self._last_audible = now
        self._onset: float | None = None
        self._words: list[str] = []
        self._words_at = now
        self._heard = 0.0  # seconds of sound since the last choice
        self._plan: _Plan | None = None
        self._frames: deque[bytes] = deque()
        self._keys: deque[str] = deque()
        self._next_key = 0.0
        self._hang_up_after = False
        self.answers: list[Answer] = []
        self.unanswered: list[str] = []
        """Words of the bot that no rule matched: the first thing to read when a call fails."""

    # -- what the customer perceives

    def frame_heard(self, pcm: bytes, now: float) -> None:
        """Take the next piece of the bot's audio, of any even size."""
        if is_audible(pcm):
            self._last_audible = now
            self._heard += seconds(pcm)
            if self._onset is None:
                self._onset = now

    def bot_said(self, text: str, now: float) -> None:
        """The bot starts to say *text*."""
        self._words.append(plain(text))
        self._words_at = now
        if self._plan is None or not self._plan.interrupts:
            self._onset = None
        if self._plan and not self._plan.interrupts and not self._plan.action.silent:
            self._plan = None
        if self._plan is None and not self._busy():
            choice = self._choose()
            if choice and self._scenario.rules[choice[0]].interrupt_after is not None:
                self._make_plan(*choice, at=now, interrupts=True)

    def bot_cut(self, text: str, now: float) -> None:
        """The bot fell silent for us after *text*; what it did not say is not expected any more."""
        if self._words:
            self._words[-1] = plain(text)
            self._words_at = now

    # -- what the customer does

    def next_frame(self, now: float) -> bytes:
        """One frame of what the customer sends in the slot that begins at *now*."""
        self._slot += 1
        if not self._busy():
            self._consider(now)
        if self._frames:
            return self._frames.popleft()
        return self._noise[self._slot % len(self._noise)] if self._noise else SILENCE_FRAME

    def next_digit(self, now: float) -> str | None:
        """The key pressed in this slot, if any."""
        if self._frames or not self._keys or now < self._next_key:
            return None
        self._next_key = now + KEY_SECONDS
        return self._keys.popleft()

    def wants_hangup(self, now: float) -> bool:
        """Whether the customer hangs up in this slot; stays true."""
        return self._hang_up_after and not self._frames and not self._keys

    # -- choosing

    def _busy(self) -> bool:
        return bool(self._frames or self._keys or self._hang_up_after)

    def _consider(self, now: float) -> None:
        if self._plan is None:
            self._choose_when_silent(now)
        plan = self._plan
        if plan is None:
            return
        if plan.interrupts:
            after = plan.rule.interrupt_after or 0.0
            if self._onset is not None and now >= self._onset + after:
                self._act(plan, now)
        elif now >= plan.at and self._quiet(now) >= self._politeness(plan.rule):
            self._act(plan, now)

    def _choose_when_silent(self, now: float) -> None:
        """Choose an answer if the bot has finished speaking, or note that there is none."""
        if not (self._words if self._scenario.follows_words else self._heard):
            return
        unsaid = sum(map(spoken_length, self._words)) > self._heard * MOST_CHARACTERS
        if unsaid and self._quiet(now) < PATIENCE_SECONDS:
            return
        choice = self._choose()
        if self._quiet(now) < self._politeness(self._scenario.rules[choice[0]] if choice else None):
            return
        if choice is None:
            self.unanswered += self._words
            self._forget_words()
            return
        self._make_plan(*choice, at=now + self._reaction() + choice[1].silent, interrupts=False)

    def _choose(self) -> tuple[int, Action] | None:
        """The rule or step that comes into question now, by its index, and what it makes us do."""
        rules = self._scenario.rules
        if not self._scenario.follows_words:
            step = self._next_step
            return (step, rules[step].action) if step < len(rules) else None
        text = " ".join(self._words)
        for index, rule in enumerate(rules):
            if rule.times is not None and self._uses[index] >= rule.times:
                continue
            action = _answer_to(text, rule)
            if action is not None:
                return index, action
        return None

    def _make_plan(self, index: int, action: Action, *, at: float, interrupts: bool) -> None:
        rule = self._scenario.rules[index]
        self._plan = _Plan(index, rule, action, " ".join(self._words), at, interrupts)

    def _politeness(self, rule: Rule | None) -> float:
        if rule is not None and rule.politeness is not None:
            return rule.politeness
        return self._scenario.caller.politeness

    def _quiet(self, now: float) -> float:
        """Seconds of silence; words that have just begun to play count as sound."""
        return now - max(self._last_audible, self._words_at) + FRAME_SECONDS / 1000

    def _reaction(self) -> float:
        """Spread evenly over the customer's range, without chance: a rerun is the same call."""
        self._decisions += 1
        low, high = self._scenario.caller.reaction
        return low + (high - low) * ((self._seed + self._decisions) * _GOLDEN % 1.0)

    def _forget_words(self) -> None:
        self._words.clear()
        self._heard = 0.0

    # -- doing

    def _act(self, plan: _Plan, now: float) -> None:
        self._plan = None
        self._forget_words()
        self._uses[plan.index] += 1
        self._next_step += 1
        action = plan.action
        spoken = self._speak(action, plan.question, now) if action.say else now
        if action.keys:
            self._keys.extend(action.keys)
            self._next_key = spoken
            last = spoken + KEY_SECONDS * (len(action.keys) - 1)
            self.answers.append(Answer(Kind.KEYS, action.keys, spoken, last, plan.question))
        self._hang_up_after = action.hangup

    def _speak(self, action: Action, question: str, now: float) -> float:
        """Queue the frames of an utterance; return the time at which the last one ends."""
        lines = [self._lines[text] for text in action.say]
        pcm = silence(action.pause).join(line.pcm for line in lines)
        end = now + seconds(pcm) - seconds(lines[-1].pcm) + lines[-1].speech_end
        start = now + lines[0].speech_start
        pcm += bytes(-len(pcm) % FRAME_BYTES)
        if self._noise:
            pcm = mix(pcm, self._noise)
        self._frames.extend(pcm[i : i + FRAME_BYTES] for i in range(0, len(pcm), FRAME_BYTES))
        text = " … ".join(action.say)
        self.answers.append(Answer(Kind.SPEECH, text, start, end, question))
        return now + seconds(pcm)
