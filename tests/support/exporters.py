"""What others than the service export, as far as rules and dashboards use it, by scrape job.

``tests/grafana/test_live.py`` asks the real programs whether they do.
"""

from __future__ import annotations

EXPORTED = {
    "node": {
        "node_cpu_seconds_total", "node_filesystem_avail_bytes", "node_filesystem_size_bytes",
        "node_memory_MemAvailable_bytes", "node_memory_MemTotal_bytes",
        "node_schedstat_waiting_seconds_total", "node_textfile_scrape_error",
        "node_timex_maxerror_seconds", "node_timex_offset_seconds", "node_timex_sync_status",
        "node_vmstat_oom_kill",
    },
    "asterisk": {
        "asterisk_calls_count", "asterisk_channels_count", "asterisk_core_uptime_seconds",
        "asterisk_endpoints_state", "asterisk_pjsip_outbound_registration_status",
    },
    "prometheus": {
        "prometheus_config_last_reload_successful",
        "prometheus_notifications_alertmanagers_discovered",
        "prometheus_notifications_dropped_total", "prometheus_rule_evaluation_failures_total",
    },
    "alertmanager": {"alertmanager_notifications_failed_total"},
    "voicebot": {"process_resident_memory_bytes", "process_start_time_seconds"},
}  # fmt: skip

OF_PROMETHEUS_ITSELF = {"up", "scrape_samples_scraped", "ALERTS"}
"""Made for each target, and for each rule."""

ALLOWED = {name for names in EXPORTED.values() for name in names} | OF_PROMETHEUS_ITSELF
