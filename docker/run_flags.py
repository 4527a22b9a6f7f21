"""The run flags of ``flags.yaml`` in the forms that need them.

``docker/run_flags.py unit voicebot`` prints the ExecStart= of a systemd unit, ``… compose
voicebot`` the part of a compose service, ``… shell voicebot-task`` an array of a script, ``… run
voicebot`` the arguments of ``docker run``, one a line. scripts/generate puts the first three into
their files.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
HARDENING = ("rw", "noexec", "nosuid", "nodev")
"""Of every tmpfs."""
HOST_DIRECTORY = Path("/etc/voicebot")
"""Where a host keeps the seccomp profile. The engine's client reads it, not the engine."""

SANDBOX = """\
# Of Docker's client, which is all that runs in this unit: it needs the engine's socket.
Environment=DOCKER_CONFIG=/nonexistent
CapabilityBoundingSet=
KeyringMode=private
LockPersonality=yes
MemoryDenyWriteExecute=yes
NoNewPrivileges=yes
PrivateDevices=yes
PrivateNetwork=yes
PrivateTmp=yes
ProcSubset=pid
ProtectClock=yes
ProtectControlGroups=yes
ProtectHome=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProtectSystem=strict
RestrictAddressFamilies=AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
UMask=0077"""


def load() -> dict[str, dict[str, Any]]:
    """Container to its flags, with what all have in common. Raises OSError, yaml.YAMLError."""
    data = yaml.safe_load((HERE / "flags.yaml").read_text(encoding="utf-8"))
    return {name: {**data["common"], **own} for name, own in data["containers"].items()}


def run_arguments(
    name: str,
    flags: Mapping[str, Any],
    *,
    directory: Path = HERE,
    mounts: Mapping[str, str] | None = None,
) -> list[str]:
    """What stands between ``docker run`` and the image; :func:`command` is what follows it.

    *directory* holds the seccomp profile. *mounts* replaces sources of mounts, by target: for
    tests, and whoever keeps files elsewhere.
    """
    sources = mounts or {}
    arguments = [f"--name={name}", f"--network={flags['network']}", f"--ipc={flags['ipc']}"]
    arguments += ["--init"] if flags["init"] else []
    arguments += ["--read-only"] if flags["read_only"] else []
    arguments += [f"--cap-drop={capability}" for capability in flags["cap_drop"]]
    arguments += ["--security-opt=no-new-privileges"] if flags["no_new_privileges"] else []
    arguments += [f"--security-opt=seccomp={directory / flags['seccomp']}"]
    # The same for memory and swap: none is swapped out, which would be heard.
    arguments += [f"--memory={flags['memory']}", f"--memory-swap={flags['memory']}"]
    arguments += [f"--pids-limit={flags['pids']}", f"--cpu-shares={flags['cpu_shares']}"]
    arguments += [f"--cpuset-cpus={flags['cpuset']}"]
    arguments += [f"--ulimit={what}={most}" for what, most in flags["ulimits"].items()]
    arguments += [
        f"--tmpfs={path}:{','.join((*HARDENING, options))}"
        for path, options in flags["tmpfs"].items()
    ]
    for mount in flags["mounts"]:
        source = sources.get(mount["target"], mount["source"])
        mode = ",readonly" if mount.get("read_only") else ""
        arguments.append(f"--mount=type=bind,source={source},target={mount['target']}{mode}")
    arguments += [f"--env={what}={value}" for what, value in flags.get("environment", {}).items()]
    arguments += [f"--entrypoint={flags['entrypoint'][0]}"] if "entrypoint" in flags else []
    arguments += [f"--log-driver={flags['log_driver']}"]
    arguments += [f"--log-opt={what}={value}" for what, value in flags["log_opts"].items()]
    return [*arguments, f"--stop-timeout={flags['stop_seconds']}"]


def command(flags: Mapping[str, Any]) -> list[str]:
    """What stands behind the image, where its own entry point is not the one to run."""
    return list(flags.get("entrypoint", ())[1:])


def shell(name: str, flags: Mapping[str, Any]) -> str:
    """``container``, an array: from the first flag to what is run. The name ends with ``$task``."""
    arguments = run_arguments(f"{name}-$task", flags, directory=HOST_DIRECTORY)
    words = [*arguments, '"${more[@]}"', flags["image"], *command(flags)]
    return "\n".join(["container=(", *(f"    {_quoted(word)}" for word in words), ")"])


def _quoted(word: str) -> str:
    """As bash must have it, so that variables in it are replaced, and nothing is split."""
    plain = word.startswith('"') or not set(word) & set("$,")
    return word if plain else f'"{word}"'


def unit(name: str, flags: Mapping[str, Any]) -> str:
    """ExecStart=, the time-out that must fit it, and the sandbox of what it starts."""
    arguments = run_arguments(name, flags, directory=HOST_DIRECTORY)
    lines = ["ExecStart=/usr/bin/docker run --rm --pull=never", *arguments, flags["image"]]
    longest = max(flags["stop_seconds"], flags.get("drain_seconds", 0))
    return f"TimeoutStopSec={longest + 30}\n" + " \\\n    ".join(lines) + f"\n\n{SANDBOX}"


def compose(name: str, flags: Mapping[str, Any]) -> str:
    """The service *name* of a compose file, without what belongs to compose alone."""
    service = {
        "image": _with_default(flags["image"]),
        "container_name": name,
        "network_mode": flags["network"],
        "ipc": flags["ipc"],
        "init": flags["init"],
        "read_only": flags["read_only"],
        "cap_drop": flags["cap_drop"],
        "security_opt": [
            *(["no-new-privileges:true"] if flags["no_new_privileges"] else []),
            f"seccomp:{flags['seccomp']}",
        ],
        "mem_limit": flags["memory"],
        "memswap_limit": flags["memory"],
        "pids_limit": flags["pids"],
        "cpu_shares": flags["cpu_shares"],
        "cpuset": _with_default(flags["cpuset"]),
        "ulimits": flags["ulimits"],
        "tmpfs": [
            f"{path}:{','.join((*HARDENING, options))}" for path, options in flags["tmpfs"].items()
        ],
        "logging": {"driver": flags["log_driver"], "options": flags["log_opts"]},
        "stop_grace_period": f"{flags['stop_seconds']}s",
    }
    text = yaml.dump({name: service}, Dumper=_Indented, sort_keys=False, width=120)
    return "".join(f"  {line}\n" for line in text.splitlines()).rstrip()


class _Indented(yaml.SafeDumper):
    """Lists stand to the right of their key, as in the rest of the file."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _with_default(text: str) -> str:
    """``${NAME}`` with what a laptop has, where nothing is set: every core, and no image."""
    name = text.strip("${}")
    return f"${{{name}:?run make up}}" if name.endswith("_IMAGE") else f"${{{name}:-}}"


def main(form: str, name: str) -> int:
    """Print one form; see the module."""
    flags = load()[name]
    if form == "run":
        print("\n".join(run_arguments(name, flags)))
    else:
        print({"unit": unit, "compose": compose, "shell": shell}[form](name, flags))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
