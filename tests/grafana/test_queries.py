"""What an expression is made of."""

from __future__ import annotations

from tests.grafana.queries import conditional, metrics, selectors

RATIO = (
    'sum by (slo) (rate(a_total{x=~"b|(c)",le="2.5"}[5m])) / on (slo) group_left () d:e:f'
    ' or label_replace(vector(0), "name", "none", "", "")'
)


def test_series_and_metrics_are_found_and_nothing_else() -> None:
    assert selectors(RATIO) == {'a_total{x=~"b|(c)",le="2.5"}', "d:e:f"}
    assert metrics(RATIO) == {"a_total", "d:e:f"}
    assert metrics("histogram_quantile(0.5, voicebot_x_seconds_bucket)") == {"voicebot_x_seconds"}


def test_a_condition_is_one_outside_of_labels() -> None:
    assert not conditional(RATIO)
    assert not conditional('a{x!="y"}')
    for condition in ("a > 3", "a == bool 1", "a unless b", "a and on (c) b", "absent(a)"):
        assert conditional(condition)
