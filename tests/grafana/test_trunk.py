"""What the first page says of the trunk, asked of Prometheus's own engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.grafana.conftest import pages
from tests.grafana.queries import expressions, filled
from tests.prometheus import promtool

pytestmark = pytest.mark.promtool

REGISTERED, NOT_REGISTERED, REJECTED = 1, 0, 2


@pytest.mark.parametrize(
    ("trunks", "shown"),
    [
        ((REGISTERED,), REGISTERED),
        ((REJECTED,), REJECTED),
        ((REGISTERED, REGISTERED), REGISTERED),
        ((REGISTERED, NOT_REGISTERED), NOT_REGISTERED),
        ((REGISTERED, REJECTED), REJECTED),
        ((NOT_REGISTERED, REJECTED), REJECTED),
    ],
)
def test_of_several_trunks_it_shows_the_worst(
    trunks: tuple[int, ...], shown: int, tmp_path: Path
) -> None:
    status = "asterisk_pjsip_outbound_registration_status"
    (query,) = [q for where, q in expressions(pages()["overview"]) if where.endswith(": Trunk")]
    case = {
        "it": "",
        "series": {
            f'{status}{{instance="host",name="{name}"}}': f"{value}x4"
            for name, value in enumerate(trunks)
        },
    }
    wanted = {
        "expr": filled(query),
        "eval_time": "30s",
        "exp_samples": [{"value": shown, "labels": "{}"}],
    }
    assert promtool.run([], case, [wanted], tmp_path) == ""
