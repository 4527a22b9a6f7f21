"""What one bot says and understands: the checked form of a script file.

:func:`parse` takes the plain data of the file and either returns a frozen :class:`Script` or raises
:class:`ScriptError` with *every* fault found, each naming its place in the file. Nothing here reads
files (see :mod:`voicebot.script_file`) and nothing here is French.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from voicebot.dialogue import sentences
from voicebot.dialogue.numbers import NumberWords, PhonePlan
from voicebot.dialogue.words import PhraseBook


class ScriptError(Exception):
    """A script is wrong; ``faults`` has one sentence for each thing to mend."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class Prompt(Enum):
    """Everything the bot can say; the value is the key in the script file."""

    WELCOME = "welcome"
    WELCOME_BACK = "welcome_back"
    ASK_IDENTITY = "ask_identity"
    ASK_NAME = "ask_name"
    ASK_NUMBER = "ask_number"
    ASK_NUMBER_AGAIN = "ask_number_again"
    CONFIRM_IDENTITY = "confirm_identity"
    CONFIRM_NUMBER = "confirm_number"
    ASK_PROBLEM = "ask_problem"
    ASK_WORKS = "ask_works"
    UNDERSTOOD = "understood"
    RECORDING_STOPPED = "recording_stopped"
    STILL_THERE = "still_there"
    TAKE_YOUR_TIME = "take_your_time"
    ASK_WORKS_AGAIN = "ask_works_again"
    PARDON = "pardon"
    RETRY_IDENTITY = "retry_identity"
    RETRY_NUMBER = "retry_number"
    KEYPAD_NUMBER = "keypad_number"
    RETRY_PROBLEM = "retry_problem"
    RETRY_YES_NO = "retry_yes_no"
    WAIT = "wait"
    TRANSFER = "transfer"
    GIVE_UP_TRANSFER = "give_up_transfer"
    NO_TECHNICIAN = "no_technician"
    TECHNICIAN_BUSY = "technician_busy"
    OFFER_CALLBACK = "offer_callback"
    ASK_CALLBACK_NUMBER = "ask_callback_number"
    CALLBACK_STORED = "callback_stored"
    CALLBACK_FAILED = "callback_failed"
    SOLVED = "solved"
    GOODBYE = "goodbye"
    SILENCE_GOODBYE = "silence_goodbye"
    LIMIT_GOODBYE = "limit_goodbye"
    ERROR = "error"


BLANKS = frozenset({"name", "number", "problem"})
"""What a prompt may leave to be filled in."""


class Intent(Enum):
    """What a caller can mean, whatever was asked; the value is the key in the script file."""

    YES = "yes"
    NO = "no"
    TECHNICIAN = "technician"
    NO_RECORDING = "no_recording"
    REPEAT = "repeat"
    GOODBYE = "goodbye"
    WAIT = "wait"
    DONE = "done"
    PRESENT = "present"
    BACKCHANNEL = "backchannel"
    NAME = "name"


@dataclass(frozen=True, slots=True)
class Problem:
    """A kind of trouble the bot has a solution for."""

    name: str
    key: str
    """The telephone key that selects it."""
    solution: str


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds."""

    after_solution: float
    patience: float
    between_keys: float


@dataclass(frozen=True, slots=True)
class Hours:
    """When technicians work: for each weekday (0 is Monday), pairs of minutes after midnight."""

    timezone: str
    days: tuple[tuple[tuple[int, int], ...], ...]

    def open_at(self, weekday: int, minute: int) -> bool:
        return any(start <= minute < end for start, end in self.days[weekday])


@dataclass(frozen=True, slots=True)
class Recognition:
    """Hints for the speech recogniser."""

    prompt: str
    yes: tuple[str, ...]
    no: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ModelScript:
    """What a language model is told, and what it must not say."""

    system: str
    """The same for every question, complete."""
    questions: Mapping[str, str]
    """What was asked: by the name of each question, in lower case."""
    asks: PhraseBook
    """Words of a caller who asks something."""
    never_says: PhraseBook
    abbreviations: frozenset[str]
    """Words, in lower case and without their full stop, after which it ends no sentence."""


@dataclass(frozen=True, slots=True)
class Script:
    """One bot's words. Immutable, shared by all calls."""

    name: str
    version: str
    language: str
    voice: str
    prompts: Mapping[Prompt, str]
    problems: Mapping[str, Problem]
    phrases: PhraseBook
    """Labels are the values of :class:`Intent`, and ``problem:<name>``."""
    name_words: PhraseBook
    """Words around a name: label ``introduction`` (the name follows) or ``filler``."""
    name_most_words: int
    numbers: NumberWords
    phone: PhonePlan
    hours: Hours
    timings: Timings
    recognition: Recognition
    pronunciations: Mapping[str, str]
    model: ModelScript | None = None
    """None: no language model is to be asked."""

    def say(self, prompt: Prompt, **blanks: str) -> tuple[str, ...]:
        """The sentences of *prompt*, its blanks filled in."""
        return sentences.split(self.prompts[prompt].format(**blanks))

    @staticmethod
    def split(text: str) -> tuple[str, ...]:
        """The sentences of *text*."""
        return sentences.split(text)

    def fixed_texts(self) -> list[str]:
        """Every sentence that can be rendered in advance, in the order of the file."""
        texts = [*self.prompts.values(), *(p.solution for p in self.problems.values())]
        fixed = [s for text in texts for s in sentences.split(text) if not blanks_in(s)]
        return list(dict.fromkeys(fixed))


def blanks_in(text: str) -> set[str]:
    """Names of the blanks of a prompt. Raises ValueError if its braces do not match."""
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


_PERIOD = re.compile(r"([01]\d|2[0-4]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)")


def parse_period(text: str) -> tuple[int, int]:
    """ "08:00-19:30" as minutes after midnight. Raises ValueError."""
    match = _PERIOD.fullmatch(text)
    if match:
        h1, m1, h2, m2 = map(int, match.groups())
        start, end = 60 * h1 + m1, 60 * h2 + m2
        if start < end <= 24 * 60:
            return start, end
    raise ValueError(f"{text!r} must be like 08:00-19:30")
