"""Checks a script file's plain data and builds the :class:`Script`; reports every fault at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from voicebot.dialogue.numbers import PhonePlan, number_words
from voicebot.dialogue.questions import Question
from voicebot.dialogue.reply import ModelIntent
from voicebot.dialogue.script import (
    BLANKS,
    Hours,
    Intent,
    ModelScript,
    Problem,
    Prompt,
    Recognition,
    Script,
    ScriptError,
    Timings,
    blanks_in,
    parse_period,
)
from voicebot.dialogue.words import Phrase, PhraseBook

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
KEYS = frozenset("123456789")
"""Telephone keys a problem may have: 0 asks for a technician, * repeats, # ends a number."""


class _Section:
    """One mapping of the file; collects faults and notices keys that nobody asked for."""

    def __init__(self, data: object, path: str, faults: list[str]) -> None:
        self.path = path
        self.faults = faults
        if not isinstance(data, Mapping):
            faults.append(f"{path or 'the file'}: must be a list of keys and values")
            data = {}
        self._data: dict[str, Any] = {str(k): v for k, v in data.items()}
        self._asked: set[str] = set()

    def fault(self, key: str, message: str) -> None:
        self.faults.append(f"{self.path}{key}: {message}")

    def _take(self, key: str, kind: type | tuple[type, ...], what: str, default: Any) -> Any:
        self._asked.add(key)
        if key not in self._data:
            if default is None:
                self.fault(key, f"is missing; it must be {what}")
                return kind() if isinstance(kind, type) else kind[0]()
            return default
        value = self._data[key]
        if not isinstance(value, kind) or isinstance(value, bool):
            self.fault(key, f"must be {what}, not {value!r}")
            return default if default is not None else self._empty(kind)
        return value

    @staticmethod
    def _empty(kind: type | tuple[type, ...]) -> Any:
        return kind() if isinstance(kind, type) else kind[0]()

    def text(self, key: str, default: str | None = None) -> str:
        value = self._take(key, (str, int, float), "a text", default)
        text = str(value).strip()
        if not text and default is None and key in self._data:
            self.fault(key, "must not be empty")
        return text

    def number(self, key: str, low: float, high: float) -> float:
        known = len(self.faults)
        value = self._take(key, (float, int), f"a number from {low:g} to {high:g}", None)
        if len(self.faults) > known:
            return low
        if not low <= value <= high:
            self.fault(key, f"must be from {low:g} to {high:g}, not {value:g}")
            return low
        return float(value)

    def texts(self, key: str, default: list[str] | None = None) -> list[str]:
        value = self._take(key, list, "a list of texts", default)
        return [str(item) for item in value]

    def table(self, key: str, default: dict[str, str] | None = None) -> dict[str, str]:
        value = self._take(key, dict, "a list of keys and values", default)
        return {str(k): str(v) for k, v in value.items()}

    def section(self, key: str, optional: bool = False) -> _Section:
        value = self._take(key, dict, "a list of keys and values", {} if optional else None)
        return _Section(value, f"{self.path}{key}.", self.faults)

    def names(self) -> list[str]:
        return list(self._data)

    def finish(self) -> None:
        """Call when everything known has been asked for: what is left is a mistake."""
        for key in self._data.keys() - self._asked:
            self.fault(key, "no such key; remove it, or see the shipped script for the right name")


def parse(data: object) -> Script:
    """Check *data*, the content of a script file. Raises ScriptError with every fault."""
    faults: list[str] = []
    top = _Section(data, "", faults)
    prompts = _prompts(top.section("prompts"))
    problems, problem_phrases = _problems(top.section("problems"))
    intents = _intents(top.section("words"))
    name_words, most_words = _name(top.section("caller_name"))
    numbers = number_words(top.table("numbers"), *_compounds(top), top.table("number_repairs", {}))
    script = Script(
        name=top.text("name"),
        version=top.text("version"),
        language=top.text("language"),
        voice=top.text("voice"),
        prompts=prompts,
        problems=problems,
        phrases=PhraseBook([*intents, *problem_phrases]),
        name_words=name_words,
        name_most_words=most_words,
        numbers=numbers,
        phone=_phone(top.section("phone")),
        hours=_hours(top.section("hours")),
        timings=_timings(top.section("timings")),
        recognition=_recognition(top.section("recognition")),
        pronunciations=top.table("pronunciations", {}),
        model=_model(top.section("model"), list(problems)) if "model" in top.names() else None,
    )
    top.finish()
    if faults:
        raise ScriptError(faults)
    return script


def _prompts(section: _Section) -> dict[Prompt, str]:
    prompts = {}
    for prompt in Prompt:
        prompts[prompt] = section.text(prompt.value)
        _check_blanks(section, prompt.value, prompts[prompt], BLANKS)
    section.finish()
    return prompts


def _check_blanks(section: _Section, key: str, text: str, known: frozenset[str]) -> None:
    try:
        wrong = blanks_in(text) - known
        if not wrong:
            text.format(**dict.fromkeys(known, ""))
    except (ValueError, LookupError) as error:
        section.fault(key, f"its braces do not match ({error})")
        return
    if wrong:
        allowed = ", ".join(f"{{{b}}}" for b in sorted(known)) or "words alone"
        section.fault(key, f"cannot fill in {', '.join(sorted(wrong))}; use {allowed}")


def _phrases(label: str, texts: Iterable[str], section: _Section, key: str) -> list[Any]:
    phrases = []
    for text in texts:
        try:
            phrases.append((label, Phrase.parse(text)))
        except ValueError as error:
            section.fault(key, str(error))
    return phrases


def _problems(section: _Section) -> tuple[dict[str, Problem], list[Any]]:
    problems: dict[str, Problem] = {}
    phrases: list[Any] = []
    keys: dict[str, str] = {}
    for name in section.names():
        part = section.section(name)
        problem = Problem(name, part.text("key"), part.text("solution"))
        _check_blanks(part, "solution", problem.solution, frozenset())
        phrases += _phrases(f"problem:{name}", part.texts("words"), part, "words")
        if problem.key not in KEYS:
            part.fault("key", f"must be one key from 1 to 9, not {problem.key!r}")
        elif problem.key in keys:
            part.fault("key", f"{problem.key} is the key of {keys[problem.key]} already")
        keys[problem.key] = name
        part.finish()
        problems[name] = problem
    if not problems:
        section.faults.append("problems: at least one is needed")
    return problems, phrases


def _intents(section: _Section) -> list[Any]:
    phrases: list[Any] = []
    for intent in Intent:
        phrases += _phrases(intent.value, section.texts(intent.value), section, intent.value)
    section.finish()
    return phrases


def _name(section: _Section) -> tuple[PhraseBook, int]:
    phrases = _phrases("filler", section.texts("fillers"), section, "fillers")
    introductions = section.texts("introductions")
    phrases += _phrases("introduction", introductions, section, "introductions")
    most_words = int(section.number("most_words", 1, 10))
    section.finish()
    return PhraseBook(phrases), most_words


def _model(section: _Section, problems: list[str]) -> ModelScript:
    intents = section.section("intents")
    offered = [f"{i.value}: {intents.text(i.value)}" for i in ModelIntent]
    intents.finish()
    system = section.text("system")
    for blank, filling in (("intents", "\n".join(offered)), ("problems", ", ".join(problems))):
        if f"{{{blank}}}" not in system:
            section.fault("system", f"must say where the {blank} go, by {{{blank}}}")
        system = system.replace(f"{{{blank}}}", filling)
    if '{"intent"' not in system:
        section.fault("system", """must show the form of a reply, such as {"intent": "question"}""")
    asked = section.section("questions")
    questions = {key: asked.text(key) for key in (q.name.lower() for q in Question)}
    asked.finish()
    model = ModelScript(
        system=system,
        questions=questions,
        asks=PhraseBook(_phrases("asks", section.texts("asks"), section, "asks")),
        never_says=PhraseBook(
            _phrases("never", section.texts("never_says"), section, "never_says")
        ),
        abbreviations=frozenset(word.lower() for word in section.texts("abbreviations", [])),
    )
    section.finish()
    return model


def _compounds(top: _Section) -> tuple[str, list[str], list[str]]:
    part = top.section("tens_and_units", optional=True)
    result = (part.text("joiner", ""), part.texts("tens", []), part.texts("teens_after", []))
    part.finish()
    return result


def _phone(section: _Section) -> PhonePlan:
    groups = section.texts("groups")
    if not all(group.isdigit() and group != "0" for group in groups):
        section.fault("groups", "must be a list of whole numbers above 0")
        groups = ["1"]
    plan = PhonePlan(
        digits=int(section.number("digits", 3, 15)),
        starts_with=section.text("starts_with", ""),
        groups=tuple(map(int, groups)),
        prefixes=section.table("prefixes", {}),
    )
    section.finish()
    return plan


def _hours(section: _Section) -> Hours:
    days = []
    for day in DAYS:
        periods = []
        for text in section.texts(day, []):
            try:
                periods.append(parse_period(text))
            except ValueError as error:
                section.fault(day, str(error))
        days.append(tuple(periods))
    hours = Hours(section.text("timezone"), tuple(days))
    section.finish()
    return hours


def _timings(section: _Section) -> Timings:
    timings = Timings(
        after_solution=section.number("after_solution", 0, 60),
        patience=section.number("patience", 5, 600),
        between_keys=section.number("between_keys", 1, 15),
    )
    section.finish()
    return timings


def _recognition(section: _Section) -> Recognition:
    recognition = Recognition(
        section.text("prompt", ""), tuple(section.texts("yes", [])), tuple(section.texts("no", []))
    )
    section.finish()
    return recognition
