"""Each alert fires when it should and is silent when it should be: promtool on the rule files."""

from __future__ import annotations

from pathlib import Path

import pytest

from prometheus.table import load
from tests.prometheus.promtool import Case, cases, checks, needed, rules, run, values

pytestmark = pytest.mark.promtool

CASES = [(file, case) for file in ("causes", "objectives") for case in cases(file)]


@pytest.mark.parametrize(("file", "case"), CASES, ids=[case["it"] for _, case in CASES])
def test_alert(file: str, case: Case, tmp_path: Path) -> None:
    expected = [*(check.as_promtool() for check in checks(case)), *values(case)]
    assert run(needed(rules(file), case), case, expected, tmp_path) == ""


def test_every_alert_has_a_case_that_fires_and_one_that_is_silent() -> None:
    table = load()
    names = {found.alert for found in table.objectives.values()}
    names |= {cause.name for cause in table.causes}
    said = [check for _, case in CASES for check in checks(case)]
    firing = {check.alert for check in said if check.firing}
    silent = {check.alert for check in said if not check.firing}
    assert names - firing == set()
    assert names - silent == {"Watchdog"}
