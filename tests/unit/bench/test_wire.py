"""RTP read off the wire: what is known of it afterwards."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from bench.wire import Flow
from tests.support.loopback_tap import packet
from voicebot.audio.pcm import FRAME_BYTES, FRAME_SECONDS


def flow(numbers: list[int], first: int = 0, late: float = 0.0) -> Flow:
    """Packets on time, but for every second one."""
    found = Flow()
    for number in numbers:
        found.add(100 + number * FRAME_SECONDS + late * (number % 2), packet(number, first))
    return found


def test_a_frame_that_is_missing_is_counted_and_one_that_overtakes_is_not() -> None:
    assert flow([0, 1, 2, 3]).lost == 0
    assert flow([0, 1, 4, 5]).lost == 2
    assert flow([0, 2, 1, 3]).lost == 0


def test_sequence_numbers_begin_anew_after_65535() -> None:
    assert flow(list(range(8)), first=65_533).lost == 0
    assert flow([0, 1, 2, 6, 7], first=65_533).lost == 3


def test_a_punctual_flow_has_no_jitter_and_one_that_is_late_by_turns_has_that() -> None:
    assert flow(list(range(500))).jitter() == pytest.approx(0.0, abs=1e-9)
    assert flow(list(range(500)), late=0.004).jitter() == pytest.approx(0.004, rel=0.01)


def test_what_passes_on_loopback_is_seen_with_the_time_of_the_kernel() -> None:
    # Who is not root may listen to a network of his own, where he is.
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    own = ["unshare", *user, "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    done = subprocess.run(
        [*own, sys.executable, "-m", "tests.support.loopback_tap"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"sizes": [FRAME_BYTES] * 3, "lost": 0, "in time": True}
