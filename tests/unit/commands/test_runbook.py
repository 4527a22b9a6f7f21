"""``voicebot runbook``: the page of an alert, on a host that has nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from voicebot import cli

ROOT = Path(__file__).parents[3]


def told(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = cli.main(["runbook", *words])
    output = capsys.readouterr()
    return status, output.out, output.err


def test_every_page_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = told(capsys)
    names = {line.split()[0] for line in out.splitlines()[1:]}
    assert status == 0
    assert names == {page.stem for page in (ROOT / "docs/runbooks").glob("*.md")} | {"be-on-call"}
    assert re.search(r"^VoicebotDown +page +The voicebot does not answer", out, re.M)


@pytest.mark.parametrize(
    "name",
    ["VoicebotDown", "voicebotdown", "docs/runbooks/VoicebotDown.md",
     "https://git.example.org/src/branch/main/docs/runbooks/VoicebotDown.md#diagnosis"],
)  # fmt: skip
def test_a_page_is_printed_by_its_name_or_its_link(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where the settings are what is wrong."""
    monkeypatch.setenv("MAX_CONCURRENT_CALLS", "many")
    page = (ROOT / "docs/runbooks/VoicebotDown.md").read_text(encoding="utf-8")
    assert told(capsys, name) == (0, page, "")


def test_the_levers_that_runbooks_name_are_there(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = told(capsys, "be-on-call")
    assert status == 0
    assert "### Divert to people" in out


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("VoicebotDwn", "did you mean VoicebotDown?"),
        ("trunk", "did you mean AsteriskTrunkUnreachable or AsteriskTrunkUnregistered?"),
        ("voicebot", "did you mean VoicebotDown?"),
        ("nothing like it", "`voicebot runbook` lists them"),
        ("", "`voicebot runbook` lists them"),
        ("../../../etc/passwd", "`voicebot runbook` lists them"),
    ],
)
def test_of_a_name_that_is_none_near_ones_are_told(
    name: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = told(capsys, name)
    assert (status, out) == (1, "")
    assert err.startswith("there is no runbook '")
    assert err.endswith(f": {hint}\n")
