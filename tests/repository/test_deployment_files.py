"""The files an operator installs agree with the settings of the code."""

from __future__ import annotations

import configparser
import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import run_flags
import yaml

from voicebot.config import Settings

ROOT = Path(__file__).parents[2]


DANGEROUS = """
add_key bpf chroot clone3 io_uring_setup kexec_load keyctl memfd_create mknod mknodat mount
name_to_handle_at open_by_handle_at perf_event_open personality pidfd_getfd pivot_root
process_vm_readv process_vm_writev ptrace reboot setns swapon umount2 unshare userfaultfd
"""


class _Unit(configparser.RawConfigParser):
    """A unit file: keys may come twice, and their case matters."""

    optionxform = staticmethod(str)  # type: ignore[assignment]


def unit_file(name: str) -> configparser.RawConfigParser:
    parser = _Unit(strict=False)
    parser.read(ROOT / "systemd" / name)
    return parser


@pytest.fixture(scope="module")
def unit() -> configparser.RawConfigParser:
    return unit_file("voicebot-native.service")


@pytest.mark.parametrize("name", ["voicebot-native.service", "voicebot.service"])
def test_systemd_waits_for_running_calls_longer_than_the_service_does(name: str) -> None:
    settings = Settings()
    assert settings.drain_timeout > settings.max_call_duration
    assert unit_file(name).getint("Service", "TimeoutStopSec") > settings.drain_timeout


def test_docker_waits_longer_than_the_service_and_systemd_longer_than_docker() -> None:
    stop = run_flags.load()["voicebot"]["stop_seconds"]
    assert Settings().drain_timeout < stop
    assert stop < unit_file("voicebot.service").getint("Service", "TimeoutStopSec")


@pytest.mark.parametrize("container", ["voicebot", "asterisk"])
def test_what_a_container_prints_is_limited_and_kept_by_the_journal(container: str) -> None:
    """And never makes it wait: Docker's own copy is small, and loses what comes too fast."""
    service = unit_file(f"{container}.service")["Service"]
    assert 0 < int(service["LogRateLimitBurst"]) <= 5000
    assert int(service["LogRateLimitIntervalSec"]) == 30
    options = run_flags.load()[container]["log_opts"]
    assert options == {"max-size": "10m", "max-file": "3", "mode": "non-blocking"}


@pytest.mark.parametrize("container", ["voicebot", "asterisk", "voicebot-task"])
def test_each_container_is_run_with_every_restriction(container: str) -> None:
    arguments = run_flags.run_arguments(container, run_flags.load()[container])
    assert {
        "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--init",
        f"--security-opt=seccomp={ROOT / 'docker' / 'seccomp.json'}",
    } <= set(arguments)  # fmt: skip
    given = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
    assert given["--memory"] == given["--memory-swap"]
    assert int(given["--pids-limit"]) > 0
    assert "docker.sock" not in str(arguments)
    assert not {"--privileged", "--cap-add", "--device", "--pid"} & given.keys()
    for argument in arguments:
        if argument.startswith("--tmpfs="):
            assert "noexec,nosuid,nodev,size=" in argument


def test_a_task_of_the_night_comes_behind_calls() -> None:
    flags = run_flags.load()
    task, service = flags["voicebot-task"], flags["voicebot"]
    assert task["cpu_shares"] * 20 < service["cpu_shares"]
    assert run_flags.command(task) == ["-c", "3", "voicebot"], "ionice's class of the idle"
    assert task["network"] == "${TASK_NETWORK:-none}"


def on_a_host(script: str, arguments: list[str], tmp_path: Path, **environment: str) -> list[str]:
    """What *script* of the playbook gives Docker, last of all, run with *arguments* on a host whose
    files and Docker are in *tmp_path*."""
    given = tmp_path / "arguments"
    docker = tmp_path / "docker"
    docker.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$@" >{given}.$1\n[ "$1" != container ] || echo "$RUNS"\n'
    )
    docker.chmod(0o755)
    (tmp_path / "deploy.env").write_text(
        "VOICEBOT_IMAGE=voicebot:1-full\nVOICEBOT_CPUSET=0-3\n"
        "TASK_CPUSET=0,5\nTASK_MEMORY=2g\nTASK_METRICS=/srv/metrics\n"
    )
    text = (ROOT / "ansible/roles" / script).read_text()
    for path, ours in {
        "/etc/voicebot/deploy.env": str(tmp_path / "deploy.env"),
        "/run/voicebot-task": str(tmp_path / "voicebot-task"),
        "exec systemd-cat -t voicebot-task": "exec cat",
    }.items():
        text = text.replace(path, ours)
    assert str(tmp_path) in text
    done = subprocess.run(
        ["/bin/bash", "-c", text, Path(script).name, *arguments],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", **environment},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (last,) = [one for one in tmp_path.glob("arguments.*") if one.suffix in (".run", ".exec")]
    return last.read_text().splitlines()


def test_a_command_on_a_host_is_run_in_the_container_of_the_service(tmp_path: Path) -> None:
    given = on_a_host("voicebot/files/voicebot", ["calls", "--json"], tmp_path, RUNS="true")
    assert given == ["exec", "--interactive", "voicebot", "voicebot", "calls", "--json"]


@pytest.mark.parametrize("runs", ["false", "Error: No such container: voicebot"])
def test_and_in_one_of_its_own_where_the_service_does_not_run(runs: str, tmp_path: Path) -> None:
    """With the same flags, under a name that neither the service nor another command has."""
    given = on_a_host("voicebot/files/voicebot", ["doctor"], tmp_path, RUNS=runs)
    flags = {**run_flags.load()["voicebot"], "cpuset": "0-3"}
    name = given[3].removeprefix("--name=")
    assert re.fullmatch(r"voicebot-command-\d+", name)
    wanted = run_flags.run_arguments(name, flags, directory=run_flags.HOST_DIRECTORY)
    assert given == [
        "run", "--rm", "--pull=never", *wanted, "--interactive", "voicebot:1-full", "doctor",
    ]  # fmt: skip


@pytest.mark.parametrize("task", ["convert", "restore"])
def test_what_a_host_runs_at_night_is_what_the_one_place_says(task: str, tmp_path: Path) -> None:
    """The very script of a host, with a docker that tells what it is given."""
    given = on_a_host(
        "recordings/files/voicebot-task", ["5h", task, "--an-option"], tmp_path,
        TASK_VOLUMES="/mnt/the one\n/mnt/two",
    )  # fmt: skip
    flags = run_flags.load()["voicebot-task"]
    flags |= {"network": "none", "cpuset": "0,5", "memory": "2g"}
    wanted = run_flags.run_arguments(
        f"voicebot-task-{task}", flags,
        directory=run_flags.HOST_DIRECTORY, mounts={"/metrics": "/srv/metrics"},
    )  # fmt: skip
    # Nobody watches over a restore: it is asked for.
    metrics = ["--metrics", f"/metrics/voicebot-{task}.prom"] if task != "restore" else []
    assert given == [
        "run", "--rm", "--pull=never", *wanted,
        "--mount=type=bind,source=/mnt/the one,target=/mnt/the one",
        "--mount=type=bind,source=/mnt/two,target=/mnt/two",
        "voicebot:1-full", *run_flags.command(flags),
        task, *metrics, "--an-option",
    ]  # fmt: skip


def test_the_system_calls_allowed_are_fewer_than_dockers_and_none_of_the_dangerous_ones() -> None:
    profile = json.loads((ROOT / "docker" / "seccomp.json").read_text())
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    allowed = {
        name
        for rule in profile["syscalls"]
        if rule["action"] == "SCMP_ACT_ALLOW"
        for name in rule["names"]
    }
    assert len(allowed) < 230, "Docker's own allows more than 350"
    assert not allowed & set(DANGEROUS.split())


def test_the_unit_writes_only_below_its_state_directory(
    unit: configparser.RawConfigParser,
) -> None:
    assert unit["Service"]["ProtectSystem"] == "strict"
    assert unit["Service"]["WorkingDirectory"] == f"/var/lib/{unit['Service']['StateDirectory']}"
    settings = Settings()
    for path in (settings.models_dir, settings.cache_dir, settings.recordings_dir):
        assert not path.is_absolute()


def targets(job: str) -> list[str]:
    """Where the job's one target file sends Prometheus."""
    config = yaml.safe_load((ROOT / "prometheus/prometheus.yml").read_text())
    (found,) = (c for c in config["scrape_configs"] if c["job_name"] == job)
    (files,) = found["file_sd_configs"]
    assert files["files"] == [f"targets/{job}.yml"]
    (entry,) = yaml.safe_load((ROOT / f"prometheus/targets/{job}.yml").read_text())
    assert entry["labels"] == {"instance": "voicebot"}, "or the cores are not marked"
    hosts: list[str] = entry["targets"]
    return hosts


def test_prometheus_asks_where_the_service_answers() -> None:
    settings = Settings()
    assert targets("voicebot") == [f"{settings.control_host}:{settings.control_port}"]
    taken = {settings.audiosocket_port, settings.control_port}
    others = {
        int(targets(job)[0].rpartition(":")[2])
        for job in ("node", "asterisk", "alertmanager", "prometheus")
    }
    assert len(others) == 4
    assert not taken & others


def test_grafana_is_the_same_one_everywhere() -> None:
    """In the compose file, of the playbook, and of the page that brings it by hand."""
    compose = yaml.safe_load((ROOT / "docker/compose.yaml").read_text())
    ours = compose["services"]["grafana"]["image"].removeprefix("${GRAFANA_IMAGE:-").rstrip("}")
    defaults = yaml.safe_load((ROOT / "ansible/roles/grafana/defaults/main.yml").read_text())
    page = (ROOT / "docs/how-to/deploy-without-a-network.md").read_text()
    assert {ours, *re.findall(r"grafana/grafana-oss:[\d.]+\d", page)} == {defaults["grafana_image"]}


def test_scripts_can_be_run() -> None:
    scripts = [*(ROOT / "scripts").iterdir(), ROOT / ".ci" / "run"]
    assert [s.name for s in scripts if s.is_file() and not os.access(s, os.X_OK)] == []
