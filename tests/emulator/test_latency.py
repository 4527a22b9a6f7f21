"""Delays: fitted to what is published, the same for the same seed, and checked when read."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebot.emulator.latency import Distribution, Latency, LatencyError, Profile, Step, parse
from voicebot.emulator.latency_file import PUBLISHED, load


def test_the_published_quantiles_come_out_again() -> None:
    latency = Latency(load(PUBLISHED), seed=1)
    draws = sorted(latency.draw(Step.LISTEN_FINAL) for _ in range(4000))
    for share, published in ((0.50, 0.247), (0.95, 0.298), (0.99, 0.326)):
        assert draws[round(share * len(draws))] == pytest.approx(published, rel=0.03)


@given(st.floats(0.001, 10), st.floats(1, 5))
def test_a_fit_through_two_quantiles_is_exact(p50: float, ratio: float) -> None:
    fitted = Distribution.through(p50, p95=p50 * ratio)
    assert fitted.quantile(0.5) == pytest.approx(p50)
    assert fitted.quantile(0.95) == pytest.approx(p50 * ratio)


def test_the_same_seed_gives_the_same_delays_whatever_else_is_drawn() -> None:
    alone, busy = Latency(load(), seed=7), Latency(load(), seed=7)
    expected = [alone.draw(Step.CHAT_FIRST_TOKEN) for _ in range(5)]
    drawn = []
    for _ in range(5):
        busy.draw(Step.LISTEN_FINAL)
        drawn.append(busy.draw(Step.CHAT_FIRST_TOKEN))
    assert drawn == expected
    assert Latency(load(), seed=8).draw(Step.CHAT_FIRST_TOKEN) != expected[0]


def test_without_a_profile_nothing_takes_time() -> None:
    assert Latency(Profile()).draw(Step.SPEECH_FIRST_BYTE) == 0


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ({"chat": {"p50": 1}}, "chat: no such latency"),
        ({"listen_final": {"p50": 0.3, "p95": 0.2}}, "listen_final: p95 must not be below p50"),
        ({"listen_final": {"p50": 0}}, "listen_final: p50 must be above 0"),
        ({"listen_final": {"p50": 0.3, "p40": 0.4}}, "listen_final: p40: quantiles are"),
        ({"listen_final": "soon"}, "listen_final: 'soon' is not"),
        ({"chat_tokens_per_second": 0}, "chat_tokens_per_second must be above 0"),
        ([], "must be a mapping"),
    ],
)
def test_a_wrong_table_is_refused_by_name(table: object, complaint: str) -> None:
    with pytest.raises(LatencyError, match=complaint):
        parse(table)  # type: ignore[arg-type]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(LatencyError, match=r"none\.yaml: no such file"):
        load(tmp_path / "none.yaml")
