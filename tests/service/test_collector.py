"""The real service, a real call with real speech, and a real OpenTelemetry collector."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.collector import Collector
from tests.support.service import ServiceInstance
from voicebot.turns.timeline import STAGES

pytestmark = [pytest.mark.service, pytest.mark.speech, pytest.mark.timeout(600)]


def test_a_call_arrives_at_the_collector_and_its_loss_is_nobodys_problem(tmp_path: Path) -> None:
    collected, service_files = tmp_path / "collector", tmp_path / "service"
    collected.mkdir()
    service_files.mkdir()
    with (
        Collector(collected) as collector,
        ServiceInstance(service_files, OTLP_ENDPOINT=collector.endpoint) as service,
    ):
        call_id = probed(service)
        found = collector.spans(call_id.replace("-", ""), at_least=11)
        by_id = {span.span_id: span for span in found}
        (root,) = [span for span in found if not span.parent_id]
        assert root.name == "call"
        assert root.attributes["voicebot.call.id"] == call_id
        assert root.attributes["voicebot.call.traffic"] == "probe"
        assert root.resource["service.name"] == "voicebot"
        assert {by_id[s.parent_id].name for s in found if s.parent_id} == {
            "call", "turn", "greeting",
        }  # fmt: skip
        (turn,) = [span for span in found if span.name == "turn"]
        inside = {span.name: span for span in found if span.parent_id == turn.span_id}
        assert {*STAGES, "speech_to_text local", "speaking"} <= set(inside)
        stages = sum(inside[stage].end - inside[stage].start for stage in STAGES)
        response = turn.attributes["voicebot.turn.response_seconds"]
        assert stages / 1e9 == pytest.approx(response, abs=1e-5)
        assert turn.start <= min(span.start for span in inside.values())
        assert "revoir" not in repr(found).casefold()
        assert 'trace_id="' + root.trace_id in exemplars(service)

        collector.kill()
        assert probed(service)
        service.wait_for("collector takes no traces", within=20)
        assert service.count("trace_spans_total", outcome="lost") > 0
        assert service.count("trace_spans_total", outcome="exported") == len(found)
        assert service.stop() == 0


def probed(service: ServiceInstance) -> str:
    """A whole call without Asterisk; its id."""
    told = json.loads(service.command("probe", "--direct", "--json"))
    assert told["ok"], told
    return str(told["call_id"])


def exemplars(service: ServiceInstance) -> str:
    """The metrics as Prometheus asks for them."""
    return service.get("/metrics", accept="application/openmetrics-text; version=1.0.0")
