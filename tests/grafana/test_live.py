"""Each query of each panel and rule, asked of a real Prometheus after a busy hour.

The real service over the emulated clouds, Asterisk with a registered trunk, node exporter and
Alertmanager; the hour is minutes, and the windows of the rules are shorter by as much.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from prometheus.table import load
from tests.drills import busy_hour
from tests.drills.stage import Stage
from tests.support.exporters import EXPORTED

pytestmark = [pytest.mark.service, pytest.mark.asterisk, pytest.mark.timeout(600)]

PATIENCE = 300
"""Seconds until everything has happened that a panel shows, on a busy machine."""


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with busy_hour.busy_system(tmp_path_factory.mktemp("busy"), callers=5) as found:
        yield found


@pytest.fixture(scope="module", autouse=True)
def answers(stage: Stage) -> busy_hour.Answers:
    return busy_hour.answers_in_time(stage, PATIENCE)


def test_every_query_of_every_panel_and_rule_answers(answers: busy_hour.Answers) -> None:
    assert answers.good, str(answers)
    assert answers.asked > 250
    assert (answers.of_the_machine == ()) == busy_hour.SCHEDSTAT.exists()


def test_every_rule_is_evaluated(stage: Stage) -> None:
    ask = stage.observed.ask
    assert ask("sum(prometheus_rule_evaluation_failures_total)")[0]["value"][1] == "0"
    recorded = {s["metric"]["slo"] for s in ask("slo:sli_error:ratio_rate30d")}
    assert recorded == set(load().objectives)


def test_the_stages_add_up_to_the_wait(stage: Stage) -> None:
    """Asked in one, of one scrape; a turn may be half written in it, so of several."""
    both = "sum(voicebot_turn_stage_seconds_sum) / sum(voicebot_turn_response_seconds_sum)"
    deadline = time.monotonic() + 60
    share = 0.0
    while time.monotonic() < deadline:
        ((share,),) = [[float(s["value"][1]) for s in stage.observed.ask(both)]]
        if share == pytest.approx(1, abs=1e-9):
            return
        time.sleep(1)
    pytest.fail(f"the stages are {share} of the wait")


def test_the_cores_are_marked(stage: Stage) -> None:
    ask = stage.observed.ask
    (loop,) = ask('voicebot_core_role{role="loop"}')
    ready = stage.service.logged("service ready")[0]
    assert loop["metric"]["cpu"] == str(ready["loop_core"])
    workers = {s["metric"]["cpu"] for s in ask('voicebot_core_role{role="worker"}')}
    assert workers == {str(core) for core in ready["worker_cores"]}


def test_scrapes_and_textfiles_arrive(stage: Stage) -> None:
    tasks = stage.observed.ask("voicebot_task_last_success_timestamp_seconds")
    told = {series["metric"]["task"] for series in tasks}
    assert told == {"convert", "backup", "retention", "certificate"}


@pytest.mark.parametrize("job", EXPORTED)
def test_an_exporter_has_what_rules_and_pages_ask_of_it(stage: Stage, job: str) -> None:
    missing = {
        name
        for name in EXPORTED[job]
        if not stage.observed.ask(f'{name}{{job="{job}"}}')
        and not ("schedstat" in name and not busy_hour.SCHEDSTAT.exists())
    }
    assert missing == set()
