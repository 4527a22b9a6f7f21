"""Which core does what.

The event loop owes every caller a frame each 20 ms, so nothing that computes may share its core
if there is another. Pure: the caller says which cores the process may use.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


class LayoutError(Exception):
    """The settings ask for cores that cannot be had; the message names the setting."""


@dataclass(frozen=True, slots=True)
class CoreLayout:
    """The outcome: one event loop, and one worker process for each of ``workers``."""

    loop: int
    workers: tuple[int, ...]


def layout(
    available: Iterable[int],
    loop_core: int | None = None,
    worker_cores: Iterable[int] | None = None,
) -> CoreLayout:
    """Share out the *available* cores (``os.sched_getaffinity``).

    By default the loop has the first, and a worker each of the others. On one core the only
    worker shares it; its lower priority lets the loop go first. Raises LayoutError.
    """
    cores = sorted(set(available))
    listing = ", ".join(map(str, cores))
    if loop_core is not None and loop_core not in cores:
        raise LayoutError(f"LOOP_CORE={loop_core}: this process may use only core {listing}")
    loop = cores[0] if loop_core is None else loop_core
    if worker_cores is None:
        return CoreLayout(loop, tuple(core for core in cores if core != loop) or (loop,))

    workers = tuple(sorted(set(worker_cores)))
    shown = ",".join(map(str, workers))
    missing = [core for core in workers if core not in cores]
    if not workers or missing:
        raise LayoutError(f"WORKER_CORES={shown}: this process may use only core {listing}")
    if loop in workers and len(cores) > 1:
        raise LayoutError(
            f"WORKER_CORES={shown}: core {loop} is the event loop's, and callers would hear its "
            f"work; leave it out, or give the loop another core with LOOP_CORE"
        )
    return CoreLayout(loop, workers)
