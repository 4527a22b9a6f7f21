"""The emulated language model: a table of keywords, and a JSON schema filled in from it.

Pure and deterministic. It has no understanding; it gives valid, plausible answers of a realistic
length. What a test needs to be exact it scripts with :class:`Reply`.

The structure to fill is the request's JSON schema or the first tool's parameters, and for plain
"JSON mode" whatever schema or example the system prompt shows. A prompt that asks for a line of
JSON with an ``intent`` and for words after it (the service's own does) gets a reply of that form,
with the intents and problems that it offers: the rules stand in for what a model would understand.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

SHIPPED: Final = Path(__file__).parent.parent / "data" / "emulator" / "brain.fr.yaml"
_DIGITS: Final = re.compile(r"\d(?:[ .-]?\d){3,}")
_NUMBER: Final = re.compile(r"\d+")
_DEEPEST: Final = 8


class BrainError(Exception):
    """The table of rules cannot be used. ``str()`` names the file and the entry."""


@dataclass(slots=True)
class Reply:
    """An answer that a test has written; one of ``content``, ``data`` and ``arguments``."""

    pattern: str = ""
    """Regular expression, looked for in what the caller said last; empty fits everything."""
    content: str | None = None
    """The answer, as it is, whatever was asked for."""
    data: Mapping[str, Any] | None = None
    """The answer as JSON; for a request with tools, the arguments of the call."""
    times: int | None = None
    """Requests that it answers; None for all."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model says: text, or the call of a tool."""

    content: str = ""
    tool: str | None = None
    arguments: str = ""


def plain(text: str) -> str:
    """*text* for comparing: lower case, no accents, words apart by one space, spaces around."""
    bare = "".join(
        c for c in unicodedata.normalize("NFD", text.casefold()) if not unicodedata.combining(c)
    )
    return f" {' '.join(re.findall(r'[a-z0-9]+', bare))} "


@dataclass(frozen=True, slots=True)
class _Phrases:
    pattern: re.Pattern[str]

    @classmethod
    def of(cls, words: Iterable[str]) -> _Phrases:
        forms = [
            re.escape(plain(w.removesuffix("*")).rstrip()) + (r"[a-z0-9]*" if w[-1:] == "*" else "")
            for w in words
        ]
        return cls(re.compile(f"(?:{'|'.join(forms)})(?= )" if forms else r"(?!)"))

    def at(self, said: str) -> int:
        """Where the first of them is in *said*, which is plain; -1 if none is."""
        found = self.pattern.search(said)
        return found.start() if found else -1


@dataclass(frozen=True, slots=True)
class _Headed:
    """For replies of a head and words."""

    questions: tuple[tuple[_Phrases, str], ...]
    problems: dict[str, _Phrases]
    intents: dict[str, _Phrases]


@dataclass(frozen=True, slots=True)
class _Rules:
    replies: tuple[tuple[_Phrases, str], ...]
    otherwise: str
    values: dict[str, _Phrases]
    neutral: tuple[str, ...]
    properties: dict[str, frozenset[str]]
    introduction: re.Pattern[str]
    yes: _Phrases
    no: _Phrases
    headed: _Headed


def _rules(table: Any) -> _Rules:
    return _Rules(
        tuple((_Phrases.of(rule["words"]), rule["say"].strip()) for rule in table["replies"]),
        table["otherwise"],
        {plain(value).strip(): _Phrases.of(words) for value, words in table["values"].items()},
        tuple(plain(value).strip() for value in table["neutral"]),
        {kind: frozenset(map(plain, names)) for kind, names in table["properties"].items()},
        re.compile(
            rf"(?:{'|'.join(map(re.escape, table['introductions']))})\s+"
            r"((?:[A-ZÀ-Ý][\w'-]+\s?){1,3})",
            re.IGNORECASE,
        ),
        _Phrases.of(table["yes"]),
        _Phrases.of(table["no"]),
        _Headed(
            tuple(
                (_Phrases.of(r["words"]), r["say"].strip()) for r in table["headed"]["questions"]
            ),
            {name: _Phrases.of(words) for name, words in table["headed"]["problems"].items()},
            {name: _Phrases.of(words) for name, words in table["headed"]["intents"].items()},
        ),
    )


@dataclass(slots=True)
class Brain:
    """Answers requests. ``scripted`` replies come first, in their order."""

    rules: _Rules
    scripted: list[Reply] = field(default_factory=list)

    @classmethod
    def load(cls, file: Path = SHIPPED) -> Brain:
        """Raises BrainError."""
        try:
            return cls(_rules(yaml.safe_load(file.read_text(encoding="utf-8"))))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise BrainError(f"{file}: cannot be read: {error}") from error
        except (KeyError, TypeError, AttributeError) as error:
            raise BrainError(f"{file}: not a table of rules: {error!r}") from error

    def answer(self, body: Mapping[str, Any]) -> Answer:
        """The answer to the chat completion *body*, which has been checked."""
        messages: Sequence[Mapping[str, Any]] = body["messages"]
        said = next((_text(m) for m in reversed(messages) if m.get("role") == "user"), "")
        tool = None if body.get("tool_choice") == "none" else _tool(body)
        reply = self._scripted(said)
        if reply is not None and reply.content is not None:
            return Answer(reply.content)
        schema = tool.get("parameters") if tool else _schema(body, messages)
        if reply is not None and reply.data is not None:
            data: Any = reply.data
        elif schema is None:
            told = _told(messages)
            headed = '{"intent"' in told
            return Answer(self.head_and_words(told, said) if headed else self.say(said))
        else:
            data = self.fill(schema, said)
        text = json.dumps(data, ensure_ascii=False)
        return Answer(tool=tool["name"], arguments=text) if tool else Answer(text)

    def say(self, said: str) -> str:
        """A sentence or two in answer to *said*."""
        words = plain(said)
        return next(
            (say for phrases, say in self.rules.replies if phrases.at(words) >= 0),
            self.rules.otherwise,
        )

    def head_and_words(self, told: str, said: str) -> str:
        """A line of JSON and perhaps words, in answer to *said*; *told* is the system prompt."""
        rules, words = self.rules.headed, plain(said)
        problem = _first(rules.problems, words, plain(told))
        intent = _first(rules.intents, words, plain(told))
        number = _DIGITS.search(said)
        introduced = self.rules.introduction.search(said)
        head: dict[str, str] = {"intent": "answer"}
        if intent in ("technician", "no_recording", "repeat"):
            return json.dumps({"intent": intent})
        if problem is not None:
            head["problem"] = problem
        if number is not None:
            head["number"] = re.sub(r"\D", "", number[0])
        if introduced is not None:
            head["name"] = introduced[1].strip()
        if len(head) > 1:
            return json.dumps(head, ensure_ascii=False)
        for phrases, say in rules.questions:
            if phrases.at(words) >= 0:
                return f'{{"intent": "question"}}\n{say}'
        return json.dumps({"intent": intent or "unclear"})

    def fill(self, schema: Mapping[str, Any], said: str, name: str = "", depth: int = 0) -> Any:
        """A value that *schema* allows, by what the caller *said*."""
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._choice(schema["enum"], said)
        if "anyOf" in schema:
            options = [one for one in schema["anyOf"] if one.get("type") != "null"]
            value = self.fill(options[0], said, name, depth) if options else None
            nullable = len(options) < len(schema["anyOf"])
            return None if nullable and value in ("", 0, []) else value
        types = schema.get("type", "object")
        nullable = isinstance(types, list) and "null" in types
        kind = next((t for t in types if t != "null"), "null") if nullable else types
        if kind == "object":
            properties = schema.get("properties", {}) if depth < _DEEPEST else {}
            return {key: self.fill(one, said, key, depth + 1) for key, one in properties.items()}
        value = self._scalar(kind, schema, said, name)
        return None if nullable and value in ("", None) else value

    def _scalar(self, kind: str, schema: Mapping[str, Any], said: str, name: str) -> Any:
        if kind == "string":
            return self._string(said, name)
        if kind == "boolean":
            no, yes = self.rules.no.at(plain(said)), self.rules.yes.at(plain(said))
            return yes >= 0 > no
        if kind in ("integer", "number"):
            found = _NUMBER.search(said)
            low, high = schema.get("minimum", 0), schema.get("maximum", float("inf"))
            return min(max(int(found[0]), low), high) if found else low if low else 0
        return [] if kind == "array" else None

    def _string(self, said: str, name: str) -> str:
        kinds = self.rules.properties
        key = plain(name.replace("_", " "))
        if key in kinds["number"]:
            found = _DIGITS.search(said)
            return re.sub(r"\D", "", found[0]) if found else ""
        if key in kinds["name"]:
            introduced = self.rules.introduction.search(said)
            return introduced[1].strip() if introduced else ""
        return self.say(said) if key in kinds["say"] else ""

    def _choice(self, allowed: Sequence[Any], said: str) -> Any:
        words = plain(said)
        texts = {plain(str(one).replace("_", " ")).strip(): one for one in allowed}
        named = {plain(v.replace("_", " ")).strip(): p for v, p in self.rules.values.items()}
        for value, phrases in named.items():  # in the order of the table
            if value in texts and phrases.at(words) >= 0:
                return texts[value]
        for value in self.rules.neutral:
            if value in texts:
                return texts[value]
        return None if None in allowed else allowed[-1]

    def _scripted(self, said: str) -> Reply | None:
        for reply in self.scripted:
            if re.search(reply.pattern, said, re.IGNORECASE):
                if reply.times is not None:
                    reply.times -= 1
                    if reply.times <= 0:
                        self.scripted.remove(reply)
                return reply
        return None


def _told(messages: Sequence[Mapping[str, Any]]) -> str:
    """The system prompt."""
    return "\n".join(_text(m) for m in messages if m.get("role") in ("system", "developer"))


def _first(named: Mapping[str, _Phrases], said: str, told: str) -> str | None:
    """The first of *named*, as far as the prompt offers it, for which words were said."""
    for name, phrases in named.items():
        if plain(name.replace("_", " ")) in told and phrases.at(said) >= 0:
            return name
    return None


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return " ".join(part.get("text", "") for part in content if isinstance(part, Mapping))


def _tool(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The function to call: the one that the request names, or its first."""
    functions = [tool["function"] for tool in body.get("tools") or ()]
    choice = body.get("tool_choice")
    if isinstance(choice, Mapping):
        wanted = choice["function"]["name"]
        functions = [function for function in functions if function["name"] == wanted]
    return functions[0] if functions else None


def _schema(body: Mapping[str, Any], messages: Sequence[Mapping[str, Any]]) -> Any:
    form = body.get("response_format") or {}
    if form.get("type") == "json_schema":
        return form["json_schema"]["schema"]
    if form.get("type") != "json_object":
        return None
    shown = _first_json(_told(messages))
    if shown is None:
        return {"type": "object", "properties": {"say": {"type": "string"}}}
    return shown if "properties" in shown else _like(shown)


def _first_json(text: str) -> dict[str, Any] | None:
    """The first JSON object that *text* shows."""
    decoder = json.JSONDecoder()
    for brace in re.finditer(r"\{", text):
        try:
            found, _ = decoder.raw_decode(text, brace.start())
        except ValueError:
            continue
        if isinstance(found, dict) and found:
            return found
    return None


def _like(example: Any) -> dict[str, Any]:
    """A schema for values like *example*; "a|b|c" is a choice."""
    if isinstance(example, dict):
        return {"type": "object", "properties": {k: _like(v) for k, v in example.items()}}
    if isinstance(example, str) and "|" in example:
        return {"enum": [option.strip() for option in example.split("|")]}
    if isinstance(example, bool):
        return {"type": "boolean"}
    if isinstance(example, int | float):
        return {"type": "number"}
    if isinstance(example, list):
        return {"type": "array"}
    return {"type": ["string", "null"] if example is None else "string"}
