"""The disk under the recordings is full: that call goes on, the next one is tried again."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.scene import story
from tests.support.service import ServiceInstance
from tests.support.telephone import GAP_SECONDS, calling, duration
from tests.support.waiting import until

pytestmark = pytest.mark.service

KILOBYTES = 96
"""Of the disk: three seconds of a recording."""


def private_disk(directory: Path) -> list[str]:
    """A command that runs another with a small disk at *directory*, seen by nobody else."""
    mount = f"mount -t tmpfs -o size={KILOBYTES}k tmpfs {directory}"
    # Who is not root may mount in a user namespace of his own, where he is.
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    command = ["unshare", *user, "--mount", "sh", "-c", f'{mount} && exec "$@"', "sh"]
    tried = subprocess.run([*command, "true"], capture_output=True, text=True, check=False)
    assert tried.returncode == 0, f"a small disk of our own is needed: {tried.stderr.strip()}"
    return command


def finished(recordings: Path) -> list[Path]:
    return list(recordings.rglob("*.wav"))


@story
async def test_a_full_disk_costs_the_rest_of_the_recording_and_nothing_else(
    tmp_path: Path,
) -> None:
    disk = tmp_path / "recordings"
    disk.mkdir()
    with ServiceInstance(tmp_path, within=private_disk(disk)) as instance:
        seen = Path(f"/proc/{instance.pid}/root{disk}")  # the disk is in the service's own world
        async with calling(instance) as caller:
            await caller.hears_speech()
            failure = await caller.event("recording stopped")
            await caller.press("1")
            await caller.event("state changed", state="identification")
            await caller.line.heard(len(caller.line.received) + 25)
            assert caller.longest_gap() < GAP_SECONDS
        await caller.event("call ended")

        assert instance.logged("recording stopped") == [failure], "one line, not one a frame"
        assert "No space left on device" in failure["error"]
        assert instance.count("recording_failures_total") == 1
        (kept,) = finished(seen)
        assert duration(kept) == pytest.approx(failure["seconds_kept"], abs=0.1)
        assert 2 < duration(kept) < 4

        kept.unlink()
        async with calling(instance) as caller:
            await caller.line.heard(60)
        await caller.event("call ended")
        await until(lambda: bool(finished(seen)), 5, "the next call is recorded")
        assert instance.count("recording_failures_total") == 1
        assert instance.stop() == 0
