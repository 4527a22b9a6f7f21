"""Each query of each panel, asked of a real Prometheus that observes the real service."""

from __future__ import annotations

import json
import time
import urllib.error
from collections.abc import Iterator
from pathlib import Path

import pytest

from prometheus import build
from tests.grafana.conftest import pages
from tests.grafana.queries import expressions, filled, metrics
from tests.grafana.test_dashboards import AGREED
from tests.support.exporters import EXPORTED
from tests.support.observed import Observed, observed
from voicebot.telemetry.metrics import PROVIDERS

pytestmark = [pytest.mark.service, pytest.mark.asterisk, pytest.mark.timeout(400)]

PAGES = pages()

SCHEDSTAT = Path("/proc/schedstat")  # not every kernel has it

MAY_BE_EMPTY = {
    "asterisk_pjsip_outbound_registration_status",  # these tests have no trunk that registers
    "ALERTS",  # nothing is wrong
    "voicebot_provider_circuit_open",  # nothing is wrong
    "voicebot_model_sunset_timestamp_seconds",  # the embedded engine has no date
    "voicebot_draining",
    "voicebot_probe_last_success_timestamp_seconds",  # no probe runs in these tests
    "voicebot_oldest_call_start_timestamp_seconds",  # no call is held while the panels are asked
}


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    directory = tmp_path_factory.mktemp("observed")
    files = []
    for name in build.FILES:  # with short windows: nobody waits two minutes for a month's figure
        files.append(directory / f"{name}.yml")
        files[-1].write_text(build.render(name, 30))
    with observed(directory, files) as found:
        for scenario in ("interrupting", "internet-resolved"):
            found.call(scenario)
        time.sleep(6)  # two scrapes after the last call ended
        yield found


def may_be_empty(expression: str) -> bool:
    """Whether a machine and a service without fault may have nothing to say to this query."""
    named = metrics(expression)
    return bool(
        named & (MAY_BE_EMPTY | AGREED)
        or " unless on (instance, cpu) " in expression  # no core is free of the service
        or ("node_schedstat_waiting_seconds_total" in named and not SCHEDSTAT.exists())
        or ('stage="llm"' in expression and "llm" not in PROVIDERS)
    )


@pytest.mark.parametrize("name", PAGES)
def test_every_query_answers(system: Observed, name: str) -> None:
    empty = []
    for where, expression in expressions(PAGES[name]):
        try:
            series = system.ask(filled(expression))
        except urllib.error.HTTPError as error:
            pytest.fail(f"{where}: {expression}\n{json.load(error)['error']}")
        if not series and not may_be_empty(expression):
            empty.append(f"{where}: {expression}")
    assert empty == []


def test_the_stages_add_up_to_the_wait(system: Observed) -> None:
    (stages,) = system.ask("sum(voicebot_turn_stage_seconds_sum)")
    (wait,) = system.ask("sum(voicebot_turn_response_seconds_sum)")
    assert float(wait["value"][1]) > 0
    assert float(stages["value"][1]) == pytest.approx(float(wait["value"][1]))


def test_the_cores_are_marked(system: Observed) -> None:
    (loop,) = system.ask('voicebot_core_role{role="loop"}')
    ready = system.service.logged("service ready")[0]
    assert loop["metric"]["cpu"] == str(ready["loop_core"])
    workers = {s["metric"]["cpu"] for s in system.ask('voicebot_core_role{role="worker"}')}
    assert workers == {str(core) for core in ready["worker_cores"]}


def test_scrapes_and_textfiles_arrive(system: Observed) -> None:
    tasks = system.ask("voicebot_task_last_success_timestamp_seconds")
    assert {series["metric"]["task"] for series in tasks} == {"convert", "backup", "retention"}
    assert SCHEDSTAT.exists() == bool(system.ask("node_schedstat_waiting_seconds_total"))


@pytest.mark.parametrize("job", EXPORTED.keys() - {"alertmanager"})
def test_an_exporter_has_what_rules_and_pages_ask_of_it(system: Observed, job: str) -> None:
    """Of Alertmanager's the drill says it: its alert on failing deliveries needs the metric."""
    missing = {
        name
        for name in EXPORTED[job] - {"asterisk_pjsip_outbound_registration_status"}  # no trunk here
        if not system.ask(f'{name}{{job="{job}"}}')
        and not (name == "node_schedstat_waiting_seconds_total" and not SCHEDSTAT.exists())
    }
    assert missing == set()


def test_every_rule_is_evaluated(system: Observed) -> None:
    assert system.ask("sum(prometheus_rule_evaluation_failures_total)")[0]["value"][1] == "0"
    recorded = {s["metric"]["slo"] for s in system.ask("slo:sli_error:ratio_rate30d")}
    assert recorded >= {"turn-response", "turn-comfort", "call-success", "audio-continuity"}


def test_the_service_exports_few_series(system: Observed) -> None:
    """A scrape holds the interpreter's lock: 1500 is the limit, after all kinds of calls."""
    ((series),) = system.ask('scrape_samples_scraped{job="voicebot"}')
    assert float(series["value"][1]) <= 1500
