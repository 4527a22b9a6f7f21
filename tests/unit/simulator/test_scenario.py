"""Scenario files: the shipped ones are good, and each mistake is named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from voicebot import script_file
from voicebot.dialogue.script import Prompt
from voicebot.simulator import scenario
from voicebot.simulator.scenario import ScenarioError, load, names, parse

REPOSITORY = Path(__file__).parents[3]


@pytest.mark.parametrize("name", names())
def test_every_shipped_scenario_loads_and_expects_something(name: str) -> None:
    one = load(name)
    assert one.title != name
    assert one.expect.outcome
    assert one.follows_words


def test_the_reference_scenarios_are_shipped() -> None:
    assert {"internet-resolved", "mobile-transfer", "callback"} <= set(names())


def test_a_scenario_says_what_the_service_must_run_with() -> None:
    assert scenario.requirement_note(load("callback")) == "TECHNICIANS=never"
    assert scenario.requirement_note(load("silent")) == ""


def test_lists_each_line_once_with_those_for_wrong_numbers() -> None:
    one = parse(
        """
rules:
  - {when: a, say: ["Oui.", "Si."]}
  - {when: b, expect_number: "061234", if_right: "Oui.", if_wrong: "Non."}
""",
        "lines",
    )
    assert one.lines() == ["Oui.", "Si.", "Non."]


def test_a_file_can_be_given_by_its_path(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("title: of my own\nrules: []\n", encoding="utf-8")
    assert load(str(file)).name == "mine"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("rules: [", "not valid YAML"),
        ("- rules", "must be a mapping"),
        ("title: x", "neither rules nor steps"),
        ("rules: []\nsteps: []", "both rules and steps"),
        ("rules: []\nlimt: 3", "unknown key 'limt'; did you mean 'limit'?"),
        ("rules: []\nlimit: long", "'limit' is 'long'; it must be a number from 1 to 3600"),
        ("rules: []\nlimit: true", "'limit' is True"),
        ("rules: {when: a}", "'rules' must be a list"),
        ("rules:\n  - {wen: a, say: b}", "rule 1: unknown key 'wen'; did you mean 'when'?"),
        ("rules:\n  - {say: b}", "rule 1: needs 'when'"),
        ("rules:\n  - {when: '(a', say: b}", "rule 1: 'when' is '(a', not a regular expression"),
        ("rules:\n  - {when: a}", "rule 1: does nothing"),
        ("rules:\n  - {when: a, say: 12}", "'say' has 12; it must be text"),
        ("rules:\n  - {when: a, say: b, times: 0}", "'times' is 0"),
        ("rules:\n  - {when: a, keys: 0612345670}", "'keys' must be in quotes"),
        ("rules:\n  - {when: a, keys: '06x'}", "'keys' is '06x'; allowed are"),
        ("rules:\n  - {when: a, hangup: 1}", "'hangup' is 1; it must be true or false"),
        ("rules:\n  - {when: a, expect_number: '0612'}", "needs 'if_right' and 'if_wrong'"),
        ("rules:\n  - {when: a, say: b, if_right: c}", "need 'expect_number'"),
        ("steps:\n  - {when: a, say: b}", "step 1: unknown key 'when'"),
        ("rules: []\ncaller: {reaction: [2, 1]}", "'reaction' is [2, 1]"),
        ("rules: []\ncaller: {noise: 3}", "'noise' is 3"),
        ("rules: []\nrequires: never", "'requires' must be a mapping"),
        ("rules: []\nexpect: {ended_by: nobody}", "it must be bot or caller"),
        ("rules: []\nexpect: {bot_says: [{words: '['}]}", "bot_say 1: 'words' is '['"),
        ("rules: []\nexpect: {bot_says: [{words: a, pause_before: x}]}", "'pause_before' is 'x'"),
    ],
)
def test_names_the_place_and_the_mistake(text: str, fault: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        parse(text, "broken")
    assert any(fault in one for one in caught.value.faults), caught.value.faults
    assert all(one.startswith("broken") for one in caught.value.faults)


def test_reports_all_mistakes_at_once() -> None:
    with pytest.raises(ScenarioError) as caught:
        parse("rules:\n  - {wen: a}\n  - {when: '(', say: b}\nlimit: 0", "broken")
    assert len(caught.value.faults) >= 4


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ScenarioError, match="no such scenario; there are asks-freely,"):
        load("intrenet")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="cannot be read"):
        load(str(tmp_path / "none.yaml"))


def test_the_example_of_the_page_has_an_answer_to_each_question_on_its_way() -> None:
    page = (REPOSITORY / "docs/how-to/add-a-scenario.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```yaml\n(.*?)```", page, re.S)
    patterns = [rule.when for rule in parse(example, "example").rules]
    for question in (Prompt.ASK_IDENTITY, Prompt.ASK_NAME, Prompt.CONFIRM_NUMBER, Prompt.ASK_WORKS):
        words = script_file.load().prompts[question]
        assert any(when and when.search(str(words).casefold()) for when in patterns), question
