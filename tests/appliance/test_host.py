"""A fresh host, and what it is after the first and the second run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.appliance.conftest import Appliance
from tests.support.fresh_host import ADMIN, FreshHost

pytestmark = [pytest.mark.appliance, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def appliance(host: FreshHost, tmp_path_factory: pytest.TempPathFactory) -> Appliance:
    folder: Path = tmp_path_factory.mktemp("inventory")
    return Appliance(host, folder, {"host_ssh_from": [f"{ADMIN}/32"]})


def test_a_fresh_host_is_set_up(appliance: Appliance) -> None:
    assert appliance.play("site").changed > 0
    assert appliance.host.ssh("systemctl is-system-running").strip() == "running"


def test_a_second_run_changes_nothing(appliance: Appliance) -> None:
    assert appliance.play("site").changed == 0


def test_a_run_that_was_cut_off_before_a_restart_is_mended(appliance: Appliance) -> None:
    """The file is in place, the service still runs with the one before."""
    appliance.host.ssh("touch /etc/docker/daemon.json")
    before = appliance.host.ssh("systemctl show -p MainPID --value docker")
    run = appliance.play("site")
    assert run.changed == 1
    assert appliance.host.ssh("systemctl show -p MainPID --value docker") != before


def test_everything_that_is_wrong_is_named_at_once(appliance: Appliance) -> None:
    run = appliance.play(
        "site", ok=False, host_ssh_from=["192.0.2.0/24"], host_rtp_ports=[1], prometheus_prt=1,
        cpu_layout_loop=99,
    )  # fmt: skip
    assert "4 thing(s) must be put right first" in run.output
    assert "the firewall would lock you out" in run.output
    assert "prometheus_prt: no role has such a variable" in run.output
    assert run.changed == 0
