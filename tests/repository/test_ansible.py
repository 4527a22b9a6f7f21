"""The roles: what they say of their variables is what they have, and each is made alike."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
ANSIBLE = ROOT / "ansible"
sys.path.insert(0, str(ANSIBLE))

import roles  # noqa: E402

ROLES = sorted(path.name for path in (ANSIBLE / "roles").iterdir())
IN_THE_PLAY = [role for role in roles.names() if role not in ("unit", "files")]


def wiring() -> dict[str, Any]:
    return dict(yaml.safe_load((ANSIBLE / "group_vars" / "all.yml").read_text()))


def operators_file() -> dict[str, Any]:
    file = ANSIBLE / "inventory" / "example" / "group_vars" / "appliance" / "vars.yml"
    return dict(yaml.safe_load(file.read_text()))


@pytest.mark.parametrize("role", ROLES)
def test_every_variable_is_specified_and_has_its_default(role: str) -> None:
    spec, defaults = roles.load(role)
    optional = {name for name, option in spec["options"].items() if not option.get("required")}
    assert optional == defaults.keys()
    assert all(name.startswith(f"{role}_") for name in spec["options"])


@pytest.mark.parametrize("role", ROLES)
def test_the_default_that_is_told_is_the_one_in_force(role: str) -> None:
    spec, defaults = roles.load(role)
    for name, value in defaults.items():
        option = spec["options"][name]
        told = option["default"]
        in_words = isinstance(told, str) and (
            option["type"] != "str" or (isinstance(value, str) and "{{" in value)
        )
        assert in_words or told == value, name


@pytest.mark.parametrize("role", ROLES)
def test_a_secret_is_marked_as_one(role: str) -> None:
    spec, _ = roles.load(role)
    secret = re.compile(r"password|secrets|(?<!host)_key$")
    for name, option in spec["options"].items():
        if secret.search(name):
            assert option.get("no_log"), name


@pytest.mark.parametrize("role", IN_THE_PLAY)
def test_a_role_can_be_checked_before_anything_is_changed(role: str) -> None:
    if role != "preflight":
        assert (ANSIBLE / "roles" / role / "tasks" / "preflight.yml").is_file()


def test_the_wiring_and_the_operators_file_set_variables_that_exist() -> None:
    known = {name for role in ROLES for name in roles.load(role)[0]["options"]}
    for variables in (wiring(), operators_file()):
        unknown = {name for name in variables if not name.startswith("appliance_")} - known
        assert unknown == set()


@pytest.mark.parametrize("name", ["site", "rollback"])
def test_of_several_hosts_one_drains_at_a_time(name: str) -> None:
    (play,) = yaml.safe_load((ANSIBLE / f"{name}.yml").read_text())
    assert play["serial"] == 1


def test_the_play_is_a_list_of_roles_and_nothing_else() -> None:
    (play,) = yaml.safe_load((ANSIBLE / "site.yml").read_text())
    assert play.keys() == {"name", "hosts", "become", "serial", "roles"}
    assert play["roles"][0]["role"] == "preflight"
    for entry in play["roles"][1:]:
        assert entry["tags"] == [entry["role"]]


@pytest.mark.parametrize("role", ROLES)
def test_only_what_comes_with_ansible_is_used(role: str) -> None:
    for file in (ANSIBLE / "roles" / role).rglob("tasks/*.yml"):
        modules = re.findall(r"^ +([a-z0-9_]+\.[a-z0-9_]+\.[a-z0-9_]+):", file.read_text(), re.M)
        assert {m for m in modules if not m.startswith("ansible.builtin.")} == set(), file


@pytest.mark.parametrize("role", ROLES)
def test_no_configuration_is_replaced_unseen(role: str) -> None:
    """A file that a program reads is checked by that program, or the reason why not is here."""
    nothing_checks = {
        "slice-dropin.conf.j2",
        "dropin.conf.j2",  # systemd has no check for a part of a unit
        "journald.conf.j2",
        "logrotate.j2",
        "sysctl.conf.j2",
        "cron.j2",  # cron reads what it understands: the tests of the appliance wait for it
        "datasource.yaml.j2",
        "site.prom.j2",  # an alert tells of one that cannot be read
    }
    for file in wanted_files(role):
        template = file.get("template")
        if template and Path(template).name not in nothing_checks:
            assert "check" in file, file
    for file in (ANSIBLE / "roles" / role / "tasks").glob("*.yml"):
        for task in tasks_of(yaml.safe_load(file.read_text()) or []):
            assert "ansible.builtin.template" not in task, f"{file}: the role files writes files"


def wanted_files(role: str) -> list[dict[str, str]]:
    """Entries of files_wanted, in tasks and in variables; those that Jinja makes are text."""
    found: list[dict[str, str]] = []

    def look(value: object) -> None:
        if isinstance(value, dict):
            if "path" in value and ("template" in value or "source" in value):
                found.append(value)
            for part in value.values():
                look(part)
        elif isinstance(value, list):
            for part in value:
                look(part)

    for folder in ("tasks", "vars"):
        for file in (ANSIBLE / "roles" / role / folder).glob("*.yml"):
            look(yaml.safe_load(file.read_text()))
    return found


def tasks_of(tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for task in tasks:
        found.append(task)
        for part in ("block", "rescue", "always"):
            found += tasks_of(task.get(part, []))
    return found


def test_whoever_installs_waits_for_the_upgrade_of_a_fresh_host() -> None:
    """Of ten minutes: cloud images begin with it, and hold the lock of packages meanwhile."""
    waits = 0
    for file in (ANSIBLE / "roles").glob("*/tasks/*.yml"):
        for task in tasks_of(yaml.safe_load(file.read_text()) or []):
            if "ansible.builtin.apt" in task:
                assert task["ansible.builtin.apt"]["lock_timeout"] == 600, task["name"]
                waits += 1
        waits += file.read_text().count("-oDPkg::Lock::Timeout=600")
    assert waits == 3


STAYS = {
    "/etc/default/": "the package's, which stays; without its arguments it would listen elsewhere",
    "/etc/docker": "other containers may run by it",
    "/etc/needrestart": "a folder of the distribution",
    "/etc/needrestart/conf.d": "a folder of the distribution",
    "/etc/prometheus": "the package's, which stays, stopped: what is secret in it goes",
    "/etc/ssl/": "read, not written",
    "/etc/systemd/journald.conf.d": "a folder that may have other settings",
    "/etc/systemd/system/nftables.service.d": "a folder that may have other settings",
    "/etc/systemd/system/prometheus": "folders that may have other settings",
    "/etc/asterisk": "a folder, and nothing is in it any more",
    "/var/lib/asterisk": "goes with the data, when asked",
    "/var/lib/voicebot": "goes with the data, when asked",
    "/var/log/asterisk": "goes with the data, when asked",
}
"""What an uninstallation leaves of what the roles write, and why. A secret may not be here."""


def test_what_the_roles_write_is_taken_off_the_host_or_stays_for_a_reason() -> None:
    path = re.compile(r"(?:path['\"]?|\w+_file): +['\"]?(/(?:etc|usr|var)/[\w./-]*[\w/-])")
    written = {
        found
        for folder in ("tasks", "vars")
        for file in (ANSIBLE / "roles").glob(f"*/{folder}/*.yml")
        for found in path.findall(file.read_text())
    }
    assert len(written) > 50
    removed = set(re.findall(r"^ +- (/\S+)$", (ANSIBLE / "uninstall.yml").read_text(), re.M))
    secret = re.compile(r"password|/secrets|/\.ssh|/alertmanager\.yml")
    left = {
        path
        for path in written - removed
        if not any(path.startswith(f"{folder}/") for folder in removed)
    }
    assert {path for path in left if secret.search(path)} == set()
    assert {path for path in left if not path.startswith(tuple(STAYS))} == set()


def test_the_bundle_has_the_packages_that_the_roles_install() -> None:
    """Whatever a role hands to host_wanted, directly or by a default."""
    said = [f"host_wanted: {roles.load('host')[1]['host_packages']}"]
    said.append(f"host_wanted: {roles.load('docker')[1]['docker_packages']}")
    tasks = "\n".join(path.read_text() for path in (ANSIBLE / "roles").glob("*/tasks/*.yml"))
    said += re.findall(r"^ +host_wanted: .*(?:\n +\+ .*)*", tasks, re.M)
    assert len(said) > 5
    lists = [
        one for text in said for one in re.findall(r"(?<!\w)\[((?:'?[a-z][a-z.-]+'?,? ?)+)\]", text)
    ]
    installed = {name for one in lists for name in re.findall(r"[a-z][a-z.-]+", one)}
    script = (ROOT / "scripts" / "bundle-packages").read_text()
    arrays = re.findall(r"^(?:wanted|if_there)=\(([^)]+)\)", script, re.M)
    assert installed == {name for array in arrays for name in array.split()}
