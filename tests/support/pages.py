"""Commands out of the pages of the documentation, so that a page that is wrong fails a test."""

from __future__ import annotations

import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def block(page: str, words: str) -> str:
    """The block of *page* in which those words are, as somebody types it, ended by what fails."""
    blocks = re.findall(r"^```\n(.*?)^```", (REPOSITORY / page).read_text(), re.M | re.S)
    (found,) = [one for one in blocks if words in one]
    return "set -euo pipefail\n" + str(found)
