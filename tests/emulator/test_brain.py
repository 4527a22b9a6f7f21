"""The emulated model: valid answers to any schema, the same for the same words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebot.emulator import chat
from voicebot.emulator.brain import Brain, BrainError, Reply
from voicebot.emulator.refusal import RefusalError

SHIPPED = Brain.load()
TURN = {
    "type": "object",
    "properties": {
        "intent": {"type": "string", "enum": ["internet", "mobile", "technician", "unknown"]},
        "name": {"type": ["string", "null"]},
        "number": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "agrees": {"type": "boolean"},
        "confidence": {"type": "number", "minimum": 0.5, "maximum": 1},
        "say": {"type": "string"},
        "slots": {"type": "object", "properties": {"nom": {"type": "string"}}},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
}


def ask(said: str, **more: Any) -> dict[str, Any]:
    messages = [{"role": "system", "content": "Tu es le SAV."}, {"role": "user", "content": said}]
    return {"model": "openai/gpt-oss-20b", "messages": messages, **more}


def structured(said: str) -> dict[str, Any]:
    form = {"type": "json_schema", "json_schema": {"name": "turn", "schema": TURN}}
    answer = Brain.load().answer(ask(said, response_format=form))
    return dict(json.loads(answer.content))


def test_it_fills_a_schema_by_what_the_caller_said() -> None:
    turn = structured("Je m'appelle Marie Martin, le 06 12 34 56 78, et ma fibre est coupée")
    assert turn["intent"] == "internet"
    assert turn["name"] == "Marie Martin"
    assert turn["number"] == "0612345678"
    assert turn["slots"] == {"nom": "Marie Martin"}
    assert turn["tags"] == []
    assert turn["say"].startswith("Je vois, c'est votre connexion internet.")


def test_it_leaves_empty_what_was_not_said() -> None:
    turn = structured("Mmh.")
    assert (turn["intent"], turn["name"], turn["number"]) == ("unknown", None, None)
    assert turn["confidence"] == 0.5


@pytest.mark.parametrize(
    ("said", "agrees"),
    [("Oui, c'est ça", True), ("Non, ça ne marche toujours pas", False), ("Bof", False)],
)
def test_it_knows_yes_from_no(said: str, agrees: bool) -> None:
    assert structured(said)["agrees"] is agrees


def test_in_json_mode_it_follows_the_example_in_the_prompt() -> None:
    body = ask("Passez-moi un conseiller", response_format={"type": "json_object"})
    body["messages"][0]["content"] = (
        'Réponds en JSON : {"intention": "internet|technicien|autre", "dire": "", "sûr": true}'
    )
    answer = json.loads(Brain.load().answer(body).content)
    assert answer["intention"] == "technicien"
    assert answer["dire"].startswith("Bien sûr, je vous passe un technicien.")


def test_with_a_tool_it_calls_it() -> None:
    tools = [{"type": "function", "function": {"name": "turn", "parameters": TURN}}]
    answer = Brain.load().answer(ask("Mon mobile ne capte plus", tools=tools))
    assert answer.tool == "turn"
    assert json.loads(answer.arguments)["intent"] == "mobile"


def test_a_scripted_reply_comes_first_and_as_often_as_it_was_told() -> None:
    brain = Brain.load()
    brain.scripted.append(Reply(pattern="box", content="Exactement ceci.", times=1))
    said = [brain.answer(ask("Ma box est en panne")).content for _ in range(2)]
    assert said[0] == "Exactement ceci."
    assert said[1].startswith("Je vois")


def test_a_table_that_is_none_is_named(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text("replies: [{say: Bonjour}]")
    with pytest.raises(BrainError, match=r"rules\.yaml: not a table of rules"):
        Brain.load(file)


LEAVES = st.sampled_from(
    [
        {"type": "string"}, {"type": "number"}, {"type": "integer", "minimum": 3},
        {"type": "boolean"}, {"type": ["string", "null"]}, {"enum": ["a", "b", None]},
        {"enum": ["internet", "autre"]}, {"const": 7}, {"type": "array"}, {"type": "null"},
    ]
)  # fmt: skip
SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: st.dictionaries(st.text(max_size=8), inner, max_size=4).map(
        lambda properties: {"type": "object", "properties": properties}
    ),
    max_leaves=12,
)


def fits(schema: dict[str, Any], value: Any) -> bool:
    if "const" in schema:
        return bool(value == schema["const"])
    if "enum" in schema:
        return value in schema["enum"]
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    kinds: dict[str, Any] = {
        "string": str, "number": (int, float), "integer": int, "boolean": bool,
        "array": list, "null": type(None), "object": dict,
    }  # fmt: skip
    if not any(isinstance(value, kinds[kind]) for kind in types):
        return False
    inner = schema.get("properties", {})
    return "object" not in types or all(fits(inner[key], value[key]) for key in inner)


@given(SCHEMAS, st.text(max_size=60))
def test_whatever_the_schema_the_answer_fits_it(schema: dict[str, Any], said: str) -> None:
    assert fits(schema, SHIPPED.fill(schema, said))


@given(st.text(max_size=200))
def test_tokens_are_the_text_again(text: str) -> None:
    assert "".join(chat.tokens(text)) == text


@pytest.mark.parametrize(
    ("change", "status", "complaint"),
    [
        ({"model": None}, 400, "model"),
        ({"model": "llama-3.1-70b-versatile"}, 400, "decommissioned"),
        ({"messages": []}, 400, "minimum number of items"),
        ({"messages": [{"role": "bot", "content": ""}]}, 400, "role"),
        ({"reasoning_effort": "none"}, 400, "reasoning_effort"),
        ({"reasoning_format": "hidden", "include_reasoning": False}, 400, "cannot specify both"),
        ({"response_format": {"type": "xml"}}, 400, "xml"),
        ({"response_format": {"type": "json_object"}}, 400, "the word 'json'"),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, 400, "needs `name`"),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "x", "schema": {}},
                },
                "stream": True,
            },
            400,
            "streaming",
        ),
    ],
)
def test_requests_that_the_service_refuses_are_refused(
    change: dict[str, Any], status: int, complaint: str
) -> None:
    with pytest.raises(RefusalError, match=complaint) as refusal:
        chat.check({**ask("Bonjour"), **change})
    assert refusal.value.status == status


# -- a head and words, as the service's own prompt asks for

PROMPT = """Réponds par une ligne de JSON : {"intent": "question"}
answer: il répond
technician: il veut une personne
question: il demande
yes: oui
unclear: on ne comprend pas
"problem" est un de ceux-ci : internet, mobile."""


def head_and_words(said: str, prompt: str = PROMPT) -> tuple[dict[str, str], str]:
    messages = [
        {"role": "system", "content": prompt},
        {"role": "assistant", "content": "Bonjour."},
        {"role": "system", "content": "On lui a demandé son nom."},
        {"role": "user", "content": said},
    ]
    head, _, words = SHIPPED.answer({"model": "m", "messages": messages}).content.partition("\n")
    return dict(json.loads(head)), words


@pytest.mark.parametrize(
    ("said", "head", "words"),
    [
        ("La télé est toute noire", {"intent": "answer", "problem": "internet"}, ""),
        ("Je m'appelle Marie Martin", {"intent": "answer", "name": "Marie Martin"}, ""),
        ("c'est le 06 12 34 56 78", {"intent": "answer", "number": "0612345678"}, ""),
        ("un technicien pour ma box", {"intent": "technician"}, ""),
        ("Combien de temps ?", {"intent": "question"}, "Cela prend environ deux minutes."),
        ("impeccable", {"intent": "yes"}, ""),
        ("attendez", {"intent": "unclear"}, ""),  # the prompt does not offer "wait"
        ("bof", {"intent": "unclear"}, ""),
    ],
)
def test_it_replies_in_the_form_that_the_service_asks_for(
    said: str, head: dict[str, str], words: str
) -> None:
    found, spoken = head_and_words(said)
    assert found == head
    assert spoken.startswith(words) if words else not spoken


def test_it_names_no_problem_that_the_prompt_does_not_offer() -> None:
    found, _ = head_and_words("La télé est noire", PROMPT.replace("internet, mobile", "chauffage"))
    assert found == {"intent": "unclear"}
