"""Each fault, live: the alerts that it should set off arrive at the listener, and no others.

With short windows; a page must come within three minutes all the same. ``make drill`` plays them
one by one, and with the real windows.
"""

from __future__ import annotations

import pytest

from prometheus.table import load
from tests.drills.faults import DRILLS
from tests.drills.play import play

pytestmark = [pytest.mark.drill, pytest.mark.timeout(420)]


@pytest.mark.parametrize("name", DRILLS)
def test_a_fault_is_told_and_nothing_else(name: str) -> None:
    result = play(name)
    assert result.good, str(result)


def test_a_drill_that_pages_has_an_alert_that_does() -> None:
    table = load()
    pages = {c.name for c in table.causes if c.severity == "page"}
    pages |= {o.alert for o in table.objectives.values() if "page" in o.severities}
    assert {n for n, d in DRILLS.items() if d.alerts & pages} == {
        n for n, d in DRILLS.items() if d.pages
    }
