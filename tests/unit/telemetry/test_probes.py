"""What a probe leaves for Prometheus."""

from __future__ import annotations

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from voicebot.telemetry import probes


def values(file: Path) -> dict[str, float]:
    return {
        sample.name + "".join(f"/{value}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(file.read_text(encoding="utf-8"))
        for sample in family.samples
    }


def test_a_failed_probe_keeps_the_time_of_the_last_success(tmp_path: Path) -> None:
    file = tmp_path / "probe.prom"
    probes.write(file, ended=1000.0, failed=None, first_audio=0.12, response=0.8)
    good = values(file)
    assert good["voicebot_probe_success"] == 1
    assert good["voicebot_probe_response_seconds"] == 0.8
    assert not any(good[f"voicebot_probe_step_failed/{step}"] for step in probes.STEPS)

    probes.write(file, ended=1060.0, failed="reply", first_audio=0.12, response=None)
    bad = values(file)
    assert bad["voicebot_probe_success"] == 0
    assert bad["voicebot_probe_last_success_timestamp_seconds"] == 1000.0
    assert bad["voicebot_probe_last_run_timestamp_seconds"] == 1060.0
    assert "voicebot_probe_response_seconds" not in bad
    assert bad["voicebot_probe_step_failed/reply"] == 1
    assert sum(bad[f"voicebot_probe_step_failed/{step}"] for step in probes.STEPS) == 1
    assert file.stat().st_mode & 0o777 == 0o644
    assert [entry.name for entry in tmp_path.iterdir()] == ["probe.prom"]


def test_a_probe_that_never_succeeded_has_no_time_of_success(tmp_path: Path) -> None:
    file = tmp_path / "probe.prom"
    file.write_text("not a metric at all {")
    probes.write(file, ended=1000.0, failed="connect", first_audio=None, response=None)
    assert "voicebot_probe_last_success_timestamp_seconds" not in values(file)


def test_the_file_has_what_the_inventory_says(tmp_path: Path) -> None:
    file = tmp_path / "probe.prom"
    probes.write(file, ended=1.0, failed=None, first_audio=0.1, response=0.2)
    assert {name.split("/")[0] for name in values(file)} == {i.name for i in probes.INVENTORY}
