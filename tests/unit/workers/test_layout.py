"""Who gets which core."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebot.workers.layout import CoreLayout, LayoutError, layout


@pytest.mark.parametrize(
    ("available", "expected"),
    [
        ([0], CoreLayout(0, (0,))),
        ([0, 1], CoreLayout(0, (1,))),
        ([0, 1, 2, 3], CoreLayout(0, (1, 2, 3))),
        ([6, 2, 4], CoreLayout(2, (4, 6))),
    ],
)
def test_the_loop_has_the_first_core_and_the_workers_the_others(
    available: list[int], expected: CoreLayout
) -> None:
    assert layout(available) == expected


def test_the_operator_chooses() -> None:
    assert layout(range(8), loop_core=3, worker_cores=(7, 5)) == CoreLayout(3, (5, 7))
    assert layout(range(4), loop_core=3) == CoreLayout(3, (0, 1, 2))


@pytest.mark.parametrize(
    ("loop", "workers", "setting"),
    [
        (9, None, r"LOOP_CORE=9: .* core 0, 1$"),
        (None, (1, 2), r"WORKER_CORES=1,2: .* core 0, 1$"),
        (None, (), r"WORKER_CORES=: "),
        (None, (0, 1), r"WORKER_CORES=0,1: core 0 is the event loop's"),
    ],
)
def test_an_impossible_wish_names_the_setting(
    loop: int | None, workers: tuple[int, ...] | None, setting: str
) -> None:
    with pytest.raises(LayoutError, match=setting):
        layout([0, 1], loop, workers)


def test_on_a_single_core_the_operator_may_say_so() -> None:
    assert layout([5], 5, [5]) == CoreLayout(5, (5,))


@given(st.sets(st.integers(0, 255), min_size=1))
def test_no_core_is_idle_and_only_a_single_one_is_shared(cores: set[int]) -> None:
    shared_out = layout(cores)

    assert {shared_out.loop, *shared_out.workers} == cores
    assert (shared_out.loop in shared_out.workers) == (len(cores) == 1)
