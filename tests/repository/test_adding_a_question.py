"""The page on adding a question shows a change that can be made, and that does what it says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "add-a-question.md"
CONVERSATION = """
from tests.support.playbook import *
from voicebot import script_file
from voicebot.dialogue.commands import NextStep

for content in (True, False):
    play = Playbook(script_file.load())
    play >> answered()
    play << moves("welcome") << says("Bonjour")
    play >> caller("J'ai un problème avec mon internet.")
    play << moves("identification") << says("votre nom")
    play >> caller("Pierre Dupont, 06 12 34 56 78.")
    play << says("C'est bien ça")
    play >> caller("Oui.", yes=True)
    play << moves("diagnostic") << moves("solution") << says("débrancher")
    play >> heard()
    play >> seconds(2)
    play << moves("verification") << says("Est-ce que ça marche")
    play >> caller("Oui, ça marche !", yes=True)
    play << moves("feedback") << says("heureuse", "Êtes-vous satisfait")
    if content:
        play >> caller("Oui, merci.", yes=True)
        play << moves("goodbye") << says("Au revoir")
        play >> heard()
        play << ends(NextStep.HANGUP, "completed")
    else:
        play >> caller("Non, pas du tout.", yes=False)
        play << moves("transfer") << checks_technician()
print("both went their way")
"""


def test_the_change_of_the_page_can_be_made_and_works(tmp_path: Path) -> None:
    shutil.copytree(
        ROOT / "voicebot",
        tmp_path / "voicebot",
        ignore=shutil.ignore_patterns("__pycache__", "voice", "clips"),
    )
    (change,) = re.findall(r"^```diff\n(.*?)^```", PAGE.read_text(), flags=re.S | re.M)
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(tmp_path.parent)}
    applied = subprocess.run(
        ["git", "apply", "-"],
        input=change, text=True, cwd=tmp_path, env=environment, capture_output=True,
    )  # fmt: skip
    assert applied.returncode == 0, applied.stderr
    held = subprocess.run(
        [sys.executable, "-c", CONVERSATION],
        text=True, cwd=tmp_path, capture_output=True,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"},
    )  # fmt: skip
    assert held.stdout == "both went their way\n", held.stderr
