"""The pages of the host and of Asterisk."""

from __future__ import annotations

from grafana.panels import (
    BLUE,
    GREEN,
    ORANGE,
    RED,
    YELLOW,
    Json,
    dashboard,
    graph,
    heatmap,
    row,
    stat,
    table,
)
from grafana.service_pages import CORES, each_core, of_cores, quantile

WAITING = "sum by (instance, cpu) (rate(node_schedstat_waiting_seconds_total{@}[R]))"


def host() -> Json:
    return dashboard(
        "host", "audio and host",
        "Gaps and stutter: does the machine keep time, and if not, which core?",
        row(
            4,
            stat(
                "Frames on time", "Below 99.9 %: callers hear gaps.", "percentunit",
                ('sum(rate(voicebot_audio_frame_lateness_seconds_bucket{@,le="0.02"}[$__range]))'
                 " / (sum(rate(voicebot_audio_frame_lateness_seconds_count{@}[$__range])) > 0)",
                 "on time"),
                steps=((None, RED), (0.999, GREEN)), decimals=2,
            ),
            stat(
                "Stolen by "
                "other machines", "Over 5 %: the hosting provider has oversold this host.",
                "percentunit",
                ('max(rate(node_cpu_seconds_total{@,mode="steal"}[5m]))', "worst core"),
                steps=((None, GREEN), (0.02, YELLOW), (0.05, RED)), decimals=1,
            ),
            stat(
                "Memory free", "Below 10 %: the kernel will soon kill something.", "percentunit",
                ("min(node_memory_MemAvailable_bytes{@} / node_memory_MemTotal_bytes{@})", "free"),
                steps=((None, RED), (0.1, YELLOW), (0.2, GREEN)), decimals=0,
            ),
            stat(
                "Worker restarts", "More than 0: a worker died or hung; see its runbook.", "none",
                ("sum(increase(voicebot_worker_restarts_total{@}[$__range]))", "restarts"),
                steps=((None, GREEN), (1, RED)), decimals=0,
            ),
            stat(
                "Clock", "Unsynchronised: times of calls and recordings are wrong.", "none",
                ("min(node_timex_sync_status{@})", "clock"),
                says={"0": ("NOT SYNCHRONISED", RED), "1": ("right", GREEN)},
            ),
        ),
        row(
            8,
            each_core(),
            graph(
                "Waiting for a core",
                "EVENT LOOP over 5 %: something else runs on its core.", "percentunit",
                (of_cores(WAITING, "loop"), "core {{cpu}}: EVENT LOOP"),
                (of_cores(WAITING, "worker"), "core {{cpu}}: worker"),
                (f"{WAITING} unless on (instance, cpu) voicebot_core_role{{@}}",
                 "core {{cpu}}: free"),
                limits=((0.05, RED),), top=0.1, lines=CORES,
                none="this kernel does not count it (no /proc/schedstat)",
            ),
        ),
        row(
            8,
            heatmap(
                "How late each frame was", "Colour above 20 ms is audible.",
                "voicebot_audio_frame_lateness_seconds_bucket{@}",
            ),
            graph(
                "Event loop late (p99)", "Moves with late frames: our own code blocks; if not, it "
                "is the network.", "s",
                (quantile(0.99, "voicebot_event_loop_lag_seconds"), "event loop"),
                (quantile(0.99, "voicebot_audio_frame_lateness_seconds"), "frames"),
                limits=((0.02, RED),), top=0.025,
            ),
            graph(
                "Gaps and lost frames, per minute", "Gaps: synthesis was too slow; lost: a "
                "queue was full.", "none",
                ("sum(rate(voicebot_audio_underruns_total{@}[R])) * 60", "gaps"),
                ("sum by (queue) (rate(voicebot_audio_dropped_frames_total{@}[R])) * 60",
                 "lost: {{queue}}"),
                colors={"gaps": ORANGE},
            ),
        ),
    )  # fmt: skip


def asterisk() -> Json:
    return dashboard(
        "asterisk", "Asterisk and calls",
        "Calls do not arrive or get lost: the trunk, Asterisk, or the link to the voicebot?",
        row(
            4,
            stat(
                "Trunk", "Anything but registered: no calls arrive from the network.", "none",
                ("asterisk_pjsip_outbound_registration_status{@}", "trunk"),
                says={"0": ("UNREGISTERED", RED), "1": ("registered", GREEN),
                      "2": ("REJECTED", RED)},
                none="no trunk",
            ),
            stat(
                "Asterisk up for", "Short: it restarted, and its calls were cut.", "s",
                ("min(asterisk_core_uptime_seconds{@})", "up"),
                steps=((None, RED), (600, YELLOW), (3600, GREEN)), none="down",
            ),
            stat(
                "Calls in Asterisk", "More than the voicebot has: others are with people.",
                "none", ("sum(asterisk_calls_count{@})", "calls"), none="down",
            ),
            stat("Calls in the voicebot", "0 with calls in Asterisk: the link between is down.",
                 "none", ("sum(voicebot_calls_active{@})", "calls")),
            stat(
                "Oldest call", "Older than any call can be: a session was not ended.", "s",
                ("time() - min(voicebot_oldest_call_start_timestamp_seconds{@} > 0)", "oldest"),
                steps=((None, GREEN), (900, RED)), none="no call",
            ),
        ),
        row(
            8,
            graph(
                "Calls here and there", "The gap between the lines is calls that wait for a person "
                "or died between.", "none",
                ("sum(asterisk_calls_count{@})", "Asterisk: calls"),
                ("sum(asterisk_channels_count{@})", "Asterisk: channels"),
                ("sum(voicebot_calls_active{@})", "voicebot: calls"),
                ("sum(voicebot_calls_limit{@})", "voicebot: limit"),
                colors={"Asterisk: calls": BLUE, "voicebot: limit": RED, "voicebot: calls": GREEN},
            ),
            graph(
                "Calls turned away, per minute", "full: more cores or a second host; others: see "
                "the runbook on refused calls.", "none",
                ("sum by (reason) (rate(voicebot_connections_refused_total{@}[R])) * 60",
                 "{{reason}}"), stack=True, top=1,
            ),
            graph(
                "AudioSocket errors, per minute", "remote: Asterisk or the network broke the "
                "protocol; local: we did.", "none",
                ("sum by (fault) (rate(voicebot_audiosocket_errors_total{@}[R])) * 60",
                 "{{fault}}"), colors={"local": RED, "remote": ORANGE}, top=1,
            ),
        ),
        row(
            8,
            graph(
                "Length of calls", "p50 falling: callers give up; rising: they go in circles.", "s",
                (quantile(0.5, "voicebot_call_duration_seconds"), "p50"),
                (quantile(0.95, "voicebot_call_duration_seconds"), "p95"),
                colors={"p50": GREEN, "p95": ORANGE},
            ),
            graph(
                "Audio frames per call and second", "50 each way is right; less: a stream is dead.",
                "none",
                ("sum by (direction) (rate(voicebot_audio_frames_total{@}[R]))"
                 " / on () group_left () (sum(avg_over_time(voicebot_calls_active{@}[R])) > 0)",
                 "{{direction}}"), top=60,
            ),
            table(
                "Telephones and trunks", "offline: no call to or from it goes through.", "none",
                'max by (resource) (asterisk_endpoints_state{@,resource!="probe"})',
                columns={"resource": "Name", "Value": "State"},
                says={"0": ("unknown", ORANGE), "1": ("offline", RED), "2": ("online", GREEN)},
            ),
        ),
    )  # fmt: skip
