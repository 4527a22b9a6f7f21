"""A whole observed system in which a fault is played: the alert arrives at a listener.

Voicebot, Asterisk, node exporter, Prometheus with the rules of ``prometheus/alerts.yaml``,
Alertmanager with the routes of ``alertmanager.yml.j2``, and on demand the emulator of the clouds:
the real programs, on free ports of loopback. With a *scale* every window, hold and interval of the
rules is so many times shorter, and nothing else is: calls take as long as calls, and an alert that
needs twenty events still does.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import yaml

from prometheus import build
from tests.support import role_files
from tests.support.asterisk import AsteriskInstance
from tests.support.certificates import Authority, showing
from tests.support.observed import BINARIES, Observed, free_port
from tests.support.service import REPOSITORY, ServiceInstance
from voicebot.telemetry import probes, tasks

CERTIFICATE = REPOSITORY / "ansible/roles/asterisk/files/voicebot-certificate"

HOST = "drill"
OF_THE_MACHINE = frozenset({
    "HostCpuStolen", "HostMemoryLow", "HostDiskFull", "HostDiskFilling",
    "VoicebotAudioCoreContended", "VoicebotAudioLate", "VoicebotEventLoopStalled",
})  # fmt: skip
"""What a machine that does other work may say by itself; told, but not held against a drill."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """An alert that the listener was sent, firing."""

    receiver: str
    alert: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    at: float
    """On the monotonic clock."""


class Listener:
    """A webhook: what a pager, a ticket system and a heartbeat service would get."""

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        self.heartbeats = 0
        listener = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                listener.take(body)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *args: object) -> None:
                """Quiet."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def take(self, body: Mapping[str, Any]) -> None:
        now = time.monotonic()
        if body["receiver"] == "heartbeat":
            self.heartbeats += 1
            return
        for alert in body["alerts"]:
            if alert["status"] == "firing":
                labels = alert["labels"]
                self.arrivals.append(
                    Arrival(
                        body["receiver"], labels["alertname"], labels, alert["annotations"], now
                    )
                )

    def __enter__(self) -> Listener:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *ended: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class Process:
    """A child that a drill may end, and that is gone in the end."""

    def __init__(self, *command: str | Path, log: Path) -> None:
        self._output = log.open("wb")
        self.log = log
        self._child = subprocess.Popen(command, stdout=self._output, stderr=self._output)

    def kill(self) -> None:
        self._child.kill()
        self._child.wait(20)

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *ended: object) -> None:
        self._child.terminate()
        try:
            self._child.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()
        self._output.close()


@dataclass
class Stage:
    """What a fault can lay hands on, and what has arrived."""

    directory: Path
    scale: float
    service: ServiceInstance
    observed: Observed
    listener: Listener
    exporter: Process
    asterisk: AsteriskInstance | None = None
    registrar: AsteriskInstance | None = None
    emulator: str = ""
    """Address of the emulator's direction."""
    prober: threading.Event = field(default_factory=threading.Event)
    """Set: test calls fail from now on."""

    def direct(self, what: str, body: Mapping[str, object]) -> None:
        """Tell the emulator what shall be wrong with a cloud (``faults``), or how slow it shall be
        (``latency``)."""
        subprocess.run(
            ["curl", "-sSf", "-d", json.dumps(body), f"{self.emulator}/_emulator/{what}"],
            check=True, stdout=subprocess.DEVNULL, timeout=10,
        )  # fmt: skip

    def known(self) -> set[str]:
        """The alerts that fire, or are about to."""
        return {found["metric"]["alertname"] for found in self.observed.ask("ALERTS")}

    def since(self, moment: float) -> list[Arrival]:
        return [arrival for arrival in self.listener.arrivals if arrival.at >= moment]


def _interval(text: str, scale: float) -> str:
    return build.scaled(text, scale, 1)


def prometheus_file(directory: Path, targets: Mapping[str, int], scale: float) -> Path:
    """The shipped ``prometheus.yml`` with these targets and shorter intervals."""
    content = yaml.safe_load((REPOSITORY / "prometheus/prometheus.yml").read_text())
    for name in ("scrape_interval", "evaluation_interval"):
        content["global"][name] = _interval(content["global"][name], scale)
    timeout = min(5, build.seconds(content["global"]["scrape_interval"]))
    content["global"]["scrape_timeout"] = f"{timeout}s"
    (directory / "targets").mkdir()
    (directory / "rules").mkdir()
    for job, port in targets.items():
        entry = [{"targets": [f"127.0.0.1:{port}"], "labels": {"instance": HOST}}]
        (directory / f"targets/{job}.yml").write_text(yaml.safe_dump(entry))
    if "asterisk" not in targets:
        (directory / "targets/asterisk.yml").write_text("[]")
    for name in build.FILES:
        (directory / f"rules/{name}.yml").write_text(build.render(name, scale))
    file = directory / "prometheus.yml"
    file.write_text(yaml.safe_dump(content))
    return file


def alertmanager_file(directory: Path, listener: str, scale: float) -> Path:
    """The shipped template, with a listener as pager, ticket system and heartbeat service."""
    text = build.alertmanager(
        alertmanager_page_webhook=f"{listener}/page",
        alertmanager_ticket_webhook=f"{listener}/ticket",
        alertmanager_heartbeat_webhook=f"{listener}/heartbeat",
    )
    content = yaml.safe_load(text)
    routes = [content["route"], *content["route"]["routes"]]
    for route in routes:
        for name in ("group_wait", "group_interval", "repeat_interval"):
            if route.get(name, "0s") != "0s":
                route[name] = _interval(route[name], scale)
    (directory / "voicebot.tmpl").write_text((REPOSITORY / "prometheus/voicebot.tmpl").read_text())
    file = directory / "alertmanager.yml"
    file.write_text(yaml.safe_dump(content))
    return file


def keep_probing(stage: Stage, file: Path, stop: threading.Event) -> None:
    """What the minutely test call leaves, more often: a real one takes twelve seconds."""
    period = max(0.5, 60 / stage.scale)
    while True:
        if not stage.prober.is_set():
            probes.write(file, ended=time.time(), failed=None, first_audio=0.1, response=0.9)
        if stop.wait(period):
            return


def keep_calling(stage: Stage, scenarios: Iterable[str], stop: threading.Event) -> None:
    """One customer after the other."""
    for scenario in scenarios:
        if stop.is_set():
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            stage.observed.call(scenario)


def alertmanager(*arguments: str) -> list[str | Path]:
    """Its command. Debian's reads templates from /usr/share/prometheus, where nothing is installed
    here: it gets a /usr/share of its own, which nobody else sees."""
    share = BINARIES.parent / "share"
    view = f"mount -t tmpfs tmpfs /usr/share && cp -r {share} /usr/share/prometheus"
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    own = ["unshare", *user, "--mount", "sh", "-c", f'{view} && exec "$@"', "sh"]
    return [*own, BINARIES / "alertmanager", *arguments]


@contextlib.contextmanager
def emulator(directory: Path) -> Iterator[Mapping[str, str]]:
    """The clouds, with no delay of their own: the settings that lead to them, and the direction."""
    log = directory / "emulator.log"
    command = (
        sys.executable, "-u", "-m", "voicebot", "emulate", "--port", "0", "--latency", "none",
        "--voice", "espeak",
    )  # fmt: skip
    with Process(*command, log=log):
        deadline = time.monotonic() + 60
        while "# ready" not in log.read_text():
            if time.monotonic() > deadline:
                raise TimeoutError(f"the emulator did not start:\n{log.read_text()}")
            time.sleep(0.2)
        lines = log.read_text().splitlines()
        settings = dict(line.split("=", 1) for line in lines if line[:1].isupper() and "=" in line)
        (line,) = (line for line in lines if line.startswith("# direction"))
        direction = line.split()[2].partition("/_emulator")[0]
        yield {**settings, "direction": direction}


def what_a_host_has(directory: Path, textfiles: Path) -> None:
    """What the playbook leaves of a site with a trunk and TLS, and what its certificate shows."""
    pair = Authority().sign("192.0.2.1")
    trunks = [{"name": "operator", "addresses": ["198.51.100.7"]}]
    site = {"asterisk_trunks": trunks, "asterisk_tls_certificate": pair.certificate}
    role_files.render("asterisk", ["site.prom"], site, textfiles)
    with showing(pair, directory) as port:
        command = [sys.executable, CERTIFICATE, str(port), textfiles / "certificate.prom"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


@contextlib.contextmanager
def system(
    directory: Path,
    scale: float,
    *,
    clouds: bool = False,
    asterisk: AsteriskInstance | None = None,
    registrar: AsteriskInstance | None = None,
    callers: int = 0,
    scenarios: Sequence[str] = ("internet-resolved",),
    **settings: str,
) -> Iterator[Stage]:
    """Everything up, scraped and quiet inside; all of it gone after."""
    textfiles = directory / "textfiles"
    textfiles.mkdir()
    for task in tasks.TASKS:
        file = textfiles / f"{task}.prom"
        tasks.write(file, task, ended=time.time(), duration=60, items={"done": 1}, ok=True)
    what_a_host_has(directory, textfiles)
    ports = {job: free_port() for job in ("node", "alertmanager", "prometheus")}
    with contextlib.ExitStack() as stack:
        found = stack.enter_context(emulator(directory)) if clouds else {}
        settings = {
            "TECHNICIANS": "never",
            **{k: v for k, v in found.items() if k.isupper()},
        } | settings
        service = stack.enter_context(ServiceInstance(directory, **settings))
        listener = stack.enter_context(Listener())
        exporter = stack.enter_context(
            Process(
                BINARIES / "node_exporter", f"--web.listen-address=127.0.0.1:{ports['node']}",
                f"--collector.textfile.directory={textfiles}", log=directory / "node.log",
            )
        )  # fmt: skip
        stack.enter_context(
            Process(
                *alertmanager(
                    "--cluster.listen-address=",
                    f"--web.listen-address=127.0.0.1:{ports['alertmanager']}",
                    f"--config.file={alertmanager_file(directory, listener.address, scale)}",
                    f"--storage.path={directory / 'alertmanager'}",
                ),
                log=directory / "alertmanager.log",
            )
        )  # fmt: skip
        targets = {"voicebot": service.control_port, **ports}
        if asterisk is not None:
            targets["asterisk"] = asterisk.metrics_port
        own = f"127.0.0.1:{ports['prometheus']}"
        stack.enter_context(
            Process(
                BINARIES / "prometheus", f"--web.listen-address={own}",
                f"--config.file={prometheus_file(directory, targets, scale)}",
                f"--storage.tsdb.path={directory / 'tsdb'}",
                "--enable-feature=exemplar-storage",
                "--web.cors.origin=.*",  # `make dashboards` asks from a page of its own
                log=directory / "prometheus.log",
            )
        )  # fmt: skip
        stage = Stage(
            directory, scale, service, Observed(service, f"http://{own}"), listener, exporter,
            asterisk, registrar, found.get("direction", ""),
        )  # fmt: skip
        stop = threading.Event()
        threads = [
            threading.Thread(
                target=keep_probing, args=(stage, textfiles / "probe.prom", stop), daemon=True
            ),
            *(
                threading.Thread(
                    target=keep_calling,
                    args=(stage, islice(cycle(scenarios), first, None), stop),
                    daemon=True,
                )
                for first in range(callers)
            ),
        ]
        for thread in threads:
            thread.start()
        try:
            wait_until_quiet(stage, len(targets))
            yield stage
        finally:
            stop.set()


def wait_until_quiet(stage: Stage, targets: int) -> None:
    """All targets answer, rates have their samples, and the first heartbeat has arrived."""
    interval = build.seconds(_interval("15s", stage.scale))
    deadline = time.monotonic() + 180 + 6 * interval  # a busy machine
    up = 0
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):  # urllib's errors are some
            up = len(stage.observed.ask("up == 1"))
        if up == targets and stage.listener.heartbeats:
            time.sleep(4 * interval)
            return
        time.sleep(0.5)
    logs = (stage.directory / f"{name}.log" for name in ("prometheus", "alertmanager", "node"))
    ends = "".join(f"\n{log.name}:\n{log.read_text()[-1500:]}" for log in logs)
    said = f"{up} of {targets} targets, {stage.listener.heartbeats} heartbeats"
    raise TimeoutError(f"the system did not come up: {said}{ends}")
