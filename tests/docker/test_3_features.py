"""Everything that the service and its commands do, inside the images, under every flag.

Above all under the list of system calls: one that is missing shows here.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import wave
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.containers import (
    CLOUD,
    FULL,
    VOICEBOT_UID,
    Hardened,
    cores_of,
    docker,
    processes,
    service_of,
    until,
)

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

EVERY_CORE = sorted(os.sched_getaffinity(0))


@pytest.fixture
def recorded(hardened: Hardened) -> Hardened:
    """A host with a recording of a second."""
    folder = hardened.directory / "lib/var/recordings/2026/11/26"
    folder.mkdir(parents=True)
    name = "20261126T101010Z_38cb4678-7fb1-4f3d-968d-396c7cf30c07.wav"
    with wave.open(str(folder / name), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(range(256)) * 125)
    for path in (hardened.directory / "lib").rglob("*"):
        os.chown(path, VOICEBOT_UID, VOICEBOT_UID)
    return hardened


def test_both_engines_speak_and_listen(hardened: Hardened) -> None:
    """Kokoro renders sentences that the image does not have; espeak-ng and onnxruntime work."""
    script = hardened.directory / "etc/script.yaml"
    package = Path(__file__).parents[2] / "voicebot/data/scripts/sav.fr.yaml"
    script.write_text(package.read_text().replace("Très bien, j'ai compris.", "Bien, compris."))
    os.chown(script, 0, VOICEBOT_UID)
    status, output = hardened.run(
        FULL, "prompts", "--all-cores", environment={"SCRIPT_FILE": "/etc/voicebot/script.yaml"},
        within=300,
    )  # fmt: skip
    assert status == 0, output
    assert "Rendering" in output
    assert "ready in" in output


def test_mp3s_are_made_and_compared(recorded: Hardened) -> None:
    status, output = recorded.task(FULL, "convert")
    assert status == 0, output
    assert len(list((recorded.directory / "lib").rglob("*.mp3"))) == 1, output
    assert "voicebot_task_last_success" in recorded.metrics("convert")


@pytest.mark.parametrize("image", [FULL, CLOUD])
@pytest.mark.parametrize("kind", ["", "restic:"])
def test_a_backup_and_back(image: str, kind: str, recorded: Hardened) -> None:
    """By rsync, and encrypted by restic, which is in both images."""
    environment = {"BACKUP_TARGET": f"{kind}/var/lib/voicebot/backups", "BACKUP_KEY": "of-the-test",
                   "DEEPGRAM_API_KEY": "none", "OPENAI_API_KEY": "none"}  # fmt: skip
    (recorded.directory / "lib/backups").mkdir()
    os.chown(recorded.directory / "lib/backups", VOICEBOT_UID, VOICEBOT_UID)
    with recorded.serving(FULL):
        pass  # makes a journal
    status, output = recorded.task(image, "backup", environment=environment)
    assert status == 0, output
    (recording,) = (recorded.directory / "lib/var/recordings").rglob("*.wav")
    content = recording.read_bytes()
    kept = [path.read_bytes() for path in (recorded.directory / "lib/backups").rglob("*")
            if path.is_file()]  # fmt: skip
    assert any(content in one for one in kept) == (not kind), "restic lets nobody read it"
    shutil.rmtree(recorded.directory / "lib/var/recordings")
    status, output = recorded.run(image, "restore", "--check", environment=environment)
    assert status == 0, output


def test_backup_by_ssh_reaches_the_network(hardened: Hardened) -> None:
    """ssh runs, and what stops it is that nobody listens, no flag of ours."""
    code = (
        "import subprocess; d = subprocess.run(['ssh', '-o', 'BatchMode=yes', '-p', '1',"
        " 'nobody@127.0.0.1', 'true'], capture_output=True, text=True); print(d.stderr)"
    )
    _, output = hardened.python(code, network="host")
    assert "Connection refused" in output


def test_retention_is_run(recorded: Hardened) -> None:
    with recorded.serving(FULL):
        pass
    status, output = recorded.task(FULL, "retention")
    assert status == 0, output
    assert "voicebot_task_last_success" in recorded.metrics("retention")


def test_a_task_of_the_night_comes_behind_everything(hardened: Hardened) -> None:
    """What it is inside: idle for the disk; a twentieth of a core that others want as well."""
    show = "import subprocess; print(subprocess.run(['ionice'], capture_output=True).stdout)"
    status, output = hardened.run(
        FULL, "-c", "3", "python3.11", "-c", show, container="voicebot-task", memory="1g"
    )
    assert (status, output) == (0, "b'idle\\n'\n")


@pytest.mark.parametrize("command", ["calls", "callbacks", "settings", "models", "runbook"])
def test_the_other_commands(recorded: Hardened, command: str) -> None:
    with recorded.serving(FULL):
        pass
    status, output = recorded.run(FULL, command)
    assert status == 0, output


def test_doctor_finds_no_fault_in_a_running_service(hardened: Hardened) -> None:
    with hardened.serving(FULL) as name:
        output = docker("exec", name, "voicebot", "doctor", check=False)
    assert "✗" not in output, output


@pytest.fixture
def emulator(hardened: Hardened) -> Iterator[dict[str, str]]:
    """The clouds' emulator, on the containers' network; the settings that lead there."""
    network = f"--net=/run/netns/{os.environ['DOCKER_NETWORK']}"
    with subprocess.Popen(
        ["nsenter", network, ".venv/bin/voicebot", "emulate", "--latency=none", "--voice=espeak"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=Path(__file__).parents[2],
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            environment = {}
            for line in process.stdout:
                name, equals, value = line.strip().partition("=")
                if equals and name.endswith("_BASE_URL"):
                    environment[name] = value
                if line.startswith("# ready"):
                    break
            yield environment
        finally:
            process.terminate()


def test_the_cloud_image_takes_calls_with_keys_from_files(
    hardened: Hardened, emulator: dict[str, str]
) -> None:
    for name in ("DEEPGRAM_API_KEY", "OPENAI_API_KEY"):
        file = hardened.directory / "etc/secrets" / name
        file.write_text("k3y-of-the-test\n")
        file.chmod(0o440)
        os.chown(file, 0, VOICEBOT_UID)
    ports = {"AUDIOSOCKET_PORT": "19090", "CONTROL_PORT": "19080"}
    with hardened.serving(CLOUD, network="host", environment={**emulator, **ports}) as name:
        log = [json.loads(line) for line in docker("logs", name).splitlines()]
        environment = docker("inspect", "--format", "{{.Config.Env}}", name)
    (prompts,) = [line for line in log if line["event"] == "prompts loaded"]
    assert prompts["voice"].startswith("openai ")
    assert "k3y-of-the-test" not in environment


def layout_of(name: str) -> tuple[str, list[str]]:
    """Cores of the service's main thread, and of each worker."""
    workers = [pid for pid, line in processes(name).items() if "voicebot.workers.child" in line]
    return cores_of(service_of(name)), sorted(cores_of(pid) for pid in workers)


def test_each_process_has_its_core(hardened: Hardened) -> None:
    """Seen from this machine's /proc, while it runs: the loop on the first, a worker each."""
    with hardened.serving(FULL) as name:
        loop, workers = layout_of(name)
    first, *others = EVERY_CORE
    assert loop == str(first)
    assert workers == sorted(map(str, others or [first]))


@pytest.mark.parametrize("core", [EVERY_CORE[0], EVERY_CORE[-1]])
def test_a_single_core_is_shared(hardened: Hardened, core: int) -> None:
    """Also one that is not core 0."""
    with hardened.serving(FULL, cpuset=str(core)) as name:
        assert layout_of(name) == (str(core), [str(core)])


def test_a_core_that_cannot_be_had_is_named(hardened: Hardened) -> None:
    status, output = hardened.run(
        FULL, cpuset=str(EVERY_CORE[-1]), environment={"LOOP_CORE": "900"}
    )
    assert status == 1
    assert f"LOOP_CORE=900: this process may use only core {EVERY_CORE[-1]}" in output


def test_a_loop_that_stands_still_ends_the_container_and_is_named(hardened: Hardened) -> None:
    code = (
        "import asyncio, sys, time\n"
        "from voicebot import service\n"
        "real = service.systemd.notify\n"
        "def notify(message):\n"
        "    if message.startswith('READY'):\n"
        "        asyncio.get_running_loop().call_later(0.5, stands_still)\n"
        "def stands_still(): time.sleep(60)\n"
        "service.systemd.notify = notify\n"
        "from voicebot.cli import main\n"
        "sys.exit(main(['serve']))\n"
    )
    status, output = hardened.run(
        FULL, "-c", code, entrypoint="/opt/voicebot/bin/python",
        environment={"STUCK_LIMIT": "2"},
    )  # fmt: skip
    assert status == 1
    assert "in stands_still" in output


def test_the_health_check_sees_a_process_that_is_frozen(hardened: Hardened) -> None:
    with hardened.serving(FULL) as name:
        assert docker("exec", name, "/usr/bin/healthcheck") == ""
        os.kill(service_of(name), signal.SIGSTOP)
        until(
            lambda: "exit" in docker("exec", name, "/bin/bash", "-c",
                                     "/usr/bin/healthcheck || echo exit", check=False),
            60, "the check fails",
        )  # fmt: skip
