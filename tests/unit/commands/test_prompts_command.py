"""``voicebot prompts``: what it prints. Rendering itself is in tests/speech."""

import argparse
import io
from pathlib import Path

import pytest

from voicebot.commands import prompts
from voicebot.prompts.cache import PromptCache, Rendered
from voicebot.script_file import load


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


FIRST = Rendered("Bonjour.", seconds=1.0, size=16000, took=0.4, done=1, total=2)
LAST = Rendered("Au revoir !", seconds=2.0, size=32000, took=0.6, done=2, total=2)


def test_a_log_gets_a_line_for_each_sentence() -> None:
    out = io.StringIO()
    bar = prompts.Bar(out)
    bar.show(FIRST)
    bar.show(LAST)

    assert out.getvalue().splitlines() == [
        "  1.0 s    16 KiB in  0.4 s  Bonjour.",
        "  2.0 s    31 KiB in  0.6 s  Au revoir !",
    ]


def test_a_terminal_gets_a_bar_that_goes_away() -> None:
    out = Terminal()
    bar = prompts.Bar(out)
    bar.show(FIRST)
    assert out.getvalue().endswith("█░ 1/2".replace("█░", "█" * 12 + "░" * 12))
    bar.show(LAST)
    assert out.getvalue().endswith("\r\x1b[K  2.0 s    31 KiB in  0.6 s  Au revoir !\n")


def test_check_lists_what_is_missing_and_touches_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    parser = argparse.ArgumentParser()
    prompts.add_arguments(parser)

    assert prompts.run(parser.parse_args(["--check"])) == 1

    lines = capsys.readouterr().err.splitlines()
    assert lines[-1] == "run voicebot prompts"
    assert len(lines) == 1 + len(load().fixed_texts())
    assert list(tmp_path.iterdir()) == []


def test_the_summary_adds_up(tmp_path: Path) -> None:
    assert prompts.summary(PromptCache(tmp_path, "v"), ["a", "b"], 1.26) == (
        "2 sentences, 0 s of speech, 0.0 MiB, ready in 1.3 s"
    )
