"""The pages for planning: recordings and jobs, business, service levels, capacity."""

from __future__ import annotations

from grafana.panels import (
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    RED,
    YELLOW,
    Json,
    bars,
    dashboard,
    graph,
    row,
    stat,
    table,
)
from grafana.service_pages import BUDGET, BUSY, OUTCOMES, of_cores, quantile

DAY = 86400
CALLS = 'voicebot_calls_total{@,traffic!="probe"}'  # the test calls of the probe are no business

DISKS = '{@,fstype!~"tmpfs|ramfs|overlay|squashfs"}'


def _share(outcomes: str) -> str:
    part = CALLS.replace("{@", f'{{@,outcome=~"{outcomes}"')
    return f"sum(increase({part}[$__range])) / (sum(increase({CALLS}[$__range])) > 0)"


def recordings() -> Json:
    return dashboard(
        "recordings", "recordings and jobs",
        "Are recordings and journal kept, converted, backed up, and removed on time?",
        row(
            4,
            bars(
                "Last good run of each task, ago",
                "Over a day and a half: it failed or did not run; see its runbook.", "s",
                ("time() - max by (task) (voicebot_task_last_success_timestamp_seconds{@})",
                 "{{task}}"),
                steps=((None, GREEN), (1.1 * DAY, YELLOW), (1.5 * DAY, RED)), top=2 * DAY,
            ),
            stat(
                "Recordings cut short", "More than 0: the disk was full or failed.", "none",
                ("sum(increase(voicebot_recording_failures_total{@}[$__range]))", "cut short"),
                steps=((None, GREEN), (0.5, RED)), decimals=0,
            ),
            stat(
                "Journal records lost", "More than 0: calls are missing from the journal.", "none",
                ("sum(increase(voicebot_journal_dropped_records_total{@}[$__range]))", "lost"),
                steps=((None, GREEN), (0.5, RED)), decimals=0,
            ),
            stat(
                "Fullest disk", "Over 90 %: recordings will stop soon; runbook HostDiskFull.",
                "percentunit",
                (f"max(1 - node_filesystem_avail_bytes{DISKS}"
                 f" / node_filesystem_size_bytes{DISKS})", "full"),
                steps=((None, GREEN), (0.8, YELLOW), (0.9, RED)), decimals=0,
            ),
        ),
        row(
            8,
            graph(
                "Recordings begun, "
                "per minute", "Should follow the calls; red: the disk is full or failing.",
                "none",
                ("sum(rate(voicebot_recordings_total{@}[R])) * 60", "begun"),
                ("sum(rate(voicebot_recording_failures_total{@}[R])) * 60", "cut short"),
                colors={"begun": GREEN, "cut short": RED},
            ),
            graph(
                "Journal", "Waiting records do not come down: no database.", "none",
                ("sum(voicebot_journal_pending_records{@})", "records waiting"),
                ("sum(rate(voicebot_journal_writes_total{@}[R])) * 60", "writes /min"),
                ("sum(rate(voicebot_journal_failures_total{@}[R])) * 60", "failures /min"),
                colors={"records waiting": ORANGE, "writes /min": GREEN, "failures /min": RED},
            ),
            graph(
                "Free on the disks", "Where a line meets zero, recordings stop.", "bytes",
                (f"min by (mountpoint) (node_filesystem_avail_bytes{DISKS})", "{{mountpoint}}"),
            ),
        ),
        row(
            7,
            graph(
                "Length of the nightly tasks", "Growing from night to night: it will run into the "
                "morning's calls.", "s",
                ("max by (task) (voicebot_task_duration_seconds{@})", "{{task}}"),
            ),
            table(
                "What the last runs did", "failed above 0: those items wait for the next night.",
                "none", "max by (task, result) (voicebot_task_items{@})",
                columns={"task": "Task", "result": "Result", "Value": "Items"},
            ),
            graph(
                "Log messages "
                "per minute", "error growing: read the log; dropped: the log is too slow.",
                "none",
                ("sum by (level) (rate(voicebot_log_messages_total"
                 '{@,level=~"warning|error|critical"}[R])) * 60', "{{level}}"),
                ("sum(rate(voicebot_log_dropped_lines_total{@}[R])) * 60", "dropped"),
                colors={"warning": YELLOW, "error": RED, "critical": PURPLE, "dropped": ORANGE},
            ),
        ),
        since="now-24h",
    )  # fmt: skip


def business() -> Json:
    return dashboard(
        "business", "business",
        "What does the bot do for customers and for the support team? Without test calls.",
        row(
            4,
            stat("Calls", "All calls that ended in the selected time range.", "none",
                 (f"sum(increase({CALLS}[$__range]))", "calls"), decimals=0),
            stat(
                "Solved by the bot", "Containment: share of calls completed without a person.",
                "percentunit", (_share("completed"), "solved"),
                steps=((None, ORANGE), (0.3, YELLOW), (0.5, GREEN)), decimals=0,
            ),
            stat("Passed to a person", "High with many fallbacks: the bot does not understand.",
                 "percentunit", (_share("transferred"), "passed"), decimals=0),
            stat("Called back later", "Each is a promise: work through the list.", "percentunit",
                 (_share("callback"), "callback"), decimals=0),
            stat(
                "Gave up", "Callers who hung up or stayed silent; high: the bot annoys them.",
                "percentunit", (_share("caller_hangup|no_input"), "gave up"),
                steps=((None, GREEN), (0.2, YELLOW), (0.4, RED)), decimals=0,
            ),
            stat(
                "Cost per call", "Paid to providers, in the currency of the price table.", "none",
                (f"sum(increase(voicebot_cost_total{{@,traffic!='probe'}}[$__range]))"
                 f" / (sum(increase({CALLS}[$__range])) > 0)", "per call"),
                decimals=3, none="nothing paid",
            ),
        ),
        row(
            9,
            (14, graph(
                "Calls per hour, by outcome", "When customers call, and how their calls end.",
                "none",
                (f"sum by (outcome) (increase({CALLS}[1h]))", "{{outcome}}"),
                stack=True, colors=OUTCOMES,
            )),
            bars(
                "How calls ended", "The longest bar is what most customers experience.", "none",
                (f"sort_desc(sum by (outcome) (increase({CALLS}[$__range])))", "{{outcome}}"),
                decimals=0,
            ),
        ),
        row(
            8,
            bars(
                "Why the bot left its way",
                "no_match_limit on top: improve wording or recognition.", "none",
                ("sort_desc(sum by (reason) (increase(voicebot_dialogue_fallbacks_total{@}"
                 "[$__range])))", "{{reason}}"), decimals=0,
            ),
            bars(
                "Why calls failed", "Each is a customer lost to our fault or a provider's.",
                "none",
                ("sort_desc(sum by (reason) (increase("
                 "voicebot_call_failures_total{@,traffic!='probe'}[$__range])))",
                 "{{reason}}"), steps=((None, RED),), decimals=0,
            ),
            graph(
                "Length of calls", "p50 falling and fewer solved: callers give up early.", "s",
                (quantile(0.5, "voicebot_call_duration_seconds"), "p50"),
                (quantile(0.95, "voicebot_call_duration_seconds"), "p95"),
                colors={"p50": GREEN, "p95": ORANGE},
            ),
        ),
        since="now-24h", refresh="5m",
    )  # fmt: skip


def slo() -> Json:
    return dashboard(
        "slo", "service levels",
        "Do we meet our objectives? For the weekly review.",
        row(
            5,
            stat(
                "Error budget left (30 days)",
                "Below 0: the objective is missed; stability comes before new work.", "percentunit",
                ("slo:period_error_budget_remaining:ratio", "{{slo}}"),
                steps=BUDGET, decimals=0, text="value_and_name", none="no data",
            ),
        ),
        row(
            5,
            stat(
                "Good events (30 days)", "Compare with the objective next to it.", "percentunit",
                ("1 - slo:sli_error:ratio_rate30d", "{{slo}}"), decimals=2, text="value_and_name",
                none="no data",
            ),
            stat(
                "Promised", "The objectives; reviewed every quarter.", "percentunit",
                ("slo:objective:ratio", "{{slo}}"), decimals=1, text="value_and_name",
                none="no data",
            ),
        ),
        row(
            9,
            graph(
                "Error budget left, over time", "A cliff is an incident; a slope is a habit.",
                "percentunit", ("slo:period_error_budget_remaining:ratio", "{{slo}}"),
                limits=((0, RED),), top=1, signed=True,
            ),
            graph(
                "Bad events, share of "
                "each day", "Days above what the objective allows spend more than "
                "their share.", "percentunit", ("slo:sli_error:ratio_rate1d", "{{slo}}"), top=0.02,
            ),
        ),
        row(
            8,
            table(
                "Alerts in the time shown",
                "Many tickets of one name: fix the cause or the alert.", "none",
                "sort_desc(sum by (alertname, severity) (count_over_time(ALERTS"
                '{alertstate="firing",severity=~"page|ticket"}[$__range])))',
                columns={"alertname": "Alert", "severity": "Severity", "Value": "Samples firing"},
            ),
            bars(
                "Why calls failed", "The longest bar is the first thing to fix.", "none",
                ("sort_desc(sum by (reason) (increase("
                 "voicebot_call_failures_total{@,traffic!='probe'}[$__range])))",
                 "{{reason}}"), steps=((None, RED),), decimals=0,
            ),
        ),
        since="now-30d", refresh="15m",
    )  # fmt: skip


def capacity() -> Json:
    return dashboard(
        "capacity", "capacity",
        "How many more calls can this host take, and what runs out first?",
        row(
            4,
            stat(
                "Most calls at once", "At the limit, further callers went to people.", "none",
                ("sum(max_over_time(voicebot_calls_active{@}[$__range]))", "calls"), decimals=0,
            ),
            stat("Limit", "Raise it only while the loop's core stays below 80 %.", "none",
                 ("sum(voicebot_calls_limit{@})", "calls"), decimals=0),
            stat(
                "Turned away: full", "More than 0: this host is too small for the busy hour.",
                "none",
                ('sum(increase(voicebot_connections_refused_total{@,reason="full"}[$__range]))',
                 "calls"), steps=((None, GREEN), (0.5, RED)), decimals=0,
            ),
            stat(
                "Service's memory", "Growth over days without more calls: a leak.", "bytes",
                ('sum(process_resident_memory_bytes{@,job="voicebot"})', "resident"),
            ),
        ),
        row(
            8,
            graph(
                "Calls and the limit", "Peaks near the red line: plan a larger host.", "none",
                ("sum(voicebot_calls_active{@})", "calls"),
                ("sum(voicebot_calls_limit{@})", "limit"),
                colors={"calls": BLUE, "limit": RED},
            ),
            graph(
                "CPU of the event "
                "loop's core", "Compare its peaks with the calls: the limit is where "
                "the curve bends.", "percentunit", (of_cores(BUSY, "loop"), "core {{cpu}}"),
                limits=((0.8, RED),), top=1,
            ),
        ),
        row(
            8,
            graph(
                "Frames late (p99)", "Rises with the calls: the limit is too high.", "s",
                (quantile(0.99, "voicebot_audio_frame_lateness_seconds"), "p99"),
                limits=((0.02, RED),), top=0.025,
            ),
            graph(
                "Workers' compute "
                "per second", "Equal to the number of worker cores: they are saturated "
                "and turns wait.", "none",
                ("sum by (kind) (rate(voicebot_worker_job_seconds_sum{@}[R]))", "{{kind}}"),
                stack=True,
            ),
            graph(
                "Slowest worker "
                "jobs (p95)", "Rises with the calls: jobs are waiting or cores are shared.",
                "s", (quantile(0.95, "voicebot_worker_job_seconds", "le, kind"), "{{kind}}"),
            ),
        ),
        since="now-24h",
    )  # fmt: skip
