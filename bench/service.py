"""The service under measurement: a child process, its memory and what it counts.

It has recordings and a journal of its own, which are thrown away, and the repository's models and
prompts. The measuring side keeps off the core of its event loop where there is another one: on a
real installation no caller computes on that machine at all.
"""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from prometheus_client.parser import text_string_to_metric_families

from bench import environment
from voicebot import config
from voicebot.commands import demo
from voicebot.simulator.feed import EventFeed
from voicebot.simulator.runner import Target

HOST = "127.0.0.1"
KEPT_LOG = Path("var/bench/service.log")
"""The log of a service with which something went wrong; those of the others are thrown away."""


class MeasuredService(demo.Service):
    """As a context manager: takes calls inside, and is gone with all its files after.

    *module* is run in place of the service itself; *settings* are environment variables.
    """

    def __init__(self, module: Sequence[str] = ("voicebot", "serve"), **settings: str) -> None:
        self._files = tempfile.TemporaryDirectory(prefix="voicebot-bench-")
        directory = Path(self._files.name)
        super().__init__(
            _environment(directory, settings),
            directory / "service.log",
            (demo.VOICEBOT[0], "-S", "-m", *module),  # no site: its packages are in _environment
        )
        self._cores = os.sched_getaffinity(0)
        self.most_memory = 0.0
        """Of all that :meth:`sample_memory` has seen."""

    def __enter__(self) -> MeasuredService:
        try:
            super().__enter__()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        gc.disable()  # a collection of ours would look like a late frame
        loop_cores = os.sched_getaffinity(self.pid)
        os.sched_setaffinity(0, self._cores - loop_cores or self._cores)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        gc.enable()
        os.sched_setaffinity(0, self._cores)
        try:
            super().__exit__(kind, value, traceback)
            if kind is not None:
                KEPT_LOG.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(self._log, KEPT_LOG)
        finally:
            self._files.cleanup()

    @property
    def pid(self) -> int:
        """Of the main process; the workers are others."""
        return self._process.pid

    def worker_cores(self) -> list[str]:
        """Cores that its workers have."""
        return [cpu for cpu, role in self.metrics().cores() if role == "worker"]

    @property
    def target(self) -> Target:
        """Where simulated customers call."""
        return Target(HOST, self.audiosocket_port, EventFeed(HOST, self.control_port))

    def memory(self, field: str) -> float:
        """``VmRSS`` or ``VmHWM`` of the main process, in MB (10^6 bytes)."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        line = next(line for line in status.splitlines() if line.startswith(f"{field}:"))
        return int(line.split()[1]) * 1024 / 1e6

    def sample_memory(self) -> float:
        """What is resident now, in MB; remembers the most."""
        now = self.memory("VmRSS")
        self.most_memory = max(self.most_memory, now)
        return now

    def processor_seconds(self) -> tuple[float, float]:
        """Of the thread of the event loop since its start: computed, and ready to compute while
        something else had the core. The second is the machine's share of every delay."""
        fields = Path(f"/proc/{self.pid}/schedstat").read_text(encoding="ascii").split()
        return int(fields[0]) / 1e9, int(fields[1]) / 1e9

    def metrics(self) -> Samples:
        """What the service has counted so far."""
        return Samples(self.scrape())

    @property
    def metrics_url(self) -> str:
        return f"http://{HOST}:{self.control_port}/metrics"

    def scrape(self) -> str:
        """``/metrics`` as it is. Raises OSError."""
        with urllib.request.urlopen(self.metrics_url, timeout=5) as answer:
            text: str = answer.read().decode()
            return text


class Samples:
    """One reading of ``/metrics``."""

    def __init__(self, text: str) -> None:
        self._values = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float:
        """Of one series. Raises KeyError if the service does not have it."""
        return self._values[name, frozenset(labels.items())]

    def edges(self, histogram: str) -> list[tuple[str, float]]:
        """The upper edges of its buckets, as written and in numbers, in order."""
        name = f"{histogram}_bucket"
        texts = {dict(labels)["le"] for key, labels in self._values if key == name}
        return sorted(((text, float(text)) for text in texts), key=lambda edge: edge[1])

    def cores(self) -> list[tuple[str, str]]:
        """Each core that the service uses, and for what."""
        found = (dict(labels) for name, labels in self._values if name == "voicebot_core_role")
        return sorted((labels["cpu"], labels["role"]) for labels in found)

    def mean(self, histogram: str, **labels: str) -> float:
        """Mean of everything a histogram has seen; 0 if that is nothing."""
        count = self.value(f"{histogram}_count", **labels)
        return self.value(f"{histogram}_sum", **labels) / count if count else 0.0


def _environment(directory: Path, settings: Mapping[str, str]) -> dict[str, str]:
    names = {field.metadata["env"] for field in config.described()}
    return {
        **{name: value for name, value in os.environ.items() if name not in names},
        "VOICEBOT_ENV_FILE": os.devnull,  # not the settings of whoever works here
        "AUDIOSOCKET_PORT": "0",
        "CONTROL_PORT": "0",
        "LOG_FORMAT": "json",
        "TECHNICIANS": "always",
        "RECORDINGS_DIR": str(directory / "recordings"),
        "JOURNAL_URL": f"sqlite:///{directory}/journal.db",
        "PYTHONPATH": str(environment.linked(directory / "packages")),
        **settings,
    }
